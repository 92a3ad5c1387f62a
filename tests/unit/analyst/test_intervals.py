"""Intervals and delay quantiles against published figures and plain recomputation."""

import numpy as np
import pytest
from scipy import stats

from services.monitor.analyst.delays import come_by, quantiles
from services.monitor.analyst.intervals import design_effect, ranked, student, wilson
from shared.core.monitor_records import DELAYS


def test_no_delays_have_no_quantiles() -> None:
    """Where no label came, nothing is said of how late labels are."""
    assert quantiles(()) == quantiles((0,) * 15) == ()
    assert come_by((0,) * 15, 3_600) is None


def test_wilson_is_scipys() -> None:
    """The same limits as scipy's, at both ends as well."""
    for hits, n in ((0, 10), (10, 10), (3, 20), (812, 1_000)):
        expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_students_quantile_is_near() -> None:
    """From seven degrees of freedom on, the series is within 0.02 of the quantile."""
    for freedom in (7, 12, 30, 200):
        assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=0.02)


def test_an_area_of_one_is_not_certain() -> None:
    """Three of each class perfectly ranked say little, a thousand much; and the interval turns over with the area."""
    low, high = ranked(1.0, 3, 3)
    assert low < 0.75
    assert high == 1.0
    assert ranked(1.0, 1_000, 1_000)[0] > 0.995
    assert ranked(0.3, 40, 60) == pytest.approx(tuple(1 - x for x in reversed(ranked(0.7, 60, 40))), abs=1e-6)


def test_independent_blocks_have_no_design_effect_to_speak_of() -> None:
    """About 1 for independent blocks, far more for blocks that are all right or all wrong, 1 for a single one."""
    rng = np.random.default_rng(1)
    n = np.full(400, 50.0)
    assert design_effect(rng.binomial(50, 0.2, 400).astype(np.float64), n) < 1.2
    assert design_effect(np.where(rng.random(400) < 0.2, 50.0, 0.0), n) > 40
    assert design_effect(np.array([3.0]), np.array([9.0])) == 1.0


def test_quantiles_lie_between_the_edges_around_them() -> None:
    """The interpolated quantile is near that of the delays themselves, whose place between the edges is sure."""
    delays = np.random.default_rng(2).exponential(7_200, 5_000)
    counts = np.bincount(np.searchsorted(DELAYS, delays, side="right"), minlength=len(DELAYS) + 1)
    for found in quantiles(tuple(int(n) for n in counts)):
        true = float(np.quantile(delays, found.share, method="inverted_cdf"))
        assert found.least is not None
        assert found.most is not None
        assert found.least <= true <= found.most
        assert found.least <= found.seconds <= found.most
    assert come_by(tuple(int(n) for n in counts), 3_600) == pytest.approx(float((delays < 3_600).mean()))


def test_delays_beyond_all_edges_are_open() -> None:
    """A label before its observation has no least delay, one after the last edge no most."""
    early, late = [0] * 15, [0] * 15
    early[0], late[14] = 5, 5
    assert (quantiles(tuple(early))[0].least, quantiles(tuple(early))[0].most) == (None, 0.0)
    assert (quantiles(tuple(late))[0].least, quantiles(tuple(late))[0].most) == (float(DELAYS[-1]), None)
