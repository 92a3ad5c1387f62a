"""Where a row stands in its file: only asked for once something is wrong with it, so a second reading does no harm."""

import csv
from itertools import islice
from pathlib import Path


def line_of(path: Path, number: int) -> int:
    """The line that row `number` (from 0) of a file ends on; in Parquet (no lines) its number from 1."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            next(reader, None)
            rows = (reader.line_num for cells in reader if cells)
            return next(islice(rows, number, None), number + 2)
    if suffix in {".jsonl", ".ndjson"}:
        with path.open("rb") as file:
            lines = (line for line, text in enumerate(file, start=1) if text.strip())
            return next(islice(lines, number, None), number + 1)
    return number + 1
