"""How far a distribution has moved from its reference: effect sizes on bin counts, for numbers and categories.

No p-values: with enough records every difference is significant, and records that depend on each other make every
window look different. `calibration.py` says which sizes are unusual for a feature.

All functions take counts (..., b) over the same b bins, several windows at once, and give (...). Counts are smoothed by
half a record a bin (Krichevsky and Trofimov, 1981; Jeffreys' prior), so that an empty bin makes nothing infinite.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
_HALF = 0.5


def shares(counts: ArrayLike) -> Values:
    """The share of each bin, (..., b), smoothed; without any record all bins are alike."""
    smoothed = np.asarray(counts, dtype=np.float64) + _HALF
    return np.asarray(smoothed / smoothed.sum(axis=-1, keepdims=True))


def psi(reference: ArrayLike, current: ArrayLike) -> Values:
    """Population stability index: sum of (p - q) ln(p / q), 0 or more, in nats.

    It is Jeffreys' divergence (Kullback and Leibler, "On information and sufficiency", 1951), by its name in credit
    scoring (Siddiqi, "Credit risk scorecards", 2006). A mean that moves by d standard deviations gives about d^2.
    """
    p, q = shares(reference), shares(current)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> Values:
    """Jensen-Shannon distance, 0 to 1: the square root of the divergence in bits.

    Lin, "Divergence measures based on the Shannon entropy" (1991); that its root is a distance: Endres and Schindelin,
    "A new metric for probability distributions" (2003).
    """
    p, q = shares(reference), shares(current)
    middle = (p + q) / 2
    bits = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum(axis=-1) / 2
    return np.asarray(np.sqrt(np.maximum(bits, 0.0)))


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike) -> Values:
    """The largest difference of the two distribution functions at an edge, 0 to 1; a lower bound of the exact one.

    For numbers: bins have to be in order. Kolmogorov (1933), Smirnov (1948).
    """
    moved = np.cumsum(shares(current) - shares(reference), axis=-1)
    return np.asarray(np.abs(moved).max(axis=-1))


def total_variation(reference: ArrayLike, current: ArrayLike) -> Values:
    """The largest difference in the share of any set of categories, 0 to 1: what the above is, without an order."""
    return np.asarray(np.abs(shares(current) - shares(reference)).sum(axis=-1) / 2)


def distance(reference: ArrayLike, current: ArrayLike, *, ordered: bool) -> Values:
    """Kolmogorov-Smirnov distance where bins are in order (numbers), else total variation (categories)."""
    return (kolmogorov_smirnov if ordered else total_variation)(reference, current)
