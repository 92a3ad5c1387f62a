"""A monthly price index of a few groups, as somebody publishes it: booms, busts, and noise of its own."""

from dataclasses import dataclass

import numpy as np

from shared.simulation.arrivals import month_starts
from shared.simulation.world import Column, Floats, Ints, Updates

_SHORTEST_MONTH = 28


@dataclass(frozen=True, slots=True)
class PriceIndex:
    """Log index and machines listed (groups, months), each month published at its `stamps` (ms)."""

    groups: Column
    stamps: Ints
    logs: Floats
    listings: Floats

    def at(self, group: Ints, times: Ints) -> Floats:
        """The newest published log index of each of n groups and times: (n,)."""
        return np.asarray(self.logs[group, np.searchsorted(self.stamps, times, side="right") - 1], dtype=np.float64)

    def updates(self, name: str) -> Updates:
        """All of it as feature updates, month by month; 100 is the long run's level."""
        count = len(self.groups)
        values = {"price_index": np.round(100 * np.exp(self.logs.T.ravel()), 2), "listings": self.listings.T.ravel()}
        return Updates(name, np.tile(self.groups, len(self.stamps)), np.repeat(self.stamps, count), values)


def price_index(
    rng: np.random.Generator, groups: Column, start: int, days: int, *, swing: Floats, months: float, sd: float
) -> PriceIndex:
    """An index that swings, each group in a phase of its own; many machines are listed when it is low.

    Args:
        rng: the dice.
        groups: their names, g of them.
        start: first moment (ms since 1970 UTC); the index begins with its month.
        days: how long it is published.
        swing: (g,) height of the swing, as a logarithm.
        months: length of a swing.
        sd: standard deviation of its own noise.
    """
    stamps = month_starts(start, days // _SHORTEST_MONTH + 2)
    shape = (len(stamps), len(groups))
    phase = rng.uniform(0, 2 * np.pi, len(groups))
    wave = swing * np.sin(2 * np.pi * np.arange(len(stamps))[:, None] / months + phase)
    dice = rng.standard_normal((*shape, 2))  # month by month, so that a longer stretch begins as a shorter one
    logs = wave + sd * dice[:, :, 0]
    listings = np.round(400 * np.exp(0.1 * dice[:, :, 1] - 2 * logs))
    return PriceIndex(groups, stamps, logs.T, listings.T)
