"""Files below a URL: whole or not there, listed without what is half written; and tables as bytes."""

from pathlib import Path
from typing import Any

import pytest

from shared.adapters.files import STALE, Folder
from shared.adapters.parquet import Schema, UnreadableError, decode, encode, joined, make
from shared.core.errors import Unavailable, UserError
from shared.testing.faults import Crash, crash_at

SCHEMA: Schema = {"n": "int", "x": "float", "text": "text", "at": "time", "words": "words"}


def test_a_crash_before_the_rename_leaves_the_old_content(tmp_path: Path) -> None:
    """Half a write is nobody's: the old file stays, and the listing does not know the new one."""
    Folder(str(tmp_path)).write("a/b", b"old")
    with pytest.raises(Crash):
        Folder(str(tmp_path), crash_at("written")).write("a/b", b"newer")
    folder = Folder(str(tmp_path))
    assert (b"old", [("a/b", 3)]) == (folder.read("a/b"), folder.entries())


def test_what_killed_writers_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    """A young one may be another archiver's."""
    with pytest.raises(Crash):
        Folder(str(tmp_path), crash_at("written")).write("a/b", b"new")
    (left,) = (tmp_path / "a").iterdir()
    now = left.stat().st_mtime
    assert (0, 1) == (Folder(str(tmp_path)).sweep(now + 60), Folder(str(tmp_path)).sweep(now + STALE + 60))
    assert [] == list((tmp_path / "a").iterdir())


@pytest.mark.parametrize("where", ["{}", "file://{}", "memory://{}"])
def test_a_folder_is_a_folder_wherever_it_is(tmp_path: Path, where: str) -> None:
    """Write, replace, list, read, remove: the same by path and by URL."""
    folder = Folder(where.format(tmp_path))
    assert [] == folder.entries()
    for content in (b"1", b"22"):
        folder.write("day=1/x", content)
    folder.write("y", b"")
    assert [("day=1/x", 2), ("y", 0)] == folder.entries()
    assert [("day=1/x", 2)] == folder.entries("day=1")
    assert b"22" == folder.read("day=1/x")
    assert (True, False) == (folder.remove("y"), folder.remove("y"))
    with pytest.raises(FileNotFoundError):
        folder.read("y")


@pytest.mark.parametrize(("url", "word"), [("s3://bucket/x", "s3fs"), ("nothing://x", "nothing")])
def test_a_url_without_a_library_is_one_sentence(url: str, word: str) -> None:
    """It names the library, or the protocol."""
    with pytest.raises(UserError, match=word):
        Folder(url)


def test_a_place_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    """A file where a folder should be: not here, not now; nothing is left beside."""
    (tmp_path / "a").write_text("a file")
    with pytest.raises(Unavailable, match="a/b"):
        Folder(str(tmp_path)).write("a/b", b"")
    assert [tmp_path / "a"] == list(tmp_path.iterdir())


def test_equal_tables_give_equal_bytes() -> None:
    """However they were put together; and they come back as they were, nulls included."""
    columns: dict[str, list[Any]] = {
        "n": [1, 2, None],
        "x": [0.1, None, 3.0],
        "text": ["a", None, "\u00e9"],
        "at": [5, 6, 7],
        "words": [[], None, ["a"]],
    }
    one = make(columns, SCHEMA)
    pieces = [make({name: values[i : i + 1] for name, values in columns.items()}, SCHEMA) for i in range(3)]
    content = encode(one, {"v": "1"})
    assert content == encode(joined(pieces), {"v": "1"})
    found, said = decode(content, SCHEMA)
    assert (one.to_pydict(), "1") == (found.to_pydict(), said["v"])


def test_columns_that_are_not_there_are_null() -> None:
    """An older file has fewer; what is not asked for is left out."""
    content = encode(make({"n": [1]}, {"n": "int"}), {})
    assert {"n": [1], "text": [None]} == decode(content, {"n": "int", "text": "text"})[0].to_pydict()
    assert {} == decode(content, {})[0].to_pydict()


@pytest.mark.parametrize("cut", [0, 1, 4, 100])
def test_half_a_file_is_no_file(cut: int) -> None:
    """Whatever is missing, it is said to be unreadable and nothing else."""
    content = encode(make({"n": [1, 2]}, {"n": "int"}), {})
    with pytest.raises(UnreadableError):
        decode(content[:-cut] if cut else b"", {"n": "int"})


def test_a_column_of_another_type_is_no_column_of_ours() -> None:
    """Text where numbers should be."""
    content = encode(make({"n": ["x"]}, {"n": "text"}), {})
    with pytest.raises(UnreadableError):
        decode(content, {"n": "int"})
