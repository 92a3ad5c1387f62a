"""What the codec refuses, each case with its reason; and that nothing but the declared schema passes."""

import json
from typing import Any

import msgspec
import pytest

from shared.core import reasons
from shared.core.codec import EARLIEST_MS, RecordCodec
from shared.core.duplicates import has_duplicate_keys
from shared.core.pipeline import FieldSpec, PipelineSpec
from tests.support.spec import make_spec

AT = 1_357_000_000_000
GOOD: dict[str, Any] = {"id": "r1", "depot": "JFK", "at": AT, "weight": 1.5, "carrier": "UA"}
DAY = 86_400_000
FIELDS: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "max_length": 64},
    "depot": {"type": "string", "max_length": 16},
    "at": {"type": "timestamp"},
    "weight": {"type": "number", "minimum": -5.0, "maximum": 1000.0},
    "stops": {"type": "integer", "required": False, "minimum": 0, "maximum": 9},
    "carrier": {"type": "string", "nullable": True, "max_length": 8},
    "fragile": {"type": "boolean", "required": False, "nullable": True},
    "due": {"type": "timestamp", "required": False, "nullable": True},
}


def spec(**record: Any) -> PipelineSpec:
    """Parcels with bounds, and every kind of field."""
    section = {"id": "id", "key": "depot", "event_time": "at", "fields": FIELDS, "max_bytes": 2_000, "max_future": "2d"}
    return make_spec(record=section | record, privacy={})


CODEC = RecordCodec(spec())


def body(**changes: Any) -> bytes:
    """A good record with changes; None leaves a field out."""
    tree = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return json.dumps(tree).encode()


def raw(text: str, field: str = "weight") -> bytes:
    """A good record with one field's JSON text replaced."""
    return body(**{field: "@@"}).replace(b'"@@"', text.encode("utf-8", "surrogatepass"))


def reason(value: bytes | None, key: bytes | None = None, logged: int | None = None, codec: RecordCodec = CODEC) -> str:
    """Why a record is refused, or nothing; the same alone and between good ones."""
    alone = codec.decode([value], [key], None if logged is None else lambda: [logged])
    among = codec.decode(
        [body(), value, body()],
        [b"JFK", key, None],
        None if logged is None else lambda: [logged + DAY, logged, logged + DAY],
    )
    assert [r[1:] for r in alone.refused] == [r[1:] for r in among.refused]
    assert among.ids[0] == among.ids[-1] == "r1"
    assert list(among.index) == [i for i in range(3) if i != 1 or not among.refused]
    return alone.refused[0][1] if alone.refused else ""


CASES: list[tuple[str, bytes | None, str]] = [
    ("B1 null value", None, reasons.EMPTY),
    ("B1 empty value", b"", reasons.EMPTY),
    ("B1 white space", b" \n", reasons.NOT_JSON),
    ("B2 not JSON", b"id=r1", reasons.NOT_JSON),
    ("B2 truncated", body()[:-1], reasons.NOT_JSON),
    ("B2 trailing text", body() + b"x", reasons.NOT_JSON),
    ("B2 two objects", body() + body(), reasons.NOT_JSON),
    ("B2 array", b"[1]", reasons.WRONG_TYPE),
    ("B2 null", b"null", reasons.WRONG_TYPE),
    ("B4 broken UTF-8", body(id="@@").replace(b"@@", b"\xff"), reasons.NOT_JSON),
    ("B4 overlong UTF-8", body(id="@@").replace(b"@@", b"\xc0\xaf"), reasons.NOT_JSON),
    ("B4 UTF-16", body().decode().encode("utf-16"), reasons.NOT_JSON),
    ("B4 UTF-16 without mark", body().decode().encode("utf-16-le"), reasons.NOT_JSON),
    ("B4 byte order mark", b"\xef\xbb\xbf" + body(), reasons.NOT_JSON),
    ("B5 lone surrogate", raw('"\\ud800"', "id"), reasons.NOT_JSON),
    ("B5 reversed surrogates", raw('"\\udc00\\ud800"', "id"), reasons.NOT_JSON),
    ("B5 raw surrogate", raw('"\ud800"', "id"), reasons.NOT_JSON),
    ("B6 NaN", raw("NaN"), reasons.NOT_JSON),
    ("B6 Infinity", raw("Infinity"), reasons.NOT_JSON),
    ("B6 -Infinity", raw("-Infinity"), reasons.NOT_JSON),
    ("B7 duplicate key", b'{"id":"r0",' + body()[1:], reasons.DUPLICATE_KEY),
    ("B7 duplicate number", b'{"weight":1,' + body()[1:], reasons.DUPLICATE_KEY),
    ("B7 duplicate, escaped", b'{"\\u0069d":"r0",' + body()[1:], reasons.DUPLICATE_KEY),
    ("B7 duplicate, spaced", b'{ "id" :\t"r0" ,\n' + body()[1:], reasons.DUPLICATE_KEY),
    ("B7 duplicate null for text", b'{"carrier":null,' + body()[1:], reasons.DUPLICATE_KEY),
    ("B7 text, then null", body(carrier="UA")[:-1] + b',"carrier":null}', reasons.DUPLICATE_KEY),
    ("B7 optional twice, one null", body(due=None)[:-1] + b',"due":"2013-01-01T00:00:00Z"}', reasons.DUPLICATE_KEY),
    ("B7 optional number twice", body(stops=1)[:-1] + b',"stops":2}', reasons.DUPLICATE_KEY),
    ("B7 timestamp twice", body(due=AT)[:-1] + b',"due":null}', reasons.DUPLICATE_KEY),
    ("B8 nested 100,000 deep", b'{"id":' * 100_000, reasons.TOO_LARGE),
    ("B8 nested within the limit", b"[" * 1_999, reasons.WRONG_TYPE),
    ("B9 integer of 1,900 digits", raw("9" * 1_900, "stops"), reasons.OUT_OF_RANGE),
    ("B9 number of 1,900 digits", raw("9" * 1_900), reasons.OUT_OF_RANGE),
    ("B10 1e400", raw("1e400"), reasons.OUT_OF_RANGE),
    ("B10 1e-400", raw("1e-400"), ""),
    ("B10 -0.0", raw("-0.0"), ""),
    ("B10 leading zero", raw("01"), reasons.NOT_JSON),
    ("B10 leading plus", raw("+1"), reasons.NOT_JSON),
    ("B11 number as text", raw('"1.5"'), reasons.WRONG_TYPE),
    ("B11 comma", raw('"1,5"'), reasons.WRONG_TYPE),
    ("B11 hexadecimal", raw("0x10"), reasons.NOT_JSON),
    ("B11 boolean for number", raw("true"), reasons.WRONG_TYPE),
    ("B11 number for boolean", raw("1", "fragile"), reasons.WRONG_TYPE),
    ("B11 text for boolean", raw('"true"', "fragile"), reasons.WRONG_TYPE),
    ("B11 number for text", raw("1", "id"), reasons.WRONG_TYPE),
    ("B11 fraction for integer", raw("1.5", "stops"), reasons.WRONG_TYPE),
    ("B11 whole fraction for integer", raw("1.0", "stops"), reasons.WRONG_TYPE),
    ("B12 missing field", body(weight=...), reasons.MISSING_FIELD),
    ("B12 null where none may be", raw("null"), reasons.WRONG_TYPE),
    ("B12 null where it may", raw("null", "carrier"), ""),
    ("B12 unknown field", body(color="red"), reasons.UNKNOWN_FIELD),
    ("B13 other case", body(weight=...)[:-1] + b',"Weight":1.5}', reasons.UNKNOWN_FIELD),
    ("B14 empty category", body(carrier=""), ""),
    ("B14 long category", body(carrier="x" * 9), reasons.TOO_LONG),
    ("B14 huge category", body(carrier="x" * 10_000_000), reasons.TOO_LARGE),
    ("B15 below the range", raw("-5.1"), reasons.OUT_OF_RANGE),
    ("B15 at the minimum", raw("-5"), ""),
    ("B15 above the range", raw("1000.5"), reasons.OUT_OF_RANGE),
    ("B15 integer above", raw("10", "stops"), reasons.OUT_OF_RANGE),
    ("B28 empty id", body(id=""), reasons.BAD_ID),
    ("B28 newline in id", body(id="a\nb"), reasons.BAD_ID),
    ("B28 NUL in id", body(id="a\0b"), reasons.BAD_ID),
    ("B28 ANSI in id", body(id="\x1b[31m"), reasons.BAD_ID),
    ("B28 line separator in id", body(id="a\u2028b"), reasons.BAD_ID),
    ("B28 right-to-left mark in id", body(id="a\u202eb"), reasons.BAD_ID),
    ("B28 long id", body(id="x" * 65), reasons.TOO_LONG),
    ("B28 path in id, inert", body(id="../../etc"), ""),
    ("B28 formula in id, inert", body(id="=1+1"), ""),
    ("B28 look-alike in id, inert", body(id="\u0430bc"), ""),
    ("B30 newline in entity", body(depot="a\r\nSET x"), reasons.BAD_KEY),
    ("B30 empty entity", body(depot=""), reasons.BAD_KEY),
    ("B32 time missing", body(at=...), reasons.MISSING_FIELD),
    ("B32 time 0", body(at=0), reasons.BAD_EVENT_TIME),
    ("B32 negative time", body(at=-1), reasons.BAD_EVENT_TIME),
    ("B32 seconds for milliseconds", body(at=AT // 1000), reasons.BAD_EVENT_TIME),
    ("B32 just before 1980", body(at=EARLIEST_MS - 1), reasons.BAD_EVENT_TIME),
    ("B32 at 1980", body(at=EARLIEST_MS), ""),
    ("B32 text without offset", body(at="2013-01-01T00:00:00"), reasons.WRONG_TYPE),
    ("B32 date alone", body(at="2013-01-01"), reasons.WRONG_TYPE),
    ("B32 text with offset", body(at="2013-01-01T00:00:00-05:00"), ""),
    ("B32 fraction", raw("1357000000000.5", "at"), reasons.WRONG_TYPE),
    ("B32 year 1", body(at="0001-01-01T00:00:00+14:00"), reasons.BAD_EVENT_TIME),
]


@pytest.mark.parametrize(("name", "value", "expected"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_has_its_reason(name: str, value: bytes | None, expected: str) -> None:
    """Each bad input by its number: one refusal with the reason, and its neighbours are scored."""
    del name
    assert reason(value) == expected


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("just within", AT + 2 * DAY, ""),
        ("just beyond", AT + 2 * DAY + 1, reasons.BAD_EVENT_TIME),
        ("microseconds", AT * 1000, reasons.BAD_EVENT_TIME),
        ("year 9999", "9999-12-31T23:59:59Z", reasons.BAD_EVENT_TIME),
        ("beyond 64 bits", 10**30, reasons.BAD_EVENT_TIME),
    ],
)
def test_event_time_too_far_after_its_arrival(name: str, at: int | str, expected: str) -> None:
    """B32: the watermark cannot jump, since such a record is refused."""
    del name
    assert reason(body(at=at), logged=AT) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, ""),
        (b"JFK", ""),
        (b"", reasons.KEY_MISMATCH),
        (b"LGA", reasons.KEY_MISMATCH),
        (b"\xff" * 1_000_000, reasons.KEY_MISMATCH),
    ],
    ids=["null", "equal", "empty", "other", "1 MB of no UTF-8"],
)
def test_kafka_key_is_the_entity_or_absent(key: bytes | None, expected: str) -> None:
    """B31: a record under another entity's key would break the order within the entity."""
    assert reason(body(), key) == expected


def test_size_limit_is_exact() -> None:
    """B17: a record at the limit passes, one byte more does not, in the fast way as in the slow one."""
    at_limit = body() + b" " * (2_000 - len(body()))
    assert (reason(at_limit), reason(at_limit + b" ")) == ("", reasons.TOO_LARGE)


def test_refusals_stay_in_input_order_with_their_places() -> None:
    """Records refused by decoding and by checking are reported together, in input order."""
    values = [b"{", body(id=""), body(), None, body(at=0), body(id="r2")]
    decoded = CODEC.decode(values)
    assert [(i, why) for i, why, _ in decoded.refused] == [
        (0, reasons.NOT_JSON), (1, reasons.BAD_ID), (3, reasons.EMPTY), (4, reasons.BAD_EVENT_TIME),
    ]  # fmt: skip
    assert (list(decoded.index), decoded.ids, decoded.keys, decoded.times) == (
        [2, 5],
        ["r1", "r2"],
        ["JFK"] * 2,
        [AT] * 2,
    )


def test_empty_batch_is_empty() -> None:
    """Nothing in, nothing out."""
    decoded = CODEC.decode([], [], list)
    assert (decoded.rows, decoded.refused) == ([], [])


def test_times_as_text_and_as_number_are_one() -> None:
    """RFC 3339 and milliseconds name the same moment, to the millisecond."""
    texts = ["2013-01-01T00:26:40.123Z", "2012-12-31T19:26:40.123-05:00", 1_357_000_000_123]
    assert CODEC.decode([body(at=t) for t in texts]).times == [1_357_000_000_123] * 3


def test_escaped_quotes_cost_a_look_and_pass() -> None:
    """A quote within a text makes the count differ; the exact look finds no duplicate."""
    assert reason(body(carrier='a"b"c')) == ""
    assert reason(raw('"\\u0022x"', "carrier")) == ""


def test_ignored_fields_hide_no_duplicate() -> None:
    """With `extra: ignore` other fields pass, at any depth; a key that stands twice in any of them does not."""
    codec = RecordCodec(spec(extra="ignore"))
    assert reason(body(more={"a": [1, {"b": "c"}]}), codec=codec) == ""
    assert reason(body()[:-1] + b',"more":{"a":1,"a":2}}', codec=codec) == reasons.DUPLICATE_KEY
    assert reason(body()[:-1] + b',"more":1,"more":1}', codec=codec) == reasons.DUPLICATE_KEY
    assert reason(b'{"id":"r0","more":1,' + body(carrier=None)[1:], codec=codec) == reasons.DUPLICATE_KEY


@pytest.mark.parametrize("text", [b"NaN", b'"\\ud800"', b'"\xff"', b"1e400", b"9" * 1_500], ids=str)
def test_ignored_fields_are_json_too(text: bytes) -> None:
    """What is ignored must still be JSON that every reader of the observation can take apart."""
    codec = RecordCodec(spec(extra="ignore"))
    value = body()[:-1] + b',"more":' + text + b"}"
    if not reason(value, codec=codec):
        msgspec.json.decode(value)
    assert reason(value, codec=codec) in {"", reasons.NOT_JSON}


def test_flagged_range_passes_the_codec() -> None:
    """B15: `out_of_range: flag` is the matrix's business, not the codec's."""
    fields = FIELDS | {"weight": {"type": "number", "minimum": 0.0, "maximum": 1.0, "out_of_range": "flag"}}
    assert reason(raw("999"), codec=RecordCodec(spec(fields=fields))) == ""


@pytest.mark.parametrize(
    "field", [{}, {"minimum": 0, "maximum": 9, "out_of_range": "flag"}], ids=["unbounded", "flagged"]
)
def test_integers_have_64_bits_whatever_their_bounds(field: dict[str, Any]) -> None:
    """B9: a number of thousands of digits is out of range, not an exception where the matrix is made."""
    codec = RecordCodec(spec(fields=FIELDS | {"stops": {"type": "integer", "required": False} | field}))
    inside, beyond = (str(2**63 - 1), str(-(2**63))), (str(2**63), str(-(2**63) - 1), "9" * 400, "-" + "9" * 1_800)
    assert [reason(raw(text, "stops"), codec=codec) for text in inside] == [""] * len(inside)
    assert [reason(raw(text, "stops"), codec=codec) for text in beyond] == [reasons.OUT_OF_RANGE] * len(beyond)


def test_exact_look_says_duplicate_where_it_cannot_tell() -> None:
    """Beyond the parser's limits nothing is provably single."""
    assert [has_duplicate_keys(v) for v in (b'{"a":1}', b'{"a":1,"a":1}', b"[" * 100_000, b"9" * 5_000)] == [
        False, True, True, True,
    ]  # fmt: skip


def test_field_spec_bounds_are_closed() -> None:
    """Both bounds belong to the range."""
    assert (FieldSpec(type="number").minimum, reason(raw("1000")), reason(raw("0", "stops"))) == (None, "", "")
