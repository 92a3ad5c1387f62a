"""A breaker: after some failures in a row nobody asks for a while, then one attempt decides.

Our own, since pybreaker counts its pause on the wall clock (a clock set back by an hour keeps it open for an hour),
takes no clock from a test, and locks on each call for threads that we do not have.
"""

from shared.core.metrics import Metrics
from shared.core.ports import Clock

CLOSED, HALF_OPEN, OPEN = 0, 1, 2


class Breaker:
    """Stands before something that may be away. Ask `allows`, then say `succeeded` or `failed`.

    Args:
        failures: so many in a row open it.
        reset: seconds until an attempt is allowed again; while that runs, or after it fails, it stays open.
        clock: for the pause; monotonic.
        metrics: told of each change of state.
    """

    def __init__(self, failures: int, reset: float, clock: Clock, metrics: Metrics) -> None:
        self._limit, self._reset, self._clock, self._metrics = max(1, failures), reset, clock, metrics
        self._failures = 0
        self._opened = 0.0
        self._state = CLOSED
        self._turn(CLOSED)

    @property
    def state(self) -> int:
        """0 closed, 1 half open, 2 open, as in the metric."""
        return self._state

    def allows(self) -> bool:
        """Whether to try now."""
        if self._state == OPEN and self._clock.monotonic() - self._opened >= self._reset:
            self._turn(HALF_OPEN)
        return self._state != OPEN

    def succeeded(self) -> None:
        """It answered."""
        self._failures = 0
        if self._state != CLOSED:
            self._turn(CLOSED)

    def failed(self) -> None:
        """It did not."""
        self._failures += 1
        if self._state == HALF_OPEN or self._failures >= self._limit:
            self._opened = self._clock.monotonic()
            self._turn(OPEN)

    def _turn(self, state: int) -> None:
        self._state = state
        self._metrics.gauge("tailrace_breaker_state", state)
