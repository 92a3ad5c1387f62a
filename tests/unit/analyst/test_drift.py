"""Effect sizes on bin counts, beside scipy's and the definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from services.monitor.analyst import drift

COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=12)
PAIR = st.integers(1, 12).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 10_000), min_size=bins, max_size=bins)] * 2)
)


def test_empty_bins_and_empty_windows_are_finite() -> None:
    """A bin that was never seen, and a window without a record, give a number."""
    for found in (drift.psi([0, 10], [10, 0]), drift.jensen_shannon([0, 0], [5, 0]), drift.psi([3, 4], [0, 0])):
        assert np.isfinite(found)


@given(PAIR)
def test_all_are_symmetric_and_nothing_where_nothing_moved(pair: tuple[list[int], list[int]]) -> None:
    """Distances are at least 0, at most 1 where they say so, and the same from either side."""
    one, other = pair
    for size, most in (
        (drift.psi, np.inf),
        (drift.jensen_shannon, 1.0),
        (drift.kolmogorov_smirnov, 1.0),
        (drift.total_variation, 1.0),
    ):
        assert float(size(one, one)) == pytest.approx(0.0, abs=1e-7)
        assert -1e-12 <= float(size(one, other)) <= most
        assert float(size(one, other)) == pytest.approx(float(size(other, one)))


@given(PAIR)
def test_they_are_what_scipy_says_of_the_same_shares(pair: tuple[list[int], list[int]]) -> None:
    """PSI is the two relative entropies together; Jensen-Shannon is in bits; a bin gets half a record more."""
    p, q = (np.array(counts) + 0.5 for counts in pair)
    p, q = p / p.sum(), q / q.sum()
    assert float(drift.psi(*pair)) == pytest.approx(float(entropy(p, q) + entropy(q, p)), abs=1e-9)
    assert float(drift.jensen_shannon(*pair)) == pytest.approx(float(jensenshannon(p, q, base=2)), abs=1e-6)
    assert float(drift.kolmogorov_smirnov(*pair)) == pytest.approx(np.abs(np.cumsum(p) - np.cumsum(q)).max())


def test_an_order_matters_to_numbers_only() -> None:
    """Two neighbours that changed places are far for categories, near for numbers; any set of words is compared."""
    before, after = [100, 300, 300, 300], [300, 100, 300, 300]
    assert float(drift.distance(before, after, ordered=True)) == pytest.approx(0.2, abs=1e-3)
    assert float(drift.distance(before, [300, 300, 300, 100], ordered=True)) == pytest.approx(0.2, abs=1e-3)
    assert float(drift.distance(before, [250, 150, 450, 150], ordered=False)) == pytest.approx(0.3, abs=1e-3)


def test_a_mean_that_moves_by_half_a_deviation_has_a_psi_of_a_quarter() -> None:
    """The rule of thumb, on deciles of a normal distribution."""
    from scipy.stats import norm  # noqa: PLC0415 - used once

    edges = norm.ppf(np.arange(1, 10) / 10)
    counts = [np.diff([0.0, *norm.cdf(edges - d), 1.0]) * 1e6 for d in (0.0, 0.5)]
    assert float(drift.psi(*counts)) == pytest.approx(0.25, rel=0.15)
    assert float(drift.kolmogorov_smirnov(*counts)) == pytest.approx(0.2, rel=0.1)


@given(COUNTS)
def test_many_windows_are_compared_at_once(counts: list[int]) -> None:
    """The last axis has the bins; the others are kept."""
    windows = np.array([counts, counts[::-1], [1] * len(counts)])
    for size in (drift.psi, drift.jensen_shannon, drift.kolmogorov_smirnov, drift.total_variation):
        assert size(counts, windows) == pytest.approx([float(size(counts, window)) for window in windows])
