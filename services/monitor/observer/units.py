"""Fixed point by columns: the same units as `shared.core.scorecards.fixed`, and sums that never lose one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.core.scorecards import LIMIT, SCALE

Units = NDArray[np.int64]
ROOM = 1 << 62
"""Up to here int64 adds up without overflow, whatever the order."""


def units(values: ArrayLike) -> Units:
    """Each value in fixed point, rounded half to even, cut at the limit.

    Raises:
        ValueError: one is NaN.
    """
    given = np.asarray(values, dtype=np.float64)
    if np.isnan(given).any():
        raise ValueError("NaN has no fixed-point value")
    return np.rint(np.clip(given, -LIMIT, LIMIT) * SCALE).astype(np.int64)


def total(of: Units) -> int:
    """The exact sum."""
    return int(of.sum()) if _fits(of) else sum(of.tolist())


def by_place(places: NDArray[np.int64], of: Units, size: int) -> list[int]:
    """The exact sum at each place.

    Args:
        places: n places in [0, size).
        of: n units.
        size: how many places there are.
    """
    if _fits(of):
        sums = np.zeros(size, dtype=np.int64)
        np.add.at(sums, places, of)
        return sums.tolist()
    exact = [0] * size
    for place, one in zip(places.tolist(), of.tolist(), strict=True):
        exact[place] += one
    return exact


def histogram(places: Sequence[int] | NDArray[np.int64], size: int) -> tuple[int, ...]:
    """How many stand at each place in [0, size)."""
    return tuple(np.bincount(np.asarray(places, dtype=np.int64), minlength=size).tolist())


def _fits(of: Units) -> bool:
    return len(of) == 0 or max(int(of.max()), -int(of.min())) * len(of) < ROOM
