"""What a column holds: numbers as people write them, dates in several formats, yes and no, words, nothing."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tailrace.initialise.rows import Column
from tailrace.initialise.types import Typed, type_of


def typed(*cells: str, name: str = "x", **how: Any) -> Typed:
    """The type of a column of these cells."""
    texts = list(dict.fromkeys(cells))
    return type_of(Column(name, np.array([texts.index(cell) for cell in cells], dtype=np.int64), texts), **how)


def values(made: Typed) -> list[Any]:
    """Its values, None where there is none."""
    return [None if gone else value for value, gone in zip(made.values.tolist(), made.missing.tolist(), strict=True)]


def moments(made: Typed) -> list[str]:
    """Its times as texts, to the minute."""
    return [f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M}" for ms in made.values.tolist()]


@pytest.mark.parametrize(
    ("cells", "expected", "kind"),
    [
        (("1", "-2", "+3"), [1.0, -2.0, 3.0], "integer"),
        (("1.5", "2", "1e3"), [1.5, 2.0, 1000.0], "number"),
        (("1,234", "12,345,678"), [1234.0, 12345678.0], "integer"),
        (("1,234.5", "7"), [1234.5, 7.0], "number"),
        (("1.234,5", "7"), [1234.5, 7.0], "number"),
        (("1,5", "2,75"), [1.5, 2.75], "number"),
        (("1 234,5", "12"), [1234.5, 12.0], "number"),
        (("1'234.5", "12"), [1234.5, 12.0], "number"),
        (("12 %", "7.5%"), [12.0, 7.5], "number"),
        (("$1,200.50", "$3"), [1200.5, 3.0], "number"),
        (("3,50 €", "1.000,00 €"), [3.5, 1000.0], "number"),
        (("(1,200)", "300"), [-1200.0, 300.0], "integer"),
        (("12 kg", "7.5 kg"), [12.0, 7.5], "number"),
        (("0", "1", "1"), [0.0, 1.0, 1.0], "integer"),
    ],
)
def test_numbers_are_read_as_they_are_written(cells: tuple[str, ...], expected: list[float], kind: str) -> None:
    """Thousands, decimal commas, money, percent and units are taken off by what the column as a whole shows."""
    made = typed(*cells)
    assert (made.kind, values(made)) == (kind, expected)


@pytest.mark.parametrize(("semicolons", "expected"), [(False, [1234.0, 5678.0]), (True, [1.234, 5.678])])
def test_a_comma_before_three_digits_follows_the_file(semicolons: bool, expected: list[float]) -> None:  # noqa: FBT001 - a table
    """Nothing in the column says which; a file divided by semicolons writes decimals with it."""
    made = typed("1,234", "5,678", comma_first=semicolons)
    assert values(made) == pytest.approx(expected)


def test_the_unit_is_told_from_the_cells_or_the_name() -> None:
    """And explained, since producers send bare numbers."""
    assert (typed("5 %", "7 %").unit, typed("5", "7", name="Length (mm)").unit) == ("%", "mm")
    assert "% taken off" in typed("5 %", "7 %").why


@pytest.mark.parametrize("word", ["NA", "N/A", "n/a", "-", ".", "", "?", "null", "NaN", "#N/A"])
def test_the_usual_words_for_nothing_are_missing(word: str) -> None:
    """In a column of numbers and in one of words."""
    assert values(typed("1", word, "2")) == [1.0, None, 2.0]
    assert values(typed("red", word, "red", "blue", "blue")) == ["red", None, "red", "blue", "blue"]


def test_a_few_words_among_numbers_are_missing_and_named() -> None:
    """Up to one in twenty; above that the column is words."""
    few = typed(*map(str, range(40)), "broken", "broken")
    assert (few.kind, few.words, values(few)[-2:]) == ("integer", ("broken",), [None, None])
    many = typed(*["1", "2"] * 20, "broken", "late", "broken", "late")
    assert many.kind == "category"
    assert "mixed with words" in many.why


def test_codes_keep_their_zeros() -> None:
    """00123 is a name, no number."""
    made = typed("00123", "00123", "10456", "10456", "10456")
    assert (made.kind, values(made)[0]) == ("category", "00123")


def test_long_ids_keep_their_digits() -> None:
    """A whole number that no float can hold is a name."""
    made = typed(*[str(7_300_000_000_000_000_000 + i) for i in range(30)])
    assert (made.kind, values(made)[1]) == ("text", "7300000000000000001")


def test_infinity_is_no_value() -> None:
    """Nor is what no model's 32-bit number can hold."""
    assert values(typed("1", "inf", "1e300", "2", *map(str, range(3, 40))))[:4] == [1.0, None, None, 2.0]


@pytest.mark.parametrize("pair", ["yes no", "Y N", "true FALSE", "T F"])
def test_yes_and_no_are_booleans(pair: str) -> None:
    """Whatever their case; also with 1 and 0 among them."""
    yes, no = pair.split()
    assert values(typed(yes, no, "1", "0", "NA")) == [1.0, 0.0, 1.0, 0.0, None]
    assert typed(yes, no).kind == "boolean"


def test_one_and_zero_alone_stay_the_numbers_that_producers_send() -> None:
    """Unless it is said that they are booleans."""
    assert typed("1", "0", "1").kind == "integer"
    assert typed("1", "0", "1", asked="boolean").kind == "boolean"


def test_dates_in_three_formats_are_read_row_by_row() -> None:
    """And the reason says so, and that there is no zone."""
    made = typed("2013-04-03", "25/12/2013", "4 July 2013", "2013-04-03 14:30")
    assert moments(made) == ["2013-04-03T00:00", "2013-12-25T00:00", "2013-07-04T00:00", "2013-04-03T14:30"]
    assert made.kind == "time"
    assert "3 formats, each row by its own" in made.why
    assert "no zone: taken as UTC" in made.why


@pytest.mark.parametrize(
    ("cells", "first", "why"),
    [
        (("03/04/2013", "25/04/2013"), "2013-04-03T00:00", "the day stands first (25/04/2013 allows nothing else)"),
        (("03/04/2013", "04/25/2013"), "2013-03-04T00:00", "the month stands first (04/25/2013 allows nothing else)"),
        (("03/04/2013", "05/06/2013"), "2013-03-04T00:00", "GUESSED that the month stands first"),
        (("03.04.2013", "05.06.2013"), "2013-04-03T00:00", "GUESSED that the day stands first"),
    ],
)
def test_day_and_month_are_told_apart_by_the_column(cells: tuple[str, ...], first: str, why: str) -> None:
    """A row that allows one order only decides for all; a mere guess is called one."""
    made = typed(*cells)
    assert moments(made)[0] == first
    assert why in made.why


def test_the_order_of_day_and_month_can_be_said() -> None:
    """With `--dates`; a row that allows the other order only is still read."""
    made = typed("03/04/2013", "25/12/2013", order="month-first")
    assert moments(made) == ["2013-03-04T00:00", "2013-12-25T00:00"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2013-04-03T10:00:00Z", "2013-04-03T10:00"),
        ("2013-04-03T10:00:00+02:00", "2013-04-03T08:00"),
        ("2013-04-03 10:00:00.123-0500", "2013-04-03T15:00"),
        ("4/3/2013 2:05 PM", "2013-04-03T14:05"),
        ("Apr 3, 2013", "2013-04-03T00:00"),
        ("3-Apr-13", "2013-04-03T00:00"),
        ("2013/4/3 07:08", "2013-04-03T07:08"),
    ],
)
def test_a_moment_is_read_in_many_ways(cell: str, expected: str) -> None:
    """With zones, twelve-hour clocks, month names and short years."""
    assert moments(typed(cell)) == [expected]


@pytest.mark.parametrize(("cell", "kind"), [("1364947200", "time"), ("1364947200000", "time"), ("20130403", "time")])
def test_a_number_is_a_moment_where_its_column_says_so(cell: str, kind: str) -> None:
    """Seconds, milliseconds and packed dates, by the column's name only."""
    assert typed(cell, name="event_time").kind == kind
    assert typed(cell, name="turnover").kind == "integer"


def test_dates_that_do_not_exist_are_missing() -> None:
    """31 February among forty good ones."""
    made = typed(*[f"2013-01-{day:02}" for day in range(1, 29)], "2013-02-31")
    assert (made.kind, made.words, made.missing.tolist()[-1]) == ("time", ("2013-02-31",), True)


def test_free_text_and_names_are_no_categories() -> None:
    """A sentence, or a different text in most rows."""
    assert typed(*[f"it was number {i} of them" for i in range(30)]).kind == "text"
    assert typed(*[f"N{i}" for i in range(30)]).kind == "text"
    assert typed(*[f"N{i}" for i in range(300)] * 3).kind == "text"
    assert typed(*["fully agree with what was said", "do not agree with it"] * 10).kind == "category"


def test_an_empty_column_is_said_to_be_one() -> None:
    """No row has a value."""
    assert typed("", "NA", ".").kind == "empty"


def test_an_asked_kind_is_taken() -> None:
    """`--as` beats every guess."""
    assert typed("1", "2", "3", asked="category").kind == "category"
    assert values(typed("1", "x", "y", asked="number")) == [1.0, None, None]
