"""How often a model erred on records it had not learned from: what a rise is measured against.

Errors on real streams come in bursts (a day of bad weather), so sums over blocks of labels vary far more than the same
number of independent labels would. How much more is learned from the reference itself, over longer and longer runs of
blocks (the method of batch means: Conway, "Some tactical problems in digital simulation", 1963), and only believed
where chance does not explain it. Detectors divide their evidence by it (quasi-likelihood: Wedderburn, 1974).
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Kind = Literal["errors", "loss"]
UNIT = 2**20  # losses are integers in 2^-20
_BATCHES = 8  # fewer are too few to tell how much their sums vary
_SURE = 2.5  # standard deviations from which a spread is more than chance
_LEAST_SKEW = 0.05


class Baseline(msgspec.Struct, frozen=True):
    """What is known of n labels' errors or losses before the watch begins.

    `mean` and `deviation` are of one label; `deviation` is what independent labels would have. `skew` is of the sum
    over a block of `block` labels; `spread` (at least 1) is by how much the variance of long runs exceeds that of
    independent ones.
    """

    kind: Kind
    labels: int
    block: int
    mean: float
    deviation: float
    skew: float = 0.0
    spread: float = 1.0

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.deviation * math.sqrt(self.spread / self.labels)


def baseline(kind: Kind, sums: Sequence[int], block: int) -> Baseline:
    """Learn it from blocks in their order.

    Args:
        kind: `errors` are counts; `loss` is in 2^-20.
        sums: of each block, over its labels; two or more.
        block: labels a block.
    """
    values = np.asarray(sums, dtype=np.float64) / (UNIT if kind == "loss" else 1)
    labels = len(values) * block
    if kind == "errors":
        # Not 0 and not 1, however good or bad a model was on so few records.
        mean = min(max(float(values.sum()), 1.0), labels - 1.0) / labels
        deviation = math.sqrt(mean * (1 - mean))
        return Baseline(kind, labels, block, mean, deviation, spread=_spread(values, block * deviation**2))
    of_block = float(values.std(ddof=1))
    return Baseline(
        kind, labels, block, float(values.mean()) / block, of_block / math.sqrt(block),
        skew=_skew(values), spread=_spread(values, of_block**2),
    )  # fmt: skip


def _spread(values: NDArray[np.float64], variance: float) -> float:
    """The largest ratio, over runs of 1, 2, 4... blocks, of their sums' variance to that of independent blocks."""
    found, run = 1.0, 1
    while variance > 0 and len(values) // run >= _BATCHES:
        batches = len(values) // run
        ratio = float(values[: batches * run].reshape(batches, run).sum(axis=1).var(ddof=1)) / (run * variance)
        if ratio > _chance(batches - 1):
            found = max(found, ratio)
        run *= 2
    return found


def _chance(freedom: int) -> float:
    """Up to where the ratio may lie by chance: a quantile of chi squared by its degrees of freedom.

    By the approximation of Wilson and Hilferty, "The distribution of chi-square" (1931).
    """
    part = 2 / (9 * freedom)
    return (1 - part + _SURE * math.sqrt(part)) ** 3


def _skew(values: NDArray[np.float64]) -> float:
    """Of the blocks' sums, a standard error above what was found: what is taken for too small costs false alarms."""
    deviation = float(values.std())
    if deviation == 0:
        return _LEAST_SKEW
    found = float(((values - values.mean()) ** 3).mean()) / deviation**3
    return max(found + math.sqrt(6 / len(values)), _LEAST_SKEW)
