"""When a partition stops instead of draining into dead letters: a bad deploy must not empty the topic."""

from collections import deque

from shared.core.pipeline import DeadLetterLimit


class DeadLetterGuard:
    """Counts the dead letters of one partition, in a row and as a share of the last `window` records.

    Args:
        limit: when to stop.
    """

    def __init__(self, limit: DeadLetterLimit) -> None:
        self._limit = limit
        self._row = 0
        self._window: deque[bool] = deque(maxlen=limit.window)
        self._dead = 0

    def admit(self, outcomes: list[bool]) -> str:
        """Take in the outcomes of a partition's next records, in order (True: a dead letter).

        Returns:
            Why the partition must stop, or nothing.
        """
        if not self._dead and not any(outcomes):  # the usual case: nothing dead within sight
            self._row = 0
            self._window.extend(outcomes)
            return ""
        for dead in outcomes:
            if len(self._window) == self._window.maxlen:
                self._dead -= self._window[0]
            self._window.append(dead)
            self._dead += dead
            self._row = self._row + 1 if dead else 0
            if self._row >= self._limit.in_a_row:
                return f"{self._row} dead letters in a row (limit {self._limit.in_a_row})"
            if len(self._window) == self._limit.window and self._dead > self._limit.share * self._limit.window:
                return f"{self._dead} dead letters in {self._limit.window} records (limit {self._limit.share:.0%})"
        return ""
