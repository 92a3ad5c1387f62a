"""When a partition stops instead of draining into dead letters: a bad deploy must not empty the topic."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.core.pipeline import DeadLetterLimit


@dataclass(slots=True)
class _Counts:
    """Records seen, dead letters in a row at the end, and the ordinals of the dead ones within the window."""

    seen: int = 0
    row: int = 0
    dead: deque[int] = field(default_factory=deque)


class DeadLetterGuard:
    """Counts the dead letters of one partition, in a row and as a share of the last `window` records.

    A batch counts once it is settled, so one that is aborted and tried again does not count twice.

    Args:
        limit: when to stop.
    """

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._settled = self._next = _Counts()

    def admit(self, outcomes: Sequence[bool]) -> str:
        """Judge a partition's next records, in order (True: a dead letter), after those that were settled.

        Returns:
            Why the partition must stop, or nothing.
        """
        was = self._settled
        self._next = counts = _Counts(was.seen, was.row, was.dead.copy())
        for dead in outcomes:
            counts.seen += 1
            counts.row = counts.row + 1 if dead else 0
            if dead:
                counts.dead.append(counts.seen)
            while counts.dead and counts.dead[0] <= counts.seen - self._limit.window:
                counts.dead.popleft()
            if why := self._verdict(counts):
                return why
        return ""

    def admit_good(self, records: int) -> str:
        """The same for so many records without a dead letter: nearly always, and nothing is listed."""
        if self._settled.dead:
            return self.admit([False] * records)
        self._next = _Counts(self._settled.seen + records)
        return ""

    def settle(self) -> None:
        """What was admitted last is committed: it counts from here on."""
        self._settled = self._next

    def _verdict(self, counts: _Counts) -> str:
        limit, dead = self._limit, len(counts.dead)
        if counts.row >= limit.in_a_row:
            return f"{counts.row} dead letters in a row (limit {limit.in_a_row})"
        if counts.seen >= limit.window and dead > limit.share * limit.window:
            return f"{dead} dead letters in {limit.window} records (limit {100 * limit.share:g}%)"
        return ""
