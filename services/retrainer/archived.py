"""From the archive to training data: records and look-ups as they were scored, with the labels known at a given time.

Nothing is joined anew: what a model learns is what the scorer saw, so there is no skew to look for.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.archive.names import day_of
from services.retrainer.archive.rows import predictions, table_of
from services.retrainer.archive.store import Archive, once
from services.retrainer.dataset import Dataset
from services.retrainer.selection import merged, only, select
from shared.adapters.parquet import Table, UnreadableError, codes, joined, numbers, raws, take, values
from shared.core.asof import FIRST
from shared.core.bundle_checks import classes_of
from shared.core.codec import RecordCodec, Row
from shared.core.errors import Invalid
from shared.core.features import STALE
from shared.core.left import as_left
from shared.core.pipeline import LookupSpec, PipelineSpec
from shared.core.ports import Found
from shared.core.records import Prediction

__all__ = ["Archived", "Known", "as_known_at", "load_archived", "merged", "only", "select"]

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Archived:
    """n outcomes in order of event time: what to learn from (`data`), and what was said of each when it was scored.

    `versions`, `epochs` and `predictions` are those in force then. `offsets` are the ranges that the rows came from,
    `outcomes/3` -> [from, to) of the outcomes and `records/3` of the records. `ignored` files could not be read.
    """

    data: Dataset
    ids: Sequence[str]
    keys: Sequence[str]
    versions: Sequence[str]
    epochs: Sequence[int]
    predictions: Sequence[Prediction]
    offsets: dict[str, tuple[int, int]]
    ignored: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def load_archived(
    spec: PipelineSpec,
    codec: RecordCodec,
    where: str,
    *,
    begin: int | None,
    until: int,
    as_known: int | None = None,
    progress: Progress,
) -> Archived:
    """Read a pipeline's archive.

    Args:
        spec: the pipeline.
        codec: its codec; rows are of its type where nothing is personal, else of one with the same getters.
        where: URL of the archives (`archive_url(settings)`).
        begin: only records at or after this event time (ms); None: from the first.
        until: only records before this event time.
        as_known: labels and corrections that came before this event time count; None: `until`. Records that had not
            yet had `labels.horizon` to get a label by then are left out: quick labels are no fair sample.
        progress: told in a line what is being done, and of files that cannot be read.

    Raises:
        UserError: no library for the URL, or files of a newer version.
        Unavailable: the archive cannot be read now.
    """
    archive = Archive(where, spec.name)
    rows, ignored = _read(archive, begin, until, progress)
    moment = numbers(rows, "event_time")
    rows = take(rows, moment < until if begin is None else (moment < until) & (moment >= begin))
    known = as_known_at(spec, rows, until if as_known is None else as_known)
    rows = take(rows, known.rows)
    decoded, fit, refused = _records(spec, codec, rows)
    rows = take(rows, fit)
    data = Dataset(
        decoded, _found(spec, rows), _targets(spec, rows), numbers(rows, "event_time"), numbers(rows, "label_time"),
        refused, known.unlabelled, known.young, known.duplicates,
    )  # fmt: skip
    progress(f"{len(decoded):,} outcomes from the archive")
    said = predictions(rows, numeric=spec.task == "regression")
    ids, keys, versions, epochs = (values(rows, name) for name in ("id", "key", "version", "epoch"))
    return Archived(data, ids, keys, versions, epochs, said, _offsets(rows), ignored)


@dataclass(frozen=True, slots=True)
class Known:
    """Which rows are in force, in order of event time, and how many ids were left out for what reason.

    `duplicates` are rows that repeat a revision of an id.
    """

    rows: NDArray[np.int64]
    unlabelled: int
    young: int
    duplicates: int


def as_known_at(spec: PipelineSpec, rows: Table, moment: int) -> Known:
    """The row of each id with the highest revision that was known at an event time (ms); of equal ones the first.

    An id counts if its first label came within `labels.horizon`, and had all of that to come in.
    """
    horizon = int(spec.labels.horizon * 1_000)
    codes_, revisions = codes(rows, "id"), numbers(rows, "revision")
    times, labelled = numbers(rows, "event_time"), numbers(rows, "label_time")
    there = np.flatnonzero(labelled < moment)
    code, revision = codes_[there], revisions[there]
    first = _first(code, np.lexsort((there, revision, code)))
    best = _first(code, np.lexsort((there, -revision, code)))
    old = times[there[best]] + horizon <= moment
    timely = labelled[there[first]] <= times[there[first]] + horizon
    chosen = there[best[old & timely]]
    pairs = np.unique(np.stack([code, revision]), axis=1).shape[1]
    chosen = chosen[np.lexsort((chosen, times[chosen]))]
    return Known(chosen, int((old & ~timely).sum()), int((~old).sum()), len(there) - pairs)


def _first(code: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first place of each code in an order that has equal codes side by side."""
    lined = code[order]
    return order[np.flatnonzero(np.diff(lined, prepend=-1))]


def _read(archive: Archive, begin: int | None, until: int, progress: Progress) -> tuple[Table, tuple[str, ...]]:
    """All rows of the days that may matter, each offset once; and the files that are none."""
    days = "" if begin is None else day_of(begin), day_of(until)
    tables: dict[str, Table | None] = {}
    progress(f"reading {archive.folder.url}")
    while True:
        try:
            files = archive.files(days=days)
            for one in files:
                if one.name not in tables:
                    tables[one.name] = _table(archive, one.name, progress)
            break
        except FileNotFoundError:  # a tail whose range was completed meanwhile, a day beyond retention: look again
            continue
    logs: dict[tuple[str, str], list[Table]] = {}
    for one in files:
        if (table := tables[one.name]) is not None:
            logs.setdefault(one.part.log[:2], []).append(table)
    rows = joined([table_of(0, ())[0], *(once(joined(of)) for _, of in sorted(logs.items()))])
    return archive.kept(rows, archive.erased()), tuple(one.name for one in files if tables[one.name] is None)


def _table(archive: Archive, name: str, progress: Progress) -> Table | None:
    try:
        return archive.table(name)
    except UnreadableError as error:
        progress(f"warning: {archive.folder.url}/{name} is ignored: {error}")
        return None


def _records(
    spec: PipelineSpec, codec: RecordCodec, rows: Table
) -> tuple[list[Row], NDArray[np.int64], dict[str, int]]:
    """The records as rows, which of them (and of their labels) still fit the pipeline, and why the others do not."""
    reader = RecordCodec(as_left(spec)) if spec.privacy.drop or spec.privacy.hash else codec
    decoded: list[Row] = []
    fit: list[int] = []
    refused: Counter[str] = Counter()
    usable = np.isfinite(_targets(spec, rows)).tolist()
    for i, record in enumerate(raws(rows, "record")):
        try:
            row = reader.decode_one(record)
        except Invalid as error:
            refused[error.reason] += 1
            continue
        if usable[i]:
            decoded.append(row)
            fit.append(i)
        else:
            refused["label"] += 1
    return decoded, np.array(fit, dtype=np.int64), dict(refused)


def _targets(spec: PipelineSpec, rows: Table) -> NDArray[np.float64]:
    """Class codes or values; NaN where the label is none of the classes that are declared now."""
    words, given = values(rows, "label"), values(rows, "label_number")
    if spec.task == "regression":
        return np.array([np.nan if number is None else number for number in given], dtype=np.float64)
    place = {word: float(i) for i, word in enumerate(classes_of(spec))}
    texts = [f"{number:g}" if word is None else word for word, number in zip(words, given, strict=True)]
    return np.array([place.get(text, np.nan) for text in texts], dtype=np.float64)


def _found(spec: PipelineSpec, rows: Table) -> Found:
    """The look-ups as they stand beside each record; equal texts give one and the same mapping."""
    read = msgspec.json.Decoder(dict[str, dict[str, Any] | None]).decode
    ages_of = msgspec.json.Decoder(dict[str, float | None]).decode
    memo: dict[str, dict[str, dict[str, Any] | None]] = {}
    looked = [memo.get(text) or memo.setdefault(text, read(text)) for text in values(rows, "lookups")]
    aged = [ages_of(text) if text else {} for text in values(rows, "ages")]
    found: dict[str, Sequence[Mapping[str, Any] | None]] = {}
    ages: dict[str, Sequence[float | None]] = {}
    causes: dict[str, Sequence[str]] = {}
    for group, lookup in spec.lookups.items():
        found[group] = [one.get(group) for one in looked]
        ages[group] = [one.get(group) for one in aged]
        causes[group] = [_cause(lookup, *pair) for pair in zip(found[group], ages[group], strict=True)]
    return Found(found, ages, causes)


def _cause(lookup: LookupSpec, found: Mapping[str, Any] | None, age: float | None) -> str:
    """Why there is no value, or what is odd about it. Whether a cache was away is no longer known: it is missing."""
    if found is None:
        return "missing"
    if age is None:
        return FIRST if lookup.aggregates else ""
    return STALE if age > float(lookup.max_age) else ""


def _offsets(rows: Table) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for what, prefix in (("outcomes", ""), ("records", "record_")):
        partitions, offsets = numbers(rows, f"{prefix}partition"), numbers(rows, f"{prefix}offset")
        for partition in np.unique(partitions).tolist():
            of = offsets[partitions == partition]
            found[f"{what}/{partition}"] = (int(of.min()), int(of.max()) + 1)
    return found
