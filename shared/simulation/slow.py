"""What wanders slowly and is published nowhere: a level of each of a few things, straight between random knots."""

from dataclasses import dataclass

import numpy as np

from shared.simulation.arrivals import DAY_MS
from shared.simulation.world import Floats, Ints


@dataclass(frozen=True, slots=True)
class Slow:
    """Levels (knots, things), `days` apart, from `start` (ms) on."""

    start: int
    days: float
    levels: Floats

    def at(self, things: Ints, times: Ints) -> Floats:
        """The level of each of n things at its time: (n,)."""
        knot, part = np.divmod((times - self.start) / (self.days * DAY_MS), 1)
        left = knot.astype(np.int64)
        return np.asarray((1 - part) * self.levels[left, things] + part * self.levels[left + 1, things])


def slowly(rng: np.random.Generator, things: int, start: int, days: float, *, sd: float, every_d: float) -> Slow:
    """Independent knots around 0 over a stretch of time.

    Args:
        rng: the dice.
        things: how many.
        start: first moment (ms since 1970 UTC).
        days: length of the stretch.
        sd: standard deviation of a knot.
        every_d: days from one knot to the next.
    """
    # Knot by knot, so that a longer stretch begins as a shorter one.
    return Slow(start, every_d, rng.normal(0.0, sd, (int(days / every_d) + 2, things)))
