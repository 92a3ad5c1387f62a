"""How long each version's model takes for a record, over the last minute or so: a slow challenger shows here first."""

from typing import Any, NamedTuple

from shared.core.ports import Clock, Runtime

SPAN = 30.0
"""Seconds of one sum. The last whole one and the present one are told."""
LEAST = 100
"""Records that one call counts as, at least. A call costs something by itself, and a canary's share makes calls small:
counted as they are, any challenger of a twentieth of the keys would look many times slower than its champion."""
LEAST_CALLS, LONG = 5, 1.0
"""Calls below which a version's speed is not told, unless they took so many seconds: on a busy machine one of a few may
be interrupted for as long as a thousand take, but not for a second."""


class _Sum(NamedTuple):
    """Calls of a version: their seconds and records, and those of the one that took longest for a record."""

    seconds: float = 0.0
    records: int = 0
    calls: int = 0
    slowest: tuple[float, int] = (0.0, 1)

    def plus(self, other: "_Sum") -> "_Sum":
        """Both together."""
        slowest = max(self.slowest, other.slowest, key=lambda call: call[0] / call[1])
        return _Sum(self.seconds + other.seconds, self.records + other.records, self.calls + other.calls, slowest)

    @property
    def tells(self) -> bool:
        """Whether it is enough to say anything."""
        return self.calls >= LEAST_CALLS or self.seconds >= LONG

    @property
    def micros(self) -> float:
        """Microseconds a record; without the slowest of several calls, which may have been interrupted."""
        if self.calls < LEAST_CALLS:
            return self.seconds / self.records * 1e6
        return (self.seconds - self.slowest[0]) / (self.records - self.slowest[1]) * 1e6


class Speeds:
    """Sums up calls by version. One thread writes, any may read.

    Args:
        clock: `monotonic` is asked twice a call.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._now: dict[str, _Sum] = {}
        self._before: dict[str, _Sum] = {}

    def timed(self, version: str, runtime: Runtime, matrix: Any) -> Any:
        """What the model answers for these n rows; its time is added to the version's."""
        begin = self._clock.monotonic()
        raw = runtime.predict(matrix)
        end = self._clock.monotonic()
        if end - self._since > SPAN:
            self._before, self._now, self._since = self._now, {}, end
        call = end - begin, max(len(matrix), LEAST)
        self._now[version] = self._now.get(version, _Sum()).plus(_Sum(*call, 1, call))
        return raw

    def told(self) -> dict[str, float]:
        """Microseconds a record by version, the slowest call left out; empty where nothing was scored for a while."""
        if self._clock.monotonic() - self._since > 2 * SPAN:
            return {}
        now, before = dict(self._now), dict(self._before)
        sums = {version: now.get(version, _Sum()).plus(before.get(version, _Sum())) for version in {*now, *before}}
        return {version: round(of.micros, 3) for version, of in sorted(sums.items()) if of.tells}
