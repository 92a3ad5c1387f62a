"""A CSV as people have it: encodings, delimiters, quotes, broken lines; what cannot be read is said with its line."""

import csv
import gzip
from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.initialise.rows import Rejected, Table, read_table, usable_names
from tailrace.initialise.source import Source, open_source
from tests.support.tables import table


def read(folder: Path, raw: str | bytes, delimiter: str = "") -> tuple[Source, Table]:
    """A file's source and table."""
    path = folder / "t.csv"
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    source = open_source(path, delimiter)
    return source, read_table(source)


def cells(made: Table, name: str) -> list[str]:
    """A column's cells."""
    column = next(column for column in made.columns if column.name == name)
    return [column.texts[code] for code in column.codes.tolist()]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "has no rows under its column names"),
        (b"1,2\n3,4\n", "numbers where the column names should be"),
        (b"alone\n1\n2\n", "one column only"),
        (b"PK\x03\x04rest", "is an Excel workbook or a zip archive, not CSV"),
        (gzip.compress(b"a,b\n1,2\n"), "is compressed with gzip, not CSV"),
        (b"\x00\x01\x00\x02" * 100, "is no text"),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path: Path, raw: bytes, said: str) -> None:
    """Each names the file, what is wrong and the remedy."""
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, raw)
    assert str(caught.value).startswith(str(tmp_path / "t.csv"))
    assert caught.value.remedy


def test_a_table_of_a_million_columns_is_refused_at_once(tmp_path: Path) -> None:
    """Its width is looked at before any of its columns."""
    with pytest.raises(UserError, match=r"t\.csv:1: 1,000,000 columns, at most 5,000; keep"):
        read(tmp_path, ",".join(f"c{i}" for i in range(1_000_000)) + "\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The system's own words, behind the path."""
    with pytest.raises(UserError, match=r"nowhere\.csv: No such file"):
        open_source(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("1,2", "too few cells: 2 under 3 column names"),
        ("1,2,3,4", "too many cells: 4 under 3 column names"),
        ('1,"2"x,3', "',' expected after '\"'"),
        ("1,\0,3", "has a NUL byte"),
    ],
)
def test_a_broken_line_is_put_aside_with_its_line_reason_and_text(tmp_path: Path, bad: str, reason: str) -> None:
    """The other rows are taken."""
    rows = [f"{i},x,y" for i in range(20)]
    _, made = read(tmp_path, table("a,b,c", *rows[:7], bad, *rows[7:]))
    assert made.rejected == [Rejected(9, reason, bad)]
    assert cells(made, "a") == [str(i) for i in range(20)]


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path: Path) -> None:
    """The rows that it would swallow are read again, one by one; also where a later quote closes it."""
    rows = [f"{i},x,y" for i in range(40)]
    text = table("a,b,c", *rows[:10], '10,"open,y', *rows[11:30], '30,"open again,y', *rows[31:])
    _, made = read(tmp_path, text)
    assert [(one.line, one.text) for one in made.rejected] == [(12, '10,"open,y'), (32, '30,"open again,y')]
    assert cells(made, "a") == [str(i) for i in range(40) if i not in (10, 30)]


def test_more_than_a_tenth_of_broken_lines_refuse_the_file(tmp_path: Path) -> None:
    """The first of them is shown, since it tells what is wrong with all."""
    with pytest.raises(UserError, match=r"t\.csv: 3 of 13 rows cannot be read \(line 2: too few cells: 1 under 2"):
        read(tmp_path, table("a,b", "1", "1", "1", *["1,2"] * 10))


@pytest.mark.parametrize(("sign", "other"), [(",", ";"), (";", ","), ("\t", ","), ("|", ",")])
def test_the_delimiter_is_the_one_under_which_the_rows_are_even(tmp_path: Path, sign: str, other: str) -> None:
    """Texts that hold another one do not mislead it."""
    source, made = read(tmp_path, table(f"a{sign}b", *[f"x{other * i} y{sign}{i}" for i in range(9)]))
    assert source.delimiter == sign
    assert cells(made, "b") == [str(i) for i in range(9)]


@pytest.mark.parametrize(
    ("codec", "said"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252"), ("utf-16", "UTF-16")],
)
def test_the_encoding_is_found(tmp_path: Path, codec: str, said: str) -> None:
    """A byte order mark is no part of the first name; what is not UTF-8 is read as its old neighbour."""
    source, made = read(tmp_path, "größe,b\nü,1\né,2\n".encode(codec))
    assert source.encoding == said
    assert cells(made, "größe") == ["ü", "é"]


def test_quotes_line_ends_and_blanks_are_what_csv_says(tmp_path: Path) -> None:
    """A quoted cell may hold delimiters, quotes and lines; blanks around cells and empty lines count nothing."""
    _, made = read(tmp_path, 'a,b\r\n"x, ""y""\r\nz", 1 \r\n\r\n2,3\r\n,\r\n')
    assert cells(made, "a") == ['x, "y"\r\nz', "2"]
    assert cells(made, "b") == ["1", "3"]
    assert made.starts.tolist() == [1, 4]


def test_names_become_such_as_a_record_can_have() -> None:
    """Blanks, units and other scripts stay; quotes, backslashes, control characters and doubles do not."""
    names, renamed = usable_names(["Länge (mm)", 'the "x"', "a\\b", "a\nb", "", "x", "x", " y "])
    assert names == ["Länge (mm)", "the 'x'", "a/b", "a b", "column_5", "x", "x_2", "y"]
    assert renamed == {"the 'x'": 'the "x"', "a/b": "a\\b", "a b": "a\nb", "column_5": "", "x_2": "x"}


def test_random_bytes_end_in_a_table_or_a_sentence(tmp_path: Path) -> None:
    """Nothing else is raised, whatever stands in the file."""
    import random  # noqa: PLC0415 - only here

    seed = 11
    print("seed", seed)
    dice = random.Random(seed)
    alphabet = [b",", b";", b'"', b"\n", b"\r\n", b"a", b"1", b"\xe9", b"\0", b" ", b"\t", "ü".encode()]
    for _ in range(300):
        raw = b"a,b\n" + b"".join(dice.choices(alphabet, k=dice.randint(0, 80)))
        try:
            _, made = read(tmp_path, raw)
        except UserError:
            continue
        assert len({len(column.codes) for column in made.columns}) == 1


def test_the_rejects_can_be_read_back(tmp_path: Path) -> None:
    """`rejected.csv` holds the original text, whatever stands in it."""
    from tailrace.initialise.history_files import write_rejected  # noqa: PLC0415 - only here
    from tailrace.initialise.plan import Findings  # noqa: PLC0415 - only here

    rejected = [Rejected(3, "too few cells", 'x,"y'), Rejected(9, "a NUL", "a\0b")]
    write_rejected(Findings(rejected=rejected), tmp_path / "rejected.csv")
    with (tmp_path / "rejected.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["line", "reason", "text"], ["3", "too few cells", 'x,"y'], ["9", "a NUL", "a\\0b"]]
