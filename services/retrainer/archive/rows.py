"""One row of the archive: an outcome, taken apart into columns that a table library can use, and put together again."""

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.adapters.parquet import Schema, Table, make, values
from shared.core.monitor_records import Outcome
from shared.core.records import SCHEMA_VERSION, Prediction

VERSION = "1"
"""Of the columns; a newer one may add columns and must not change what is here."""
SCHEMA: Schema = {
    "partition": "int",
    "offset": "int",
    "id": "text",
    "key": "text",
    "event_time": "time",
    "record_partition": "int",
    "record_offset": "int",
    "version": "text",
    "digest": "text",
    "epoch": "int",
    "score": "float",
    "answer": "text",
    "probabilities": "text",
    "interval_low": "float",
    "interval_high": "float",
    "flags": "words",
    "ages": "text",
    "status": "text",
    "label": "text",
    "label_number": "float",
    "label_time": "time",
    "revision": "int",
    "label_partition": "int",
    "label_offset": "int",
    "logged": "time",
    "record": "text",
    "lookups": "text",
}
Raws = Sequence[tuple[int, bytes]]
"""Offsets in `outcomes`, and the values that stand there."""


class _Observation(msgspec.Struct, frozen=True, gc=False, tag="observation", tag_field="type"):
    """As `records.Observation`; its look-ups stay the bytes that they are."""

    prediction: Prediction
    record: msgspec.Raw
    lookups: msgspec.Raw
    digest: str
    logged: int


class _Outcome(Outcome, frozen=True):
    observation: _Observation  # type: ignore[assignment] # the same bytes, read less far


_decode = msgspec.json.Decoder(_Outcome).decode
_text = msgspec.json.Encoder().encode


def table_of(partition: int, raws: Raws) -> tuple[Table, list[int]]:
    """The rows of a partition's outcomes, in their order, and the offsets of what is no outcome."""
    rows: list[tuple[Any, ...]] = []
    invalid: list[int] = []
    for offset, raw in raws:
        try:
            rows.append(_row(partition, offset, _decode(raw)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            invalid.append(offset)
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    return make(dict(zip(SCHEMA, columns, strict=True)), SCHEMA), invalid


def predictions(table: Table, *, numeric: bool) -> list[Prediction]:
    """The predictions of rows, as they were published; `numeric`: an answer is a number, as in a regression."""
    columns = [values(table, name) for name in ("id", "key", "record_partition", "record_offset", "event_time")]
    columns += [values(table, name) for name in ("score", "answer", "version", "digest", "epoch", "probabilities")]
    columns += [values(table, name) for name in ("interval_low", "interval_high", "flags", "ages")]
    tree = msgspec.json.Decoder(dict[str, float | None]).decode
    return [
        Prediction(
            SCHEMA_VERSION, id_, key, (partition, offset), time, score, float(answer) if numeric else answer, version,
            digest[:16], epoch, tree(shares) if shares else None,  # type: ignore[arg-type] # of a share none is null
            None if low is None else (low, high), tuple(flags or ()), tree(ages) if ages else None,
        )
        for (
            id_, key, partition, offset, time, score, answer, version, digest, epoch, shares, low, high, flags, ages,
        ) in zip(*columns, strict=True)
    ]  # fmt: skip


def _row(partition: int, offset: int, outcome: _Outcome) -> tuple[Any, ...]:
    seen, label = outcome.observation, outcome.label
    told, value = seen.prediction, label.value
    low, high = told.interval or (None, None)
    is_word = isinstance(value, str | bool)
    return (
        partition, offset, told.id, told.key, told.event_time, *told.at, told.version, seen.digest, told.epoch,
        told.score, told.label if isinstance(told.label, str) else repr(told.label), _json(told.probabilities),
        low, high, list(told.flags), _json(told.ages), outcome.status, word_of(value) if is_word else None,
        None if is_word else float(value), label.time, label.revision, *outcome.at, seen.logged,
        bytes(seen.record).decode(), bytes(seen.lookups).decode(),
    )  # fmt: skip


def word_of(value: object) -> str:
    """A label that is no number, as text; a boolean as JSON writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _json(tree: object) -> str | None:
    return None if tree is None else _text(tree).decode()
