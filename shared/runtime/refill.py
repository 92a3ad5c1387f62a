"""Fills a store again that came back empty: a marker for each partition, in the store itself, goes when its data goes.

A marker is absent, a filler's token, or `FILLED`, which says: *all that this group has committed of the partition was
written to this very store*. Why a crash at any point is safe:

1. Unless the marker is `FILLED`, it becomes our token, and only then is the partition read from its beginning. A crash
   before or after leaves it not `FILLED`: the next owner starts over as well.
2. The first commit after that sets the group's offset back to what was written since. A crash before it: as above.
3. After it the marker is swapped from our token to `FILLED`. A crash before the swap: as above. After it the next owner
   goes on from the committed offset, which by now counts from the beginning.
4. A store that is emptied in between has lost our token too, so that the swap does nothing. So does that of a filler
   whose partition another has begun to fill. Written again is only what merges into the same.

So the marker is set long before the store is full. It need not be later: the committed offset knows the rest.
"""

from collections.abc import Collection, Sequence
from typing import Final, Protocol

from shared.core.errors import Unavailable
from shared.core.ports import Clock
from shared.runtime.logs import get_logger

FILLED: Final = "filled"
EVERY = 2.0  # s between two looks at the markers


class Markers(Protocol):
    """Markers in the store; `shared.adapters.redis_features.RedisWriter`. All raise Unavailable."""

    def markers(self, partitions: Sequence[int]) -> Sequence[str]:
        """Their markers, empty where there is none."""

    def mark(self, partitions: Sequence[int], marker: str) -> None:
        """Set them."""

    def swap(self, partitions: Sequence[int], old: str, new: str) -> None:
        """Set each that is `old`, and leave the others; each by itself is atomic."""


class MarkedRefill:
    """Implements `Refill` over the store's own markers. For one thread.

    Args:
        markers: in the store.
        clock: monotonic.
        token: no other filler's, living or dead.
        every: seconds between two looks.
    """

    def __init__(self, markers: Markers, clock: Clock, token: str, *, every: float = EVERY) -> None:
        self._markers, self._clock, self._token, self._every = markers, clock, token, every
        self._begun: set[int] = set()  # read from the beginning, and nothing committed since
        self._look_at = clock.monotonic() + every
        self._log = get_logger("refill")

    def due(self, partitions: Collection[int]) -> bool:
        """Look every few seconds whether a marker is gone, or not ours though nobody but us may fill."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + self._every
        listed = sorted(partitions)
        try:
            found = dict(zip(listed, self._markers.markers(listed), strict=True))
        except Unavailable:
            return False
        ours = {p for p in self._begun if found.get(p) == self._token}
        return any(marker != FILLED for p, marker in found.items() if p not in ours)

    def begin(self, partitions: Collection[int]) -> Collection[int]:
        """See `Refill.begin`. A store that does not answer: as committed, and `due` will say so if that was wrong."""
        listed = sorted(partitions)
        self._begun.difference_update(listed)
        try:
            found = self._markers.markers(listed)
            again = [p for p, marker in zip(listed, found, strict=True) if marker != FILLED]
            if again:
                self._markers.mark(again, self._token)
        except Unavailable:
            return ()
        if again:
            self._log.warning("the store was emptied, or is new: reading from the beginning", partitions=again)
        self._begun.update(again)
        return again

    def committed(self, partitions: Collection[int]) -> None:
        """See `Refill.committed`. Where the store does not answer the next commit tries again."""
        done = sorted(self._begun.intersection(partitions))
        if not done:
            return
        try:
            self._markers.swap(done, self._token, FILLED)
        except Unavailable:
            return
        self._begun.difference_update(done)
