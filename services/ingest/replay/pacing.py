"""How fast: so many records a second, or so many seconds of event time a second, or as fast as it goes."""

from shared.core.ports import Clock

_TOLERATED = 0.25  # seconds behind the schedule that are made up for; more would be a burst


class Pacer:
    """Tells how long to wait before the next chunk.

    Time lost to a hold or a slow broker is not made up for: the schedule moves, so no burst follows.

    Args:
        clock: its monotonic reading is used.
        rate: records a second; 0: no limit.
        speed: seconds of event time a second; 0: no limit.
    """

    def __init__(self, clock: Clock, *, rate: float = 0.0, speed: float = 0.0) -> None:
        self._clock, self._rate, self._speed = clock, rate, speed
        self._start: float | None = None
        self._first_ms = 0

    @property
    def chunk(self) -> tuple[int, float]:
        """How much to send between two looks at the clock, about 20 ms of it: items, and milliseconds of event time."""
        size = 500 if not self._rate else max(1, min(500, int(self._rate / 50)))
        return size, (self._speed * 20.0 if self._speed else float("inf"))

    def wait(self, records: int, event_ms: int) -> float:
        """Seconds to wait until the next chunk is due.

        Args:
            records: records sent so far.
            event_ms: when the next chunk is due in event time (ms).
        """
        now = self._clock.monotonic()
        if self._start is None:
            self._start, self._first_ms = now - self._due(records), event_ms
        due = self._due(records, event_ms)
        behind = now - self._start - due
        if behind > _TOLERATED:
            self._start += behind
        return max(0.0, -behind)

    def _due(self, records: int, event_ms: int | None = None) -> float:
        by_count = records / self._rate if self._rate else 0.0
        by_time = (event_ms - self._first_ms) / 1000 / self._speed if self._speed and event_ms is not None else 0.0
        return max(by_count, by_time)
