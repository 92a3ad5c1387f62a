"""Ordered classes: an index, read with a normal error, cut at thresholds."""

import numpy as np

from shared.simulation.lognormal import normal_cdf
from shared.simulation.world import Floats


def levels(index: Floats, cuts: Floats) -> Floats:
    """The class (0..k-1) that each index falls into, between k-1 ascending cuts: (n,)."""
    return np.searchsorted(cuts, index, side="right").astype(np.float64)


def chances(index: Floats, cuts: Floats, sd: float) -> Floats:
    """The probability of each class where the index is read with an error of standard deviation `sd`: (n, k)."""
    below = normal_cdf((cuts - index[:, None]) / sd)
    return np.diff(below, axis=1, prepend=0.0, append=1.0)
