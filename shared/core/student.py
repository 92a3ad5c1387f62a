"""Quantiles of Student's t, for which the pure part has no library."""

import math
from statistics import NormalDist

_NORMAL = 200  # degrees of freedom from which it is the normal one


def student(p: float, freedom: int) -> float:
    """The quantile of Student's t, by bisection of its finite series (Abramowitz and Stegun, 26.7.3 and 26.7.4).

    Args:
        p: above one half, below 1.
        freedom: degrees of freedom, 1 or more.
    """
    if freedom >= _NORMAL:
        return NormalDist().inv_cdf(p)
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + _inside(middle, freedom)) / 2 < p else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _inside(angle: float, freedom: int) -> float:
    """The share of Student's t between -t and t, where tan(angle) is t over the root of `freedom`."""
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total, k = 0.0, 2 if odd else 1
    for _ in range((freedom - odd) // 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
        k += 2
    return (angle + sine * total) * 2 / math.pi if odd else sine * total
