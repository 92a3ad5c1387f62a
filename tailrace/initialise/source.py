"""A CSV file as lines of text: which encoding, which delimiter, which line is the header."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from shared.core.errors import UserError

MAX_BYTES = 2_000_000_000  # its lines are held in memory, a few times over
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLE = 200
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed with gzip",
    b"PAR1": "Parquet",
    b"%PDF": "a PDF document",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file's lines with their ends, the place of the header in them, and how they were read."""

    path: Path
    lines: list[str]
    header: int
    delimiter: str
    encoding: str
    size: int


def open_source(path: Path, delimiter: str = "") -> Source:
    """Read a CSV file as text.

    Args:
        path: the file.
        delimiter: what stands between two cells; empty: found out.

    Raises:
        UserError: the file is missing, empty, too large or no text, or it has one column only.
    """
    raw = _bytes(path)
    text, encoding = _decoded(path, raw)
    lines = list(io.StringIO(text, newline=""))
    header = next((i for i, line in enumerate(lines) if line.strip()), None)
    if header is None:
        raise UserError(f"{path}: is empty", remedy="name a CSV file with a line of column names")
    chosen = delimiter or _sniffed(path, lines[header : header + _SAMPLE])
    return Source(path, lines, header, chosen, encoding, len(raw))


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES:,} bytes", remedy="take the newest part of it")
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", remedy="name a CSV file") from None
    for magic, kind in _MAGIC.items():
        if raw.startswith(magic):
            raise UserError(f"{path}: is {kind}, not CSV", remedy="save it as CSV (UTF-8)")
    return raw


def _decoded(path: Path, raw: bytes) -> tuple[str, str]:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace"), "UTF-16"
    if raw[:4096].count(b"\0") > len(raw[:4096]) // 10:
        raise UserError(f"{path}: is no text (it is full of NUL bytes)", remedy="save it as CSV (UTF-8)")
    for name, codec in (("UTF-8", "utf-8-sig"), ("Windows-1252", "cp1252")):
        try:
            return raw.decode(codec), name
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1"), "Latin-1"


def _sniffed(path: Path, lines: list[str]) -> str:
    """The delimiter under which most lines have as many cells as the header; of equals the one with more cells."""
    scores = {delimiter: _score(lines, delimiter) for delimiter in DELIMITERS}
    best = max(scores, key=scores.__getitem__)
    if scores[best] == (0.0, 0):
        raise UserError(
            f"{path}: one column only, whichever of {', '.join(DELIMITERS.values())} divides it",
            remedy="name the delimiter with --delimiter; a record needs at least a label and a feature",
        )
    return best


def _score(lines: list[str], delimiter: str) -> tuple[float, int]:
    widths = Counter(_width(line, delimiter) for line in lines if line.strip())
    width = _width(lines[0], delimiter)
    if width < 2:  # noqa: PLR2004 - it divides nothing
        return 0.0, 0
    return round(widths[width] / widths.total(), 1), width


def _width(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return 0
