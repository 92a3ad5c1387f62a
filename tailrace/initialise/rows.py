"""From lines to columns of text: each row has as many cells as the header, or it is put aside with its reason."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.core.errors import UserError
from tailrace.initialise.source import Source

MAX_REJECTED = 0.1  # share of lines above which the file as a whole is suspect
MAX_COLUMNS = 5_000  # each becomes a line of pipeline.yaml and is looked at on its own
_CHUNK = 20_000
_MAX_SPAN = 1_000  # lines of one row: a quote that is never closed would swallow the rest of the file
Lines = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is left out: its first line in the file (from 1), why, and what stood there."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of n cells: `texts[codes[i]]` is cell i, without the blanks around it."""

    name: str
    codes: NDArray[np.int64]
    texts: list[str]

    def of_texts(self, per_text: NDArray[Any]) -> NDArray[Any]:
        """What holds of each distinct text, for each of the n cells."""
        return per_text[self.codes] if len(per_text) else np.zeros(0, dtype=per_text.dtype)

    def counts(self) -> NDArray[np.int64]:
        """How often each distinct text stands."""
        return np.bincount(self.codes, minlength=len(self.texts)).astype(np.int64)

    def take(self, places: NDArray[np.intp]) -> "Column":
        """The cells at these places."""
        return Column(self.name, self.codes[places], self.texts)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows that can be read, column by column; row i stands on lines `starts[i]` to before `ends[i]` (from 0)."""

    columns: list[Column]
    starts: Lines
    ends: Lines
    rejected: list[Rejected]
    renamed: dict[str, str]

    def __len__(self) -> int:
        return len(self.starts)


def read_table(source: Source) -> Table:
    """Take a CSV apart.

    Raises:
        UserError: there is no row, the first line is no header or has too many columns, or more than 10 % of the lines
            cannot be read.
    """
    header = _header(source)
    reader = _Reader(source, len(header), nul=any("\0" in line for line in source.lines))
    parts: list[list[Any]] = [[] for _ in header]
    starts, ends = [], []
    chunk: list[list[str]] = []
    for start, end, cells in reader.rows():
        starts.append(start)
        ends.append(end)
        chunk.append(cells)
        if len(chunk) == _CHUNK:
            _keep(parts, chunk)
            chunk = []
    _keep(parts, chunk)
    _judge(source, len(starts), reader.rejected)
    names, renamed = usable_names(header)
    columns = [_column(name, part) for name, part in zip(names, parts, strict=True)]
    return Table(columns, np.array(starts, np.int64), np.array(ends, np.int64), reader.rejected, renamed)


def text_of(source: Source, start: int, end: int) -> str:
    """The original text of a row."""
    return "".join(source.lines[start:end]).rstrip("\r\n")


def usable_names(header: list[str]) -> tuple[list[str], dict[str, str]]:
    """Names that a record can have: printable, without quotes and backslashes, unique; and which were changed."""
    names: dict[str, None] = {}
    renamed: dict[str, str] = {}
    for number, original in enumerate(header, 1):
        clean = "".join(c if c.isprintable() else " " for c in original.strip())
        base = clean.replace('"', "'").replace("\\", "/").strip()[:128] or f"column_{number}"
        name, again = base, 2
        while name in names:
            name, again = f"{base}_{again}", again + 1
        if name != original.strip():
            renamed[name] = original
        names[name] = None
    return list(names), renamed


@dataclass(slots=True)
class _Reader:
    """Python's own CSV reader over the lines; a row that it cannot take is put aside, and the next line begins anew."""

    source: Source
    width: int
    rejected: list[Rejected] = field(default_factory=list)
    start: int = 0
    at: int = 0
    nul: bool = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.at >= len(self.source.lines):
            raise StopIteration
        if self.at - self.start >= _MAX_SPAN:
            raise csv.Error("a quote is opened and not closed")
        self.at += 1
        return self.source.lines[self.at - 1]

    def rows(self) -> Iterator[tuple[int, int, list[str]]]:
        self.start = self.at = self.source.header + 1
        while self.at < len(self.source.lines):
            try:
                for cells in csv.reader(self, delimiter=self.source.delimiter, strict=True):
                    start, end = self.start, self.at
                    if fault := self._fault(cells):
                        self._reject(fault)
                        continue
                    self.start = end
                    if any(cells):
                        yield start, end, cells
            except csv.Error as error:
                self._reject("a quote is opened and not closed" if "unexpected end" in str(error) else str(error))

    def _fault(self, cells: list[str]) -> str:
        if cells and len(cells) != self.width:
            few = "too few" if len(cells) < self.width else "too many"
            return f"{few} cells: {len(cells)} under {self.width} column names"
        return "has a NUL byte" if self.nul and any("\0" in cell for cell in cells) else ""

    def _reject(self, reason: str) -> None:
        """Only the first line is bad for certain: a stray quote may have swallowed the ones after it."""
        text = self.source.lines[self.start].rstrip("\r\n")
        self.rejected.append(Rejected(self.start + 1, reason, text))
        self.start = self.at = self.start + 1


def _header(source: Source) -> list[str]:
    line = source.lines[source.header]
    try:
        cells = next(csv.reader([line], delimiter=source.delimiter, strict=True))
    except csv.Error as error:
        where = f"{source.path}:{source.header + 1}"
        raise UserError(f"{where}: the column names cannot be read ({error})", remedy="mend the line") from None
    if all(_numeric(cell) for cell in cells):
        where = f"{source.path}:{source.header + 1}"
        raise UserError(f"{where}: numbers where the column names should be", remedy="add a line of column names")
    if len(cells) > MAX_COLUMNS:
        where = f"{source.path}:{source.header + 1}"
        raise UserError(f"{where}: {len(cells):,} columns, at most {MAX_COLUMNS:,}", remedy="keep those that matter")
    return cells


def _numeric(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _keep(parts: list[list[Any]], chunk: list[list[str]]) -> None:
    for part, cells in zip(parts, zip(*chunk, strict=True), strict=False):
        part.append(pa.array(cells, pa.large_string()))


def _column(name: str, part: list[Any]) -> Column:
    trimmed = pc.utf8_trim_whitespace(pa.chunked_array(part, pa.large_string()))
    coded = trimmed.combine_chunks().dictionary_encode()
    return Column(name, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), coded.dictionary.to_pylist())


def _judge(source: Source, good: int, rejected: list[Rejected]) -> None:
    if rejected and len(rejected) > MAX_REJECTED * (good + len(rejected)):
        first = rejected[0]
        raise UserError(
            f"{source.path}: {len(rejected):,} of {good + len(rejected):,} rows cannot be read (line {first.line}: "
            f"{first.reason})",
            remedy="mend the file, or name what divides its cells with --delimiter",
        )
    if not good:
        raise UserError(f"{source.path}: has no rows under its column names", remedy="name a file with past records")
