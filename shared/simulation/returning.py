"""Entities that are seen again: which record is of an entity that came before."""

import numpy as np

from shared.simulation.scenario import Flags
from shared.simulation.world import Ints


def returning(rng: np.random.Generator, times: Ints, share: float, gap_ms: int, *, fresh: Flags) -> Ints:
    """The place of the first record of each record's entity: (n,), its own place where the entity is new.

    Args:
        rng: the dice.
        times: (n,) event times (ms), ascending.
        share: of the records whose entity came before.
        gap_ms: the least time since the earlier record that it is drawn from, and so since the first.
        fresh: (n,) records whose entity must be new.
    """
    eligible = np.searchsorted(times, times - gap_ms)
    chosen = np.floor(rng.random(len(times)) * eligible).astype(np.int64)
    again = (rng.random(len(times)) < share) & (eligible > 0) & ~fresh
    first = np.where(again, chosen, np.arange(len(times)))
    while (first[first] != first).any():
        first = first[first]
    return first
