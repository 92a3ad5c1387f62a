"""The law of a target that is log-normal, or a mixture of such: its mean and median, record by record."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_STEPS = 40  # halvings: a bracket of e**8 shrinks below 1e-11


@dataclass(frozen=True, slots=True)
class Mixture:
    """n laws, each of k log-normal parts: what the target may be, given all that a record shows.

    Attributes:
        weights: (n, k), at least 0, of any positive sum; a part that cannot be has weight 0.
        logs: (n, k) medians of the parts, as natural logarithms of the target.
        spread: (n,) standard deviation of the logarithm within each part.
    """

    weights: Array
    logs: Array
    spread: Array

    def shares(self) -> Array:
        """(n, k) probabilities of the parts."""
        return np.asarray(self.weights / self.weights.sum(axis=1, keepdims=True), dtype=np.float64)

    def mean(self) -> Array:
        """(n,) mean of the target: what a squared error asks for."""
        top = self.logs.max(axis=1, keepdims=True)
        inner = (self.shares() * np.exp(self.logs - top)).sum(axis=1)
        return np.asarray(np.exp(top[:, 0] + self.spread**2 / 2) * inner, dtype=np.float64)

    def median(self) -> Array:
        """(n,) median of the target, by halving where the parts differ."""
        possible = self.weights > 0
        low = np.where(possible, self.logs, np.inf).min(axis=1)
        high = np.where(possible, self.logs, -np.inf).max(axis=1)
        wide = np.flatnonzero(high - low > 1e-9)  # noqa: PLR2004 - equal but for rounding
        shares, logs, spread = self.shares()[wide], self.logs[wide], self.spread[wide, None]
        under, over = low[wide], high[wide]
        for _ in range(_STEPS):
            middle = (under + over) / 2
            short = (shares * normal_cdf((middle[:, None] - logs) / spread)).sum(axis=1) < 0.5  # noqa: PLR2004 - half
            under, over = np.where(short, middle, under), np.where(short, over, middle)
        answer = low.copy()
        answer[wide] = (under + over) / 2
        return np.asarray(np.exp(answer), dtype=np.float64)


def normal_cdf(x: Array) -> Array:
    """The standard normal distribution function, to 2e-7 (Abramowitz and Stegun 7.1.26)."""
    z = np.abs(x) / np.sqrt(2.0)
    t = 1 / (1 + 0.3275911 * z)
    tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = 1 - tail * np.exp(-z * z)
    return np.asarray((1 + np.sign(x) * erf) / 2, dtype=np.float64)


def normal_nodes(k: int) -> tuple[Array, Array]:
    """Points and weights (sum 1) that stand for a standard normal variable (Gauss-Hermite)."""
    points, weights = np.polynomial.hermite_e.hermegauss(k)
    return points, weights / weights.sum()


def normal_slice(low: float, high: float, k: int) -> Array:
    """K equally likely values that stand for a standard normal variable between two quantiles (0..1)."""
    shares = low + (high - low) * (np.arange(k) + 0.5) / k
    return np.array([NormalDist().inv_cdf(share) for share in shares.tolist()])
