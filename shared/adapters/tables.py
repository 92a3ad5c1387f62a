"""Rows of history files: CSV, Parquet and JSON lines, in file order, in bounded memory, with their types as written."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from shared.core.errors import UserError

Row = dict[str, Any]
_BATCH = 8_192


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, one dict a row; what a format cannot type stays text.

    CSV (`.csv`): every value is `str`, an empty cell is None (the record's declared types decide the rest).
    Parquet (`.parquet`): integers, floats, booleans, text, lists and structs as Python values, null and NaN as None,
    instants as integer milliseconds since 1970 UTC. JSON lines (`.jsonl`, `.ndjson`): as decoded.

    Raises:
        UserError: the file is missing, unreadable or of another kind; names the file and, where there is one, the line.
    """
    readers = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: no kind of file that is known", remedy=f"use one of {', '.join(sorted(readers))}")
    if not path.is_file():
        raise UserError(f"{path}: no such file", remedy="check the path, or `history` in pipeline.yaml")
    return reader(path)


def _csv(path: Path) -> Iterator[Row]:
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if len(set(header)) != len(header):
                raise UserError(f"{path}: a column name occurs twice in line 1", remedy="rename one of them")
            for cells in reader:
                line = reader.line_num
                if cells:
                    yield _cells(path, line, header, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as CSV after line {line} ({error})", remedy="mend the file") from None


def _cells(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise UserError(f"{path}:{line}: {len(cells)} cells under {len(header)} column names", remedy="mend the line")
    return {name: cell or None for name, cell in zip(header, cells, strict=True)}


def _json_lines(path: Path) -> Iterator[Row]:
    decode = msgspec.json.Decoder(Row).decode
    number = 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                if line.strip():
                    yield decode(line)
    except (OSError, msgspec.MsgspecError) as error:
        raise UserError(f"{path}:{number}: not a JSON object ({error})", remedy="mend the line") from None


def _parquet(path: Path) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            instants = tuple(field.name for field in file.schema_arrow if pa.types.is_timestamp(field.type))
            floats = tuple(field.name for field in file.schema_arrow if pa.types.is_floating(field.type))
            for batch in file.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    yield _plain(path, row, instants, floats)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not readable as Parquet ({error})", remedy="write the file again") from None


def _plain(path: Path, row: Row, instants: tuple[str, ...], floats: tuple[str, ...]) -> Row:
    for name in instants:
        if row[name] is not None:
            row[name] = _milliseconds(path, name, row[name])
    for name in floats:
        if row[name] is not None and row[name] != row[name]:  # NaN: pandas' way to say null
            row[name] = None
    return row


def _milliseconds(path: Path, name: str, instant: datetime) -> int:
    # pandas' Timestamp (nanoseconds) is a datetime; a zone-less one could mean any instant of a day.
    if instant.tzinfo is None:
        raise UserError(f"{path}: column {name} has times without a zone", remedy="write them in UTC")
    since = instant.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
