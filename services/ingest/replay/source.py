"""Files as a plan: reads each once to learn its order and extent, then streams it, or sorts it in memory if it must."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from services.ingest.replay.convert import BadValueError, Converter
from services.ingest.replay.lines import line_of
from services.ingest.replay.plan import Item, Kind, Selection, merge
from shared.core.errors import UserError
from shared.core.history import to_label, to_milliseconds, to_update
from shared.core.pipeline import PipelineSpec

Row = dict[str, Any]
Read = Callable[[Path], Iterator[Row]]
BadRows = Literal["refuse", "send"]
_encode = msgspec.json.Encoder().encode


class Files(Protocol):
    """Where the history is; `shared.adapters.history.HistoryFiles` is one."""

    @property
    def records(self) -> Path:
        """The records."""

    @property
    def features(self) -> Path | None:
        """The feature updates, if any."""

    @property
    def labels(self) -> Path | None:
        """The labels, if any."""


class Numbered(Protocol):
    """Rows in time order, as (time, number in the file, row); each call starts anew."""

    def __call__(self) -> Iterator[tuple[int, int, Row]]:
        """Begin at the first row."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What is going to be replayed: how many records, at least one, and their first and last event time (ms)."""

    records: int
    first: int
    last: int


class ReplaySource:
    """The history of one pipeline as a sequence of items.

    Args:
        spec: the pipeline.
        files: where records, features and labels are.
        read: gives a file's rows in file order.
        selection: what part of it is wanted.
        bad_rows: whether a row that does not convert ends the replay or is sent as it is, to become a dead letter.

    Raises:
        UserError: a file's times cannot be read (names file, line and column), or no record is selected.
    """

    def __init__(
        self, spec: PipelineSpec, files: Files, read: Read, selection: Selection, bad_rows: BadRows = "refuse"
    ) -> None:
        self._spec, self._files, self._read, self._selection = spec, files, read, selection
        self._converter = Converter(spec.record)
        self._lenient = bad_rows == "send"
        self.bad = 0
        self._labels = files.labels if selection.labels else None
        self._records = self._ordered(files.records, self._converter.time, self._wanted_records)
        self.extent = self._measure()
        self._keys = self._known_keys()

    def items(self, skip: Mapping[Kind, int] | None = None) -> Iterator[Item]:
        """The sequence, without the first `skip[kind]` items of each kind.

        Raises:
            UserError: a row does not convert (and bad rows are not to be sent); names file, line and column.
        """
        past = skip or {}
        streams = [self._record_items(past.get(Kind.RECORD, 0))]
        if self._files.features is not None and self._spec.lookups:
            streams.append(self._feature_items(self._files.features, past.get(Kind.FEATURE, 0)))
        if self._labels is not None:
            streams.append(self._label_items(self._labels, past.get(Kind.LABEL, 0)))
        return merge(*streams)

    def _record_items(self, skip: int) -> Iterator[Item]:
        for time, number, row in islice(self._records(), skip, None):
            try:
                value = self._converter.record(row)
            except BadValueError as error:
                if not self._lenient:
                    raise _bad(self._files.records, number, error, "mend the file, or use --bad-rows send") from None
                self.bad += 1
                value = self._converter.as_it_is(row)
            yield Item(time, Kind.RECORD, time, self._converter.key(row), _encode(value))

    def _feature_items(self, path: Path, skip: int) -> Iterator[Item]:
        lead = self._selection.lead_ms
        fields = {group: dict(lookup.fields) for group, lookup in self._spec.lookups.items()}
        rows = self._ordered(path, _row_time, self._wanted_features)
        for time, number, row in islice(rows(), skip, None):
            try:
                update = to_update(row, fields.get(str(row.get("group")), {}))
            except (KeyError, ValueError) as error:
                raise _bad(path, number, error, "mend the file") from None
            yield Item(time - lead, Kind.FEATURE, time, f"{update.group}:{update.entity}".encode(), _encode(update))

    def _label_items(self, path: Path, skip: int) -> Iterator[Item]:
        numeric = self._spec.task == "regression"
        rows = self._ordered(path, _row_time, self._wanted_labels)
        for time, number, row in islice(rows(), skip, None):
            try:
                label = to_label(row, numeric=numeric)
            except (KeyError, ValueError) as error:
                raise _bad(path, number, error, "mend the file") from None
            key = row.get("key") or (self._keys or {})[label.id]
            yield Item(time, Kind.LABEL, time, str(key).encode(), _encode(label))

    def _wanted_records(self, time: int, _: Row) -> bool:
        return self._selection.holds(time)

    def _wanted_features(self, time: int, _: Row) -> bool:
        # A record just after the start looks back as far as a value may be old.
        oldest = max(int(lookup.max_age * 1000) for lookup in self._spec.lookups.values())
        return self.extent.first - oldest <= time <= self.extent.last

    def _wanted_labels(self, _: int, row: Row) -> bool:
        return self._keys is None or str(row.get("id")) in self._keys

    def _ordered(self, path: Path, time_of: Callable[[Row], int], wanted: Callable[[int, Row], bool]) -> Numbered:
        limit = self._selection.limit if path == self._files.records else None

        def rows() -> Iterator[tuple[int, int, Row]]:
            return (entry for entry in self._timed(path, time_of) if wanted(entry[0], entry[2]))

        if self._in_order(path, time_of):
            return lambda: islice(rows(), limit)
        return lambda: iter(sorted(rows(), key=lambda entry: entry[:2])[:limit])

    def _in_order(self, path: Path, time_of: Callable[[Row], int]) -> bool:
        last = None
        for time, _, _ in self._timed(path, time_of):
            if last is not None and time < last:
                return False
            last = time
        return True

    def _timed(self, path: Path, time_of: Callable[[Row], int]) -> Iterator[tuple[int, int, Row]]:
        time: int | None = None
        early: list[tuple[int, Row]] = []
        for number, row in enumerate(self._read(path)):
            try:
                time = time_of(row)
            except (KeyError, ValueError) as error:
                if not self._lenient:
                    raise _bad(path, number, error, "every row needs its time") from None
            # Without a time of its own, a bad row goes out with the row before it, or the first one that has a time.
            early.append((number, row))
            if time is not None:
                yield from ((time, n, r) for n, r in early)
                early.clear()

    def _measure(self) -> Extent:
        count, first, last = 0, 0, 0
        for time, _, _ in self._records():
            if not count:
                first = time
            last = time
            count += 1
        if not count:
            path = self._files.records
            raise UserError(f"{path}: no record is in what is asked for", remedy="check --from, --until and the file")
        return Extent(count, first, last)

    def _known_keys(self) -> dict[str, str] | None:
        """Keys of the selected records by id: needed where labels do not say theirs, or only some records go out."""
        if self._labels is None:
            return None
        says = "key" in next(iter(self._read(self._labels)), {"key": ""})
        if says and not self._selection.partial:
            return None
        name, key = self._spec.record.id, self._spec.record.key
        return {str(row.get(name)): str(row.get(key)) for _, _, row in self._records()}


def _row_time(row: Row) -> int:
    return to_milliseconds(row["time"])


def _bad(path: Path, number: int, error: Exception, remedy: str) -> UserError:
    what = f"there is no column {error}" if isinstance(error, KeyError) else str(error)
    return UserError(f"{path}:{line_of(path, number)}: {what}", remedy=remedy)
