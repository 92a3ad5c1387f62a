"""History files as rows."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from shared.adapters.tables import read_rows
from shared.core.errors import UserError


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xlsx", b"", "no kind of file"),
        ("a.csv", b"a,a\n1,2\n", "occurs twice"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "a.csv:3: 3 cells under 2"),
        ("a.csv", b'a,b\n"1,2\n', "not readable as CSV"),
        ("a.csv", b"a\n\xff\xfe\n", "not readable as CSV"),
        ("a.jsonl", b'{"a":1}\n[1]\n', "a.jsonl:2: not a JSON object"),
        ("a.jsonl", b'{"a":1}\n{"a"', "a.jsonl:2: not a JSON object"),
        ("a.parquet", b"PAR1 but no more", "not readable as Parquet"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """Whatever is wrong with a file, the error names the file and where in it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        list(read_rows(path))
    assert words in str(error.value)
    assert name in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is a mistake of the user, found before the first row is asked for."""
    with pytest.raises(UserError, match="no such file"):
        read_rows(tmp_path / "none.csv")


def test_times_without_a_zone_are_refused(tmp_path: Path) -> None:
    """A zone-less time could mean any instant of a day, so it is never guessed."""
    path = tmp_path / "a.parquet"
    pd.DataFrame({"at": [pd.Timestamp("2013-01-01 05:15")]}).to_parquet(path)
    with pytest.raises(UserError, match="column at has times without a zone"):
        list(read_rows(path))


def test_csv_gives_text_and_none(tmp_path: Path) -> None:
    """CSV has no types: values stay text, empty cells are None, a byte order mark is no part of a name."""
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffid,n,s\nx,007,\ny,1.50,"a,b"\n'.encode())
    expected = [{"id": "x", "n": "007", "s": None}, {"id": "y", "n": "1.50", "s": "a,b"}]
    assert expected == list(read_rows(path))


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    """Integers stay integers, NaN and null are None, instants become milliseconds, structs dicts."""
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": [1.5, float("nan")],
            "b": [True, False],
            "at": [datetime(2013, 1, 1, 10, 15, 0, 123_000, tzinfo=UTC), None],
            "values": [{"temp": 39.02}, {"temp": None}],
        }
    )
    frame.to_parquet(path)
    expected = [
        {"i": 1, "f": 1.5, "b": True, "at": 1_357_035_300_123, "values": {"temp": 39.02}},
        {"i": None, "f": None, "b": False, "at": None, "values": {"temp": None}},
    ]
    rows = list(read_rows(path))
    assert expected == rows
    assert [type(rows[0]["i"]), type(rows[0]["b"]), type(rows[0]["at"])] == [int, bool, int]


def test_json_lines_are_taken_as_written(tmp_path: Path) -> None:
    """JSON lines keep integers apart from floats; empty lines are no rows."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1,"b":1.0}\n\n{"a":null}\n')
    assert list(read_rows(path)) == [{"a": 1, "b": 1.0}, {"a": None}]
