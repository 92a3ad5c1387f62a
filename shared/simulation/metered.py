"""A meter of use that may not be read, or was replaced: what use may be behind a record, and how likely each is."""

import numpy as np

from shared.simulation.lognormal import normal_slice
from shared.simulation.world import Column, Floats, Ints

BANDS = ("Low", "Medium", "High")
UNSAID = 3
_THIRD = 0.430727  # the standard normal's upper third begins here
_POINTS = 7


def band_of(use: Floats) -> Ints:
    """The third that a machine's use (standard normal) lies in: 0 is Low."""
    return np.searchsorted((-_THIRD, _THIRD), use)


def hidden_use(
    usual: Floats, sd: float, shown: Floats, gone: Column, band: Ints, *, reset: tuple[float, float]
) -> tuple[Floats, Floats]:
    """True readings (n, k) that may be behind each record, and their weights (n, k) of any sum above 0.

    A true reading is log-normal around the usual one. A replaced meter shows anything from 0 to a most.

    Args:
        usual: (n,) the median reading of such a machine.
        sd: standard deviation of the logarithm.
        shown: (n,) what the meter shows, whole numbers.
        gone: (n,) where nothing is shown.
        band: (n,) the third of use that the seller states, or `UNSAID`.
        reset: share of meters that were replaced, and the most that they show.
    """
    slices = [normal_slice(low / 3, high / 3, _POINTS) for low, high in ((0, 1), (1, 2), (2, 3), (0, 3))]
    unknown = usual[:, None] * np.exp(sd * np.array(slices)[band])
    reading = np.maximum(shown, 1.0)
    use = np.log(reading / usual) / sd
    density = np.exp(-(use**2) / 2) / np.sqrt(2 * np.pi) / (sd * reading)
    density *= np.where(band == UNSAID, 1, 3 * (band_of(use) == band))
    true = np.where(gone, 0.0, (1 - reset[0]) * density)
    other = np.where(gone, 1.0, reset[0] / reset[1] * (shown <= reset[1]))
    true[true + other == 0] = 1.0  # on a border of the bands, and rounded across it
    return np.column_stack([reading, unknown]), np.column_stack([true, np.tile(other[:, None] / _POINTS, _POINTS)])
