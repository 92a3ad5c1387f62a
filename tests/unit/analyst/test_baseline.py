"""How a reference of errors is learned: the mean, and by how much bursts make it uncertain."""

import math

import numpy as np
import pytest

from shared.core.baseline import UNIT, baseline

BLOCK = 25


def _independent(seed: int, share: float, blocks: int) -> list[int]:
    print("seed", seed)
    return [int(count) for count in np.random.default_rng(seed).binomial(BLOCK, share, blocks)]


def test_a_model_without_an_error_is_not_taken_for_perfect() -> None:
    """The mean of a reference is never 0 or 1: the first error would else be infinitely strong evidence."""
    assert baseline("errors", [0] * 200, BLOCK).mean == pytest.approx(1 / 5_000)
    assert baseline("errors", [BLOCK] * 200, BLOCK).mean == pytest.approx(1 - 1 / 5_000)


def test_losses_that_do_not_vary_have_no_deviation() -> None:
    """A constant loss is told as such, without a division by zero."""
    found = baseline("loss", [UNIT] * 200, BLOCK)
    assert (found.mean, found.deviation, found.spread) == (1 / BLOCK, 0.0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_not_taken_for_bursts(seed: int) -> None:
    """Independent errors have the error of the mean that the textbook gives them."""
    found = baseline("errors", _independent(seed, 0.1, 200), BLOCK)
    assert found.spread == 1.0
    assert found.error == pytest.approx(math.sqrt(found.mean * (1 - found.mean) / 5_000))


def test_bursts_make_the_mean_less_certain() -> None:
    """Days of 40 blocks whose shares differ by 8 points: the variance of their sums is some 40 times as large."""
    rng = np.random.default_rng(3)
    days = np.clip(rng.normal(0.2, 0.08, 40), 0.01, 0.9).repeat(40)
    found = baseline("errors", [int(count) for count in rng.binomial(BLOCK, days)], BLOCK)
    truth = 1 + (0.08**2 * (40 * BLOCK)) / (0.2 * 0.8)
    assert truth / 2 < found.spread < truth * 2
    assert found.error > 4 * math.sqrt(0.16 / found.labels)


def test_losses_have_the_deviation_of_one_label_and_the_skew_of_a_block() -> None:
    """Both are recomputed from labels that the reference never sees one by one."""
    losses = np.random.default_rng(4).exponential(0.5, (4_000, BLOCK))
    found = baseline("loss", [round(total * UNIT) for total in losses.sum(axis=1)], BLOCK)
    assert found.mean == pytest.approx(losses.mean())
    assert found.deviation == pytest.approx(0.5, rel=0.05)
    assert found.skew == pytest.approx(2 / math.sqrt(BLOCK), abs=0.12)
