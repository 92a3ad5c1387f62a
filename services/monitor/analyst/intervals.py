"""Intervals of 95 %: for shares, for the area under a curve, and for what blocks of time say of themselves."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Range = tuple[float, float]
Z = 1.959963984540054
REPLICATES, SEED = 400, 20_131
_HALVINGS = 50


def wilson(hits: float, n: float, effect: float = 1.0) -> Range:
    """Of a share.

    Sources: Wilson, "Probable inference, the law of succession, and statistical inference" (1927); the design effect
    divides n (Kish, "Survey sampling", 1965).

    Args:
        hits: how many of n, above 0.
        n: of how many.
        effect: by how much the variance exceeds that of independent ones, 1 or more.
    """
    share, n = hits / n, n / effect
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def design_effect(hits: Values, n: Values) -> float:
    """How much more a share varies between b blocks than chance would have it, 1 or more.

    Pearson's chi squared over its degrees of freedom (McCullagh and Nelder, "Generalized linear models", 1989).

    Args:
        hits: (b,) of each block.
        n: (b,) of how many, each above 0.
    """
    share = hits.sum() / n.sum()
    if len(n) < 2 or not 0 < share < 1:  # noqa: PLR2004 - one block does not vary
        return 1.0
    squares = (hits - n * share) ** 2 / (n * share * (1 - share))
    return max(float(squares.sum()) / (len(n) - 1), 1.0)


def ranked(area: float, positives: float, negatives: float) -> Range:
    """Of an area under a ROC curve; also where it is 0 or 1.

    Source: Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic", part 2
    (2006), method 5: Hanley and McNeil's variance (1982) at the limits themselves, not at the estimate.
    """
    middle = (positives + negatives) / 2 - 1

    def apart(limit: float) -> float:
        fair = 1 + middle * ((1 - limit) / (2 - limit) + limit / (1 + limit))
        return Z * math.sqrt(limit * (1 - limit) * fair / (positives * negatives)) - abs(limit - area)

    return _root(apart, 0.0, area), _root(apart, 1.0, area)


def around(value: float, error: float, freedom: float = math.inf) -> Range:
    """Of a value with this standard error, by the normal or by Student's distribution."""
    half = student(freedom) * error
    return value - half, value + half


def student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t for 4 or more degrees of freedom, to 0.02.

    Source: Abramowitz and Stegun, "Handbook of mathematical functions" (1964), 26.7.5.
    """
    cubic = (Z**3 + Z) / 4
    fifth = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    return Z + cubic / freedom + fifth / freedom**2


def weights(blocks: int) -> Values:
    """How often each of b blocks is drawn, (replicates, b): the same at every call.

    Source: Efron, "Bootstrap methods: another look at the jackknife" (1979), over blocks of time as in Kuensch, "The
    jackknife and the bootstrap for general stationary observations" (1989).
    """
    rng = np.random.default_rng([SEED, blocks])
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=REPLICATES).astype(np.float64)


def _root(apart: Callable[[float], float], outside: float, inside: float) -> float:
    """Where `apart` changes its sign between a place where it is negative and one where it is not."""
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if apart(middle) < 0:
            outside = middle
        else:
            inside = middle
    return (outside + inside) / 2
