"""From history files to training data: the same codec, look-ups and matrix as at scoring, in order of event time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.kept import Kept
from services.retrainer.unlabelled import check_unlabelled
from shared.adapters.tables import read_rows
from shared.core.asof import HistoryLookups
from shared.core.bundle_checks import classes_of
from shared.core.codec import RecordCodec, Row
from shared.core.errors import UserError
from shared.core.history import to_label, to_milliseconds, to_update
from shared.core.pipeline import FieldSpec, PipelineSpec
from shared.core.ports import Found
from shared.core.records import Label
from shared.core.versions import misfit

_CHUNK = 8_192
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Files:
    """Where the history is; `features` and `labels` may be None."""

    records: Path
    features: Path | None = None
    labels: Path | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """n labelled records in order of event time: rows, look-ups, targets (class codes or values), times in ms.

    `known` is when each label was known. The counts say what was left out, and why. Where the history has no labels,
    `labelled` is False: every record counts, and its target is NaN.
    """

    rows: list[Row]
    found: Found
    y: NDArray[np.float64]
    times: NDArray[np.int64]
    known: NDArray[np.int64]
    refused: Mapping[str, int]
    unlabelled: int
    young: int
    duplicates: int
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.rows)


def load_dataset(
    spec: PipelineSpec,
    codec: RecordCodec,
    files: Files,
    *,
    until: int | None,
    progress: Progress,
    before: int | None = None,
) -> Dataset:
    """Read, join and order the history.

    Args:
        spec: the pipeline.
        codec: its codec.
        files: the history.
        until: only records before this event time (ms), and labels that were known by then; None: the spec's bound.
        progress: told what is being done.
        before: only records before this event time (ms) as well, with what was known of them at `until`; None: no more.

    Raises:
        UserError: a file or a row cannot be read; names file and row.
    """
    if files.labels is None:
        check_unlabelled(spec)
    begin = bound(spec.history.train_from, "history.train_from")
    end = bound(spec.history.train_until, "history.train_until") if until is None else until
    labels = None if files.labels is None else _labels(spec, files.labels, end)
    progress("no labels: learning what is usual" if labels is None else f"{len(labels):,} labels")
    kept = Kept(spec, codec)
    rows, times, refused, out = _records(spec, codec, files.records, (begin, before, end), labels, kept)
    progress(f"{len(rows):,} {'' if labels is None else 'labelled '}records")
    order = sorted(range(len(rows)), key=times.__getitem__)
    rows, times = [rows[i] for i in order], [times[i] for i in order]
    updates = chain(_updates(spec, files.features), kept.updates())
    found = HistoryLookups(updates, spec.lookups).get_many(_entities(spec, codec, rows), times)
    moments = np.array(times, dtype=np.int64)
    if labels is None:
        y = np.full(len(rows), np.nan)
        return Dataset(rows, found, y, moments, moments, refused, *out, labelled=False)
    matched = [labels[i] for i in map(codec.getter(spec.record.id), rows)]
    known = np.array([label.time for label in matched], dtype=np.int64)
    y = np.array([_target(spec, label) for label in matched], dtype=np.float64)
    return Dataset(rows, found, y, moments, known, refused, *out)


def bound(text: str, key: str) -> int | None:
    """An RFC 3339 time or a date (UTC) as ms; None where empty.

    Raises:
        UserError: neither; names the key.
    """
    if not text:
        return None
    try:
        if len(text) == len("2013-01-31"):
            return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
        return to_milliseconds(text)
    except ValueError:
        raise UserError(f"{key}: {text} is no time", remedy="write 2013-02-01 or 2013-02-01T00:00:00Z") from None


def take(found: Found, index: Sequence[int]) -> Found:
    """The look-ups of some of the records."""
    return Found(
        values={group: [column[i] for i in index] for group, column in found.values.items()},
        ages={group: [column[i] for i in index] for group, column in found.ages.items()},
        causes={group: [column[i] for i in index] for group, column in found.causes.items()},
    )


def _labels(spec: PipelineSpec, path: Path, until: int | None) -> dict[str, Label]:
    """The label of each id as it was known at `until`: the highest revision, of equal ones the first."""
    labels: dict[str, Label] = {}
    for number, row in enumerate(read_rows(path), 1):
        try:
            label = to_label(row, numeric=spec.task == "regression")
            _target(spec, label)
        except (KeyError, ValueError) as error:
            raise UserError(f"{path}: row {number}: {error}", remedy="mend the labels") from None
        if until is not None and label.time >= until:
            continue
        if label.id not in labels or label.revision > labels[label.id].revision:
            labels[label.id] = label
    return labels


def _records(
    spec: PipelineSpec,
    codec: RecordCodec,
    path: Path,
    between: tuple[int | None, int | None, int | None],
    labels: Mapping[str, Label] | None,
    kept: Kept,
) -> tuple[list[Row], list[int], dict[str, int], tuple[int, int, int]]:
    """Rows and their times; refusals by reason; how many had no label, were too young for one, or repeat an id.

    `between` is the first event time that is wanted, that behind the last one, and the moment as of which it is known.
    """
    rows: list[Row] = []
    times: list[int] = []
    refused: dict[str, int] = {}
    seen: set[str] = set()
    duplicates = unlabelled = young = 0
    begin, before, end = between
    last = min((one for one in (before, end) if one is not None), default=None)
    horizon = int(spec.labels.horizon * 1000)
    for values in _chunks(_encoded(spec, read_rows(path)), _CHUNK):
        decoded = codec.decode(values)
        for _, reason, _ in decoded.refused:
            refused[reason] = refused.get(reason, 0) + 1
        for row, name, at in zip(decoded.rows, decoded.ids, decoded.times, strict=True):
            if last is not None and at >= last:
                continue
            kept.add(row, name, at)
            if begin is not None and at < begin:
                continue
            label = None if labels is None else labels.get(name)
            if name in seen:
                duplicates += 1
            elif labels is not None and end is not None and at + horizon > end:
                young += 1  # of these only the quick labels are known: they would teach that quick ones are common
            elif labels is not None and (label is None or label.time > at + horizon):
                unlabelled += 1
            else:
                rows.append(row)
                times.append(at)
            seen.add(name)
    return rows, times, refused, (unlabelled, young, duplicates)


def _encoded(spec: PipelineSpec, rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode
    for row in rows:
        yield encode(dict(_cells(spec, row)))


def _cells(spec: PipelineSpec, row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        field = spec.record.fields.get(name)
        if value is None and (field is None or not field.nullable):
            continue  # no value: absent, unless the pipeline lets it be null
        yield name, _typed(field, value) if field is not None and isinstance(value, str) else value


def _typed(field: FieldSpec, text: str) -> Any:
    """A text cell (CSV) by the declared type; what does not convert stays text, and the codec refuses it."""
    try:
        if field.type == "integer":
            return int(text)
        if field.type == "number":
            return float(text)
        if field.type == "timestamp":
            return to_milliseconds(text)
    except ValueError:
        return text
    if field.type == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _updates(spec: PipelineSpec, path: Path | None) -> Iterator[Any]:
    if path is None or not spec.lookups:
        return
    for number, row in enumerate(read_rows(path), 1):
        group = spec.lookups.get(str(row.get("group")))
        if group is None:
            raise UserError(f"{path}: row {number}: group {row.get('group')!r} is not declared", remedy="see lookups")
        if group.aggregates:
            what = f"{path}: row {number}: group {row.get('group')!r} is kept from the records"
            raise UserError(what, remedy="leave its rows out; the platform computes them")
        try:
            update = to_update(row, group.fields)
        except (KeyError, ValueError) as error:
            raise UserError(f"{path}: row {number}: {error}", remedy="mend the features") from None
        if name := misfit(update.values, group):
            raise UserError(f"{path}: row {number}: {name} does not fit lookups.{update.group}", remedy="mend the row")
        yield update


def _entities(spec: PipelineSpec, codec: RecordCodec, rows: Sequence[Row]) -> dict[str, list[str | None]]:
    entities: dict[str, list[str | None]] = {}
    for group, lookup in spec.lookups.items():
        values = map(codec.getter(lookup.key), rows)
        entities[group] = [value if isinstance(value, str) else None for value in values]
    return entities


def _target(spec: PipelineSpec, label: Label) -> float:
    """A label as a class code or a value.

    Raises:
        ValueError: it is neither; names its id, and the classes.
    """
    if spec.task == "regression":
        if isinstance(label.value, bool | str):
            raise ValueError(f"{label.id} has {label.value!r}, a number is expected")
        return float(label.value)
    word = ("true" if label.value else "false") if isinstance(label.value, bool) else str(label.value)
    classes = classes_of(spec)
    if word in classes:
        return float(classes.index(word))
    if spec.task == "binary" and isinstance(label.value, bool):
        positive = classes.index(spec.labels.positive) if spec.labels.positive in classes else 1
        return float(positive if label.value else 1 - positive)
    raise ValueError(f"{label.id} is {word[:40]!r}, classes are {', '.join(classes)} (labels.classes)")


def _chunks(values: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    waiting = iter(values)
    while chunk := list(islice(waiting, size)):
        yield chunk
