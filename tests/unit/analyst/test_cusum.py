"""CUSUM: its evidence is a likelihood ratio, so chance alone seldom adds up to an alarm."""

import numpy as np
import pytest
from scipy.stats import binom, pearson3

from services.monitor.analyst.cusum import Level, Terms, bank, highest, step
from shared.core.baseline import UNIT, Baseline, baseline

BLOCK = 25
SURE = Terms(caution=0.0)


def _of_errors(mean: float) -> Baseline:
    return Baseline("errors", 5_000, BLOCK, mean, (mean * (1 - mean)) ** 0.5)


def test_nothing_is_watched_that_never_varied() -> None:
    """A constant loss gives no members, and no members give no evidence."""
    members = bank(baseline("loss", [UNIT] * 200, BLOCK), Terms())
    assert members == ()
    assert highest(members, step(members, (), (BLOCK, 5.0, 0), 1.5)) == (0.0, 0)


@pytest.mark.parametrize("mean", [0.0002, 0.05, 0.24, 0.9, 0.9998])
def test_evidence_of_errors_is_the_likelihood_ratio_of_two_binomials(mean: float) -> None:
    """Each member's gain from a block equals the log ratio that scipy works out; no share is too extreme."""
    for member, rise in zip(bank(_of_errors(mean), SURE), SURE.rises, strict=True):
        after = min(mean + rise, (1 + mean) / 2)
        counts = np.arange(BLOCK + 1)
        expected = binom.logpmf(counts, BLOCK, after) - binom.logpmf(counts, BLOCK, mean)
        assert member.weight * counts - BLOCK * member.slack == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("skew", [0.05, 0.4, 1.2])
def test_evidence_of_losses_is_worth_nothing_on_average(skew: float) -> None:
    """Before a rise the mean of its exponential is 1, whatever the skew: so an alarm by chance is bounded."""
    reference = Baseline("loss", 5_000, BLOCK, 0.3, 0.6, skew)
    sums = pearson3(skew, loc=0.3 * BLOCK, scale=0.6 * BLOCK**0.5)
    places = (np.arange(200_000) + 0.5) / 200_000
    for member in bank(reference, SURE)[:2]:
        gains = member.weight * sums.ppf(places) - BLOCK * member.slack
        assert float(np.exp(gains).mean()) == pytest.approx(1.0, abs=0.03)


def test_evidence_never_falls_below_nothing_nor_grows_without_bound() -> None:
    """Long good times do not hide a rise, and a long rise is forgotten again when it is over."""
    members = bank(_of_errors(0.1), SURE)
    levels = [Level(0.5, BLOCK, 9.0, 7)] * len(members)
    assert step(members, levels, (BLOCK, 0.0, 8), 1.5) == [Level()] * len(members)
    for _ in range(100):
        levels = step(members, levels, (BLOCK, 20.0, 8), 1.5)
    assert highest(members, levels)[0] == pytest.approx(1.5)


def test_the_beginning_of_a_rise_is_where_the_evidence_was_last_nothing() -> None:
    """A level knows the labels and errors since then, and the event time at which they begin."""
    members = bank(_of_errors(0.1), SURE)
    levels: list[Level] = []
    for opened, errors in ((100, 0.0), (200, 0.0), (300, 9.0), (400, 8.0)):
        levels = step(members, levels, (BLOCK, errors, opened), 1.5)
    assert [(level.n, level.total, level.since) for level in levels[:2]] == [(50, 17.0, 300)] * 2


def test_bursty_errors_need_more_evidence() -> None:
    """Sums that vary 20 times as much as independent ones weigh a twentieth, and the mean counts as less certain."""
    calm, bursty = _of_errors(0.2), Baseline("errors", 5_000, BLOCK, 0.2, 0.4, spread=20.0)
    for one, other in zip(bank(calm, SURE), bank(bursty, SURE), strict=True):
        assert other.weight == pytest.approx(one.weight / 20)
        assert other.threshold == one.threshold
    assert bursty.error == pytest.approx(calm.error * 20**0.5)


@pytest.mark.parametrize("seed", range(3))
def test_independent_errors_seldom_alarm_and_a_rise_is_seen(seed: int) -> None:
    """At most one false alarm in 100,000 records, and 16 points more are seen within some hundred (reduced runs)."""
    print("seed", seed)
    rng, terms = np.random.default_rng(seed), Terms()
    members = bank(baseline("errors", rng.binomial(BLOCK, 0.1, 200).tolist(), BLOCK), terms)

    def alarms(sums: list[int]) -> list[int]:
        found, levels = [], list[Level]()
        for i, total in enumerate(sums):
            levels = step(members, levels, (BLOCK, float(total), i), terms.most)
            if highest(members, levels)[0] >= 1:
                found.append(i)
                levels = []
        return found

    assert len(alarms(rng.binomial(BLOCK, 0.1, 4_000).tolist())) <= 1
    assert (alarms(rng.binomial(BLOCK, 0.26, 40).tolist())[0] + 1) * BLOCK <= 400
