"""Malformed records that the demo mixes in, as a careless or hostile producer of this pipeline would send them."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import msgspec

from shared.core.pipeline import FieldSpec, RecordSpec

_encode = msgspec.json.encode
_NAN = "\0nan"  # stands for what JSON cannot say, until the text is there
_WRONG: Mapping[str, Any] = {"string": 7, "integer": "1,5", "number": "1,5", "boolean": "maybe", "timestamp": "soon"}
_AT = "2020-01-01T00:00:00Z"


def malformed(record: RecordSpec) -> tuple[bytes, ...]:
    """Everything that can be wrong with one record of this schema, each once.

    None of them can be scored: not JSON, cut off, empty, too large; for the declared fields a wrong type, a missing
    one, null, NaN, a value out of range or too long, a key that stands twice, a field that nobody declared.
    """
    good = {name: _good(name, field) for name, field in record.fields.items() if field.required}
    whole = _encode(good)
    changed = (_encode(fault).replace(_encode(_NAN), b"NaN") for fault in _faults(record, good))
    twice = b'{"%s": "a", ' % record.id.encode() + whole[1:]
    cut = whole[: len(whole) // 2]
    return (b"not json at all", cut, twice, b"\xff\xfe\x00", b"[" * 5_000, b"", b"null", b"[]", *changed)


def _faults(record: RecordSpec, good: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, field in record.fields.items():
        yield {**good, name: _WRONG[field.type]}
        if field.required:
            yield {other: value for other, value in good.items() if other != name}
        if not field.nullable:
            yield {**good, name: None}
        if field.type in {"number", "integer"}:
            yield {**good, name: _NAN}
        if field.type == "string":
            yield {**good, name: "x" * (field.max_length + 1)}
        if field.out_of_range == "reject":
            yield from ({**good, name: beyond} for beyond in _beyond(field))
    yield {**good, record.event_time: 1_234}
    yield {**good, record.id: ""}
    if record.extra == "refuse":
        yield {**good, "nobody_declared_this": 1}


def _beyond(field: FieldSpec) -> Iterator[float]:
    whole = int if field.type == "integer" else float
    if field.minimum is not None:
        yield whole(field.minimum - 1)
    if field.maximum is not None:
        yield whole(field.maximum + 1)


def _good(name: str, field: FieldSpec) -> Any:
    if field.type == "string":
        return name[: field.max_length]
    if field.type == "timestamp":
        return _AT
    if field.type == "boolean":
        return True
    bounds = [bound for bound in (field.minimum, field.maximum) if bound is not None]
    return (int if field.type == "integer" else float)(bounds[0] if bounds else 1)


class Mix:
    """Gives a malformed record after about one record in `every`.

    Args:
        record: the schema that they break.
        seed: which ones, and where.
        every: mean distance.
    """

    def __init__(self, record: RecordSpec, seed: int, every: int) -> None:
        self._samples = malformed(record)
        self._random, self._every = Random(seed), every  # noqa: S311 - a demo's dice

    def __call__(self, n: int) -> bytes | None:
        """What follows the n-th record: a malformed one, or nothing."""
        del n
        return self._random.choice(self._samples) if self._random.randrange(self._every) == 0 else None
