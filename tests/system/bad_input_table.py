"""Bad input by its number in the design's table: what is sent, and what must become of it."""

import json
from dataclasses import dataclass
from typing import Any

from shared.core import reasons
from shared.core.deadletter import MAX_BODY
from shared.core.records import TRACEPARENT, TRACESTATE, Headers
from tests.support.bundles import START

SCORED, REFUSED = "scored", "refused by the broker"
DEPOT = "depot-1"
MAX_BYTES = 65_536  # record.max_bytes, the pipeline's default
TOPIC_BYTES = 10_100_000  # max.message.bytes of `records`: room for a category of 10 MB
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MICROSECONDS, YEAR_9999 = START * 1_000, 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Row:
    """One input. `like` is a plain record that must get the same score; `body` what its letter says of its value."""

    name: str
    value: bytes | None
    expected: str
    key: bytes | None = DEPOT.encode()
    headers: Headers | None = None
    flags: frozenset[str] = frozenset()
    like: bytes | None = None
    body: str = "original"


def body(**changes: Any) -> bytes:
    """A good record with changes; `...` leaves a field out."""
    tree = {"id": "x", "depot": DEPOT, "at": START, "weight": 4.5, "stops": 3, "carrier": "A"} | changes
    return json.dumps({name: value for name, value in tree.items() if value is not ...}).encode()


def raw(field: str, text: str) -> bytes:
    """A good record with the JSON text of one field replaced."""
    return body(**{field: "@@"}).replace(b'"@@"', text.encode("utf-8", "surrogatepass"))


def sized(size: int) -> bytes:
    """A good record of so many bytes."""
    good = body()
    return good + b" " * (size - len(good))


def varint(n: int) -> int:
    """Bytes of a number in Kafka's record format (zigzag)."""
    return max((2 * n).bit_length() + 6, 7) // 7


def fitting(limit: int) -> int:
    """The largest value that a topic of this max.message.bytes takes, alone in its batch under DEPOT, no headers."""
    key, size = len(DEPOT), limit
    while True:
        record = 1 + 1 + 1 + varint(key) + key + varint(size) + size + 1
        if 61 + varint(record) + record <= limit:
            return size
        size -= 1


def entity(name: str, **changes: Any) -> dict[str, Any]:
    """Value and key of a good record of another entity."""
    return {"value": body(depot=name, **changes), "key": name.encode()}


R = reasons
INJECTIONS = {
    "CR LF": 'x\r\n{"event": "forged", "level": "error"}',
    "ANSI": "\x1b[2J\x1b[31mforged",
    "JSON break": '"}\n{"event":"forged"}',
    "format": "%s%n%x {0} ${jndi:ldap://forged}",
}
ROWS = (
    Row("B1 empty value", b"", R.EMPTY),
    Row("B1 null value", None, R.EMPTY, body="null"),
    Row("B2 not JSON", b"{nope", R.NOT_JSON),
    Row("B2 another format", b"id,depot,weight\nx,depot-1,4.5\n", R.NOT_JSON),
    Row("B2 truncated", body()[:-9], R.NOT_JSON),
    Row("B2 two records in one", body() + body(), R.NOT_JSON),
    Row("B2 an array", b"[" + body() + b"]", R.WRONG_TYPE),
    Row("B4 invalid UTF-8", body(id="@").replace(b"@", b"\xe9"), R.NOT_JSON),
    Row("B4 UTF-16", body().decode().encode("utf-16"), R.NOT_JSON),
    Row("B4 byte order mark", b"\xef\xbb\xbf" + body(), R.NOT_JSON),
    Row("B5 lone surrogate in the id", raw("id", '"\\ud800"'), R.NOT_JSON),
    Row("B5 lone surrogate in a category", raw("carrier", '"\\udc00\\ud800"'), R.NOT_JSON),
    Row("B5 a pair of surrogates is text", raw("carrier", '"\\ud83d\\ude00"'), SCORED, flags=frozenset({"unseen"})),
    Row("B6 NaN", raw("weight", "NaN"), R.NOT_JSON),
    Row("B6 Infinity", raw("weight", "Infinity"), R.NOT_JSON),
    Row("B6 -Infinity", raw("weight", "-Infinity"), R.NOT_JSON),
    Row("B7 duplicate key", body()[:-1] + b', "id": "again"}', R.DUPLICATE_KEY),
    Row("B7 duplicate key, escaped", body()[:-1] + b', "\\u0069d": "again"}', R.DUPLICATE_KEY),
    Row("B8 nesting of 100,000", b"[" * 100_000, R.TOO_LARGE),
    Row("B8 nesting within the size limit", raw("carrier", "[" * 32_000 + "]" * 32_000), R.WRONG_TYPE),
    Row("B8 nesting in an undeclared field", body()[:-1] + b', "x": ' + b'{"a":' * 12_000, R.UNKNOWN_FIELD),
    Row("B9 number of 5,000 digits", raw("weight", "9" * 5_000), R.OUT_OF_RANGE),
    Row("B9 integer of 400 digits", raw("stops", "9" * 400), R.OUT_OF_RANGE),
    Row("B9 integer of 5,000 digits", raw("stops", "-" + "9" * 5_000), R.OUT_OF_RANGE),
    Row("B10 1e400", raw("weight", "1e400"), R.OUT_OF_RANGE),
    Row("B10 beyond 32 bits", raw("weight", "1e39"), R.OUT_OF_RANGE),
    Row("B10 1e-400 is 0", raw("weight", "1e-400"), SCORED, like=body(weight=0)),
    Row("B10 -0.0 is 0", raw("weight", "-0.0"), SCORED, like=body(weight=0)),
    Row("B10 2^53+1 as float", raw("weight", str(2**53 + 1)), SCORED, like=body(weight=2.0**53)),
    Row("B11 number as text", raw("weight", '"4.5"'), R.WRONG_TYPE),
    Row("B11 1,5", raw("weight", '"1,5"'), R.WRONG_TYPE),
    Row("B11 0x10", raw("weight", "0x10"), R.NOT_JSON),
    Row("B11 boolean for a number", raw("weight", "true"), R.WRONG_TYPE),
    Row("B11 fraction for an integer", raw("stops", "3.0"), R.WRONG_TYPE),
    Row("B12 missing required field", body(weight=...), R.MISSING_FIELD),
    Row("B12 null feature", body(weight=None), R.WRONG_TYPE),
    Row("B12 missing feature, policy reject", body(stops=...), R.MISSING_VALUE),
    Row("B12 missing feature, policy default", body(), SCORED, like=body(floors=1)),
    Row("B12 extra feature", body(surprise=1), R.UNKNOWN_FIELD),
    Row("B13 other order", json.dumps(dict(reversed(json.loads(body()).items()))).encode(), SCORED, like=body()),
    Row("B13 other case", body(weight=..., Weight=4.5), R.UNKNOWN_FIELD),
    Row("B14 unseen category", body(carrier="Z"), SCORED, flags=frozenset({"unseen"})),
    Row("B14 empty category", body(carrier=""), SCORED, flags=frozenset({"unseen"}), like=body(carrier="Z")),
    Row("B14 category of 10 MB", body(carrier="x" * 10_000_000), R.TOO_LARGE, body="reference"),
    Row("B15 age of 999, flagged by contract", body(age=999), SCORED, flags=frozenset({"out_of_range"}), like=body()),
    Row("B15 age of -5, flagged by contract", body(age=-5), SCORED, flags=frozenset({"out_of_range"}), like=body()),
    Row("B15 age at its bound", body(age=120), SCORED, like=body()),
    Row("B15 volume of -5, refused by contract", body(volume=-5), R.OUT_OF_RANGE),
    Row("B15 volume at its bound", body(volume=0), SCORED, like=body()),
    Row("B17 one below the pipeline's limit", sized(MAX_BYTES - 1), SCORED, like=body()),
    Row("B17 at the pipeline's limit", sized(MAX_BYTES), SCORED, like=body()),
    Row("B17 one above the pipeline's limit", sized(MAX_BYTES + 1), R.TOO_LARGE),
    Row("B17 one below the letter's limit", sized(MAX_BODY - 1), R.TOO_LARGE),
    Row("B17 at the letter's limit", sized(MAX_BODY), R.TOO_LARGE),
    Row("B17 one above the letter's limit", sized(MAX_BODY + 1), R.TOO_LARGE, body="reference"),
    Row("B17 one below the topic's limit", sized(fitting(TOPIC_BYTES) - 1), R.TOO_LARGE, body="reference"),
    Row("B17 at the topic's limit", sized(fitting(TOPIC_BYTES)), R.TOO_LARGE, body="reference"),
    Row("B17 one above the topic's limit", sized(fitting(TOPIC_BYTES) + 1), REFUSED),
    Row("B26 an id, first", body(id="twice"), SCORED),
    Row("B26 the same id, same content", body(id="twice"), SCORED, like=body()),
    Row("B27 the same id, other content", body(id="twice", weight=9.0), SCORED, like=body(weight=9.0)),
    Row("B28 id with newline", body(id="a\nb"), R.BAD_ID),
    Row("B28 id with NUL", body(id="a\0b"), R.BAD_ID),
    Row("B28 id that is a path", body(id="../../etc/passwd"), SCORED, like=body()),
    Row("B28 id of 5,000", body(id="x" * 5_000), R.TOO_LONG),
    Row("B28 id of 1 MB", body(id="x" * 1_000_000), R.TOO_LARGE, body="reference"),
    Row("B28 id of look-alikes", body(id="\u0430\u0501m\u0456n"), SCORED, like=body()),
    Row("B28 id that is a formula", body(id="=1+1"), SCORED, like=body()),
    *(Row(f"B29 {n} in the id", body(id=t), SCORED if t.isprintable() else R.BAD_ID) for n, t in INJECTIONS.items()),
    *(
        Row(f"B29 {n} in a category", body(carrier=t), SCORED, flags=frozenset({"unseen"}))
        for n, t in INJECTIONS.items()
    ),
    *(Row(f"B29 {n} in a text", body(phone=t), SCORED, like=body()) for n, t in INJECTIONS.items()),
    Row("B30 entity *", expected=SCORED, **entity("*")),
    Row("B30 entity {", expected=SCORED, **entity("{x}:y")),
    Row("B30 entity of another pipeline", expected=SCORED, **entity("}:weather:a tailrace:{other}:weather:b")),
    Row("B30 entity with CR LF", expected=R.BAD_KEY, **entity("x\r\nFLUSHALL\r\n")),
    Row("B31 no Kafka key", body(), SCORED, key=None),
    Row("B31 empty Kafka key", body(), R.KEY_MISMATCH, key=b""),
    Row("B31 Kafka key of 1 MB", body(), R.KEY_MISMATCH, key=b"k" * 1_000_000, body="reference"),
    Row("B31 binary Kafka key", body(), R.KEY_MISMATCH, key=b"\xff\x00\xfe"),
    Row("B31 repeated header", body(), SCORED, headers=[(TRACEPARENT, TRACE), (TRACEPARENT, b"x")], like=body()),
    Row("B31 binary header", body(), SCORED, headers=[(TRACEPARENT, b"\xff\x00"), ("x", None)], like=body()),
    Row("B31 header of 1 MB", body(), SCORED, headers=[(TRACEPARENT, TRACE), (TRACESTATE, b"s" * 1_000_000)]),
    Row("B31 1,000 headers", body(), SCORED, headers=[(f"h{i}", b"x") for i in range(1_000)], like=body()),
    Row("B32 no event time", body(at=...), R.MISSING_FIELD),
    Row("B32 event time 0", body(at=0), R.BAD_EVENT_TIME),
    Row("B32 negative event time", body(at=-START), R.BAD_EVENT_TIME),
    Row("B32 year 9999", body(at=YEAR_9999), R.BAD_EVENT_TIME),
    Row("B32 year 9999 as text", body(at="9999-12-31T23:59:59Z"), R.BAD_EVENT_TIME),
    Row("B32 microseconds", body(at=MICROSECONDS), R.BAD_EVENT_TIME),
)

# Those that become letters in any pipeline of the tests, with the body that was sent.
LETTERS = tuple(
    row
    for row in ROWS
    if row.expected not in {SCORED, REFUSED, reasons.MISSING_VALUE}
    and row.body in {"original", "null"}
    and row.key == DEPOT.encode()
    and len(row.value or b"") <= 2 * MAX_BYTES
)
