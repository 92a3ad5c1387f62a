"""The codec against an oracle: Python's own parser, and every rule written down a second time."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.codec import EARLIEST_MS, RecordCodec
from tests.support.spec import make_spec

FIELDS: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "max_length": 3},
    "depot": {"type": "string", "nullable": False, "max_length": 256},
    "at": {"type": "timestamp"},
    "weight": {"type": "number", "minimum": -5.0, "maximum": 1000.0},
    "stops": {"type": "integer", "required": False, "nullable": True, "minimum": 0, "maximum": 9},
    "carrier": {"type": "string", "required": False, "nullable": True},
    "fragile": {"type": "boolean", "required": False},
}


def codec(extra: str) -> RecordCodec:
    """A codec of these fields."""
    section = {"id": "id", "key": "depot", "event_time": "at", "fields": FIELDS, "extra": extra, "max_bytes": 400}
    return RecordCodec(make_spec(record=section, features=[{"name": "weight"}], lookups={}, privacy={}))


CODECS = {extra: codec(extra) for extra in ("refuse", "ignore")}
# Keys are drawn as JSON text, so that one key has several spellings.
KEYS = st.sampled_from(
    [*(f'"{name}"' for name in FIELDS), '"\\u0069d"', '"\\u0073tops"', '"ID"', '"x"', '"a\\"b"', '""']
)
NUMBERS = st.one_of(
    st.integers(-3, 12), st.integers(EARLIEST_MS - 2, EARLIEST_MS + 2), st.floats(-10, 1100, allow_nan=False),
    st.sampled_from([10**30, -(10**30), 2**53 + 1]),
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=4), st.sampled_from(["2013-01-01T00:00:00Z", 'a"b', "\\", "ab\u2028", "\0", "😀😀😀"])
)
ODD = st.sampled_from(
    [
        "NaN",
        "1e400",
        "-0",
        "01",
        "1.",
        "1e2",
        "tru",
        "'a'",
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u0022"',
        '"\x01"',
        "{}",
    ]
)
VALUES = st.one_of(
    NUMBERS.map(json.dumps), TEXTS.map(json.dumps), TEXTS.map(lambda t: json.dumps(t, ensure_ascii=False)),
    st.sampled_from(["null", "true", "false", "[]", '{"x":1,"x":2}', '{"x":{"y":[1]}}']), ODD,
)  # fmt: skip
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t\r"])
GOOD = {
    "id": st.sampled_from(['"a"', '"\\u0061"', '"b\\"c"']),
    "depot": st.sampled_from(['"JFK"', '"é"']),
    "at": st.sampled_from(["1357000000000", '"2013-01-01T00:00:00Z"']),
    "weight": st.sampled_from(["1", "1.5", "-5", "1000"]),
    "stops": st.sampled_from(["0", "9", "null"]),
    "carrier": st.sampled_from(['"UA"', "null", '""']),
    "fragile": st.sampled_from(["true", "false"]),
}


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """A record that is mostly good, with a few pairs added, dropped, doubled, disturbed."""
    names = [n for n in FIELDS if draw(st.integers(0, 4)) or n in {"id", "at"}]
    pairs = [(f'"{n}"', draw(GOOD[n])) for n in names]
    for name in draw(st.lists(st.sampled_from(list(FIELDS)), max_size=2)) if draw(st.booleans()) else ():
        pairs.insert(draw(st.integers(0, len(pairs))), (f'"{name}"', draw(GOOD[name])))  # twice, and good each time
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        pair = draw(KEYS), draw(VALUES)
        if draw(st.booleans()) or not pairs:
            pairs.insert(draw(st.integers(0, len(pairs))), pair)
        else:
            at = draw(st.integers(0, len(pairs) - 1))
            pairs[at] = pairs[at][0], draw(VALUES)
    s = [draw(SPACE) for _ in range(5)]
    text = s[0] + "{" + ",".join(f"{s[1]}{k}{s[2]}:{s[3]}{v}" for k, v in pairs) + s[4] + "}"
    return text.encode("utf-8", "surrogatepass")


def oracle(value: bytes, extra: str) -> dict[str, Any] | None:
    """The record as it must be understood, or None where it must be refused."""
    try:
        tree = json.loads(value.decode("utf-8"), object_pairs_hook=_single, parse_constant=_never, parse_float=_finite)
        json.dumps(tree, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return None
    if len(value) > 400 or not isinstance(tree, dict) or (extra == "refuse" and set(tree) - set(FIELDS)):
        return None
    for name, field in FIELDS.items():
        if name not in tree:
            if field.get("required", True):
                return None
        elif not (tree[name] is None and field.get("nullable")) and not _fits(tree[name], field):
            return None
    moment = tree["at"]
    names = tree["id"], tree["depot"]
    if (isinstance(moment, int) and moment < EARLIEST_MS) or not all(n and n.isprintable() for n in names):
        return None
    return {n: v for n, v in tree.items() if n in FIELDS}


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _never(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    if math.isinf(float(text)):
        raise ValueError(text)
    return float(text)


def _fits(value: Any, field: dict[str, Any]) -> bool:
    low, high = field.get("minimum", -math.inf), field.get("maximum", math.inf)
    if field["type"] == "string":
        return isinstance(value, str) and len(value) <= field.get("max_length", 256)
    if field["type"] == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if field["type"] == "timestamp":
        return isinstance(value, int) or value == "2013-01-01T00:00:00Z"
    kinds = int if field["type"] == "integer" else (int, float)
    return isinstance(value, kinds) and bool(low <= value <= high)


@pytest.mark.parametrize("extra", ["refuse", "ignore"])
@settings(max_examples=800, deadline=None)
@given(value=objects())
def test_codec_accepts_exactly_what_the_oracle_accepts(extra: str, value: bytes) -> None:
    """For any object the two agree on whether it is a record, and on each of its values."""
    expected, decoded = oracle(value, extra), CODECS[extra].decode([value])
    assert bool(decoded.rows) == (expected is not None), decoded.refused
    if expected is None:
        return
    known = CODECS[extra]
    got = {name: known.getter(name)(decoded.rows[0]) for name in expected}
    if isinstance(expected["at"], str):
        got["at"], expected["at"] = decoded.times[0], 1_356_998_400_000
    assert got == expected
    assert (decoded.ids, decoded.keys) == ([expected["id"]], [expected["depot"]])


@settings(max_examples=300, deadline=None)
@given(values=st.lists(st.one_of(objects(), st.binary(max_size=8), st.none()), max_size=6))
def test_records_are_judged_alike_alone_and_in_company(values: list[bytes | None]) -> None:
    """The fast way by columns and the slow way one by one never disagree."""
    known = CODECS["refuse"]
    together = known.decode(values)
    alone = [known.decode([v]) for v in values]
    assert [(i, r[0][1:]) for i, r in enumerate(d.refused for d in alone) if r] == [
        (r[0], r[1:]) for r in together.refused
    ]
    assert together.ids == [d.ids[0] for d in alone if d.ids]
    assert list(together.index) == [i for i, d in enumerate(alone) if d.rows]
