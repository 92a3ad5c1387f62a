"""Counts over reference bins: exact, whatever the values, the batches and the order of the columns."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.core.bundle import Column
from shared.core.reference import FeatureProfile, profile
from shared.core.summaries import Bins, Gatherer, bins_of, count

COLUMNS = (Column("x", "numeric"), Column("c", "category", ("a", "b", "c")), Column("y", "numeric"))
PROFILES = {
    "x": FeatureProfile(edges=(-1.0, 0.1, 2.5), counts=(5, 5, 5, 5)),
    "c": FeatureProfile(words=("c", "a"), counts=(7, 6, 2)),
    "y": FeatureProfile(counts=(0,), missing=9),
}
BINS = bins_of(COLUMNS, PROFILES)
NUMBER = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True),
    st.sampled_from([-1.0, 0.0, 2.5, float(np.float32(0.1)), float(np.nextafter(np.float32(0.1), np.float32(0)))]),
)
CODE = st.sampled_from([0.0, 1.0, 2.0, math.nan])
ROWS = st.lists(st.tuples(NUMBER, CODE, NUMBER), max_size=40)
Matrix = NDArray[np.float32]


def _matrix(rows: list[tuple[float, float, float]]) -> Matrix:
    return np.array(rows, dtype=np.float32).reshape(-1, 3)


def _naive(rows: list[tuple[float, float, float]]) -> list[int]:
    """The same one value after the other: bins (-inf, -1], (-1, 0.1], (0.1, 2.5], rest; c, a, others; all."""
    found = [0] * 11
    for x, code, y in _matrix(rows).astype(np.float64).tolist():
        found[4 if math.isnan(x) else sum(x > edge for edge in (-1.0, 0.1, 2.5))] += 1
        found[8 if math.isnan(code) else (6, 7, 5)[int(code)]] += 1
        found[10 if math.isnan(y) else 9] += 1
    return found


def test_a_column_without_a_profile_is_refused() -> None:
    """A model's column that its reference does not know is a bug, told by name."""
    with pytest.raises(KeyError, match="x"):
        bins_of(COLUMNS, {})


def test_no_rows_and_no_columns_are_nothing() -> None:
    """Neither breaks anything."""
    assert count(BINS, _matrix([])).tolist() == [0] * 11
    assert count(bins_of((), {}), np.zeros((3, 0), dtype=np.float32)).tolist() == []


@given(ROWS)
def test_each_value_is_counted_where_it_belongs(rows: list[tuple[float, float, float]]) -> None:
    """On an edge, beside it, infinite, missing: as a plain loop over the values has it."""
    assert _naive(rows) == count(BINS, _matrix(rows)).tolist()


@given(ROWS, ROWS)
def test_counts_of_parts_add_up(one: list[tuple[float, float, float]], other: list[tuple[float, float, float]]) -> None:
    """Workers and windows merge by addition, bit for bit."""
    whole = count(BINS, _matrix(one + other))
    assert whole.tolist() == (count(BINS, _matrix(one)) + count(BINS, _matrix(other))).tolist()


@given(st.lists(ROWS, max_size=8), st.integers(1, 60))
def test_small_matrices_are_gathered(parts: list[list[tuple[float, float, float]]], size: int) -> None:
    """In whatever batches rows come and are counted, and however often one looks."""
    gatherer, added = Gatherer(BINS, size), list[tuple[float, float, float]]()
    for rows in parts:
        gatherer.add(_matrix(rows))
        added += rows
        assert count(BINS, _matrix(added)).tolist() == gatherer.counts().tolist()


def test_the_records_of_a_reference_fill_it_again() -> None:
    """What a reference was made from gives exactly its counts, numbers and words, over several parts of a matrix."""
    rng = np.random.default_rng(8)
    words = tuple(f"w{i}" for i in range(30))
    columns = (*(Column(f"n{j}", "numeric") for j in range(17)), Column("word", "category", words))
    matrix = rng.standard_normal((20_000, 18)).astype(np.float32)
    matrix[:, 3] = np.round(matrix[:, 3])
    matrix[:, 17] = rng.geometric(0.2, 20_000).clip(1, 30) - 1
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    known = profile(columns, matrix, [0.5], [0.5]).features
    bins = bins_of(columns, known)
    counts = count(bins, matrix)
    for j, column in enumerate(columns):
        found, missing = bins.of(counts, j)
        assert (known[column.name].counts, known[column.name].missing) == (tuple(found.tolist()), missing)


def test_the_matrix_is_left_alone() -> None:
    """It is the scorer's, which still needs it."""
    matrix = _matrix([(3.0, 0.0, 1.0), (1.0, 1.0, -1.0)])
    before = matrix.copy()
    count(BINS, matrix)
    assert np.array_equal(before, matrix)
    assert isinstance(BINS, Bins)
