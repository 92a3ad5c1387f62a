"""When a topic must be read again from its beginning, whatever its group has committed."""

from collections.abc import Collection
from typing import Protocol


class Refill(Protocol):
    """Watches a store outside of the log that a service fills from its input, and that may be emptied.

    For services that deliver at least once. Nothing here raises: a store that does not answer is asked again.
    """

    def due(self, partitions: Collection[int]) -> bool:
        """Whether one of these owned partitions must be read again; asked at each poll, so it is cheap."""

    def begin(self, partitions: Collection[int]) -> Collection[int]:
        """Those of them that start at their beginning; asked whenever committed positions are about to be taken."""

    def committed(self, partitions: Collection[int]) -> None:
        """Offsets of these were committed, after what stands before them was written."""


class NoRefill:
    """For services whose output is in the log itself."""

    def due(self, partitions: Collection[int]) -> bool:
        """Never."""
        del partitions
        return False

    def begin(self, partitions: Collection[int]) -> Collection[int]:
        """None."""
        del partitions
        return ()

    def committed(self, partitions: Collection[int]) -> None:
        """Nothing to remember."""
