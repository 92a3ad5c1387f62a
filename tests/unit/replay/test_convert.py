"""Rows become records by the declared types, and what does not convert is named."""

import pytest

from services.ingest.replay.convert import BadValueError, Converter
from tests.support.replay import shop

GOOD = {"id": "a", "who": "x", "at": "2024-01-01T00:00:00+01:00", "amount": "1.5", "count": "3", "new": "true"}


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("amount", "1,5"),
        ("amount", "nan"),
        ("amount", "inf"),
        ("amount", "1_000"),
        ("amount", "1e999"),
        ("count", "1.0"),
        ("count", "0x10"),
        ("count", "\u0661"),
        ("new", "True"),
        ("new", "1"),
        ("at", "2024-01-01"),
        ("at", "2024-01-01T00:00:00"),
        ("at", "yesterday"),
        ("who", None),
        ("at", None),
    ],
)
def test_a_cell_that_does_not_convert_is_named(column: str, cell: str | None) -> None:
    """Nothing is guessed: a cell that is not exactly of its field's type is refused with the field's name."""
    with pytest.raises(BadValueError) as caught:
        Converter(shop().record).record(GOOD | {column: cell})
    assert column == caught.value.column


def test_text_cells_become_typed_values() -> None:
    """A row of text is a record of numbers, booleans and times in milliseconds."""
    record = Converter(shop().record).record(GOOD | {"target": "yes"})
    expected = {"id": "a", "who": "x", "at": 1_704_063_600_000, "amount": 1.5, "count": 3, "new": True}
    assert expected == record


def test_an_empty_cell_is_null_or_left_out() -> None:
    """Empty is null where the field is nullable, and absent where it is not required."""
    record = Converter(shop().record).record(GOOD | {"amount": None, "count": None, "new": None})
    assert record == {"id": "a", "who": "x", "at": 1_704_063_600_000, "amount": None}


def test_typed_values_stay_as_they_are() -> None:
    """What has a type in the file is not converted, except a whole float where an integer is declared."""
    row = {"id": "a", "who": "x", "at": 5, "amount": 2, "count": 3.0, "new": False}
    assert row | {"count": 3} == Converter(shop().record).record(row)
