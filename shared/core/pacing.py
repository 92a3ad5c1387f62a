"""How much to take at once: small and fast while the lag is small, large and cheap while it is not.

A transaction costs a few milliseconds whatever it holds, so records a second grow with the batch; a record waits for
its whole batch, so latency does too. While the backlog can be worked off within the latency target, a batch takes at
most half the target to process; beyond that latency is lost already, and throughput decides.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """`limit` records at most; wait `idle` s for the first, `gather` s for more."""

    limit: int
    gather: float
    idle: float


class Pacer:
    """Steers the batch size by lag and by the measured cost of records.

    Args:
        max_batch: the most records a batch may have.
        latency_target: s from a record's arrival to its committed prediction that is aimed at.
        gather: s to wait for more records once one is there, while the lag is small.
        idle: s to wait for the first record.
    """

    FLOOR = 32  # below this a batch saves no time, a transaction's fixed cost rules
    FILL = 0.05  # s to let the prefetch fill a large batch

    def __init__(self, *, max_batch: int, latency_target: float, gather: float, idle: float = 0.1) -> None:
        self._max, self._target, self._gather, self._idle = max_batch, latency_target, gather, idle
        self._fixed, self._each = 0.004, 20e-6  # s a batch, s a record: first guesses, then measured

    def learn(self, records: int, seconds: float) -> None:
        """Take in that a batch of `records` took `seconds`, smoothed over about ten batches."""
        if records <= 0:
            return
        if records < self.FLOOR:
            self._fixed += 0.1 * (seconds - self._each * records - self._fixed)
            self._fixed = max(self._fixed, 0.0005)
        else:
            self._each += 0.1 * (max(seconds - self._fixed, 0.0) / records - self._each)
            self._each = max(self._each, 1e-7)

    def bounds(self, lag: int) -> Bounds:
        """The bounds of the next batch, with `lag` records waiting."""
        quick = int((self._target / 2 - self._fixed) / self._each) if self._target / 2 > self._fixed else 0
        quick = min(max(quick, self.FLOOR), self._max)
        if lag <= quick:
            return Bounds(quick, min(self._gather, self._target / 4), self._idle)
        return Bounds(min(max(lag, quick), self._max), self.FILL, self._idle)
