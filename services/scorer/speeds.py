"""How long each version's model takes for a record, over the last minute or so: a slow challenger shows here first."""

from typing import Any

from shared.core.ports import Clock, Runtime

SPAN = 30.0
"""Seconds of one sum. The last whole one and the present one are told."""
LEAST = 100
"""Records that one call counts as, at least. A call costs something by itself, and a canary's share makes calls small:
counted as they are, any challenger of a twentieth of the keys would look many times slower than its champion."""


class Speeds:
    """Sums up calls by version. One thread writes, any may read.

    Args:
        clock: `monotonic` is asked twice a call.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._now: dict[str, tuple[float, int]] = {}
        self._before: dict[str, tuple[float, int]] = {}

    def timed(self, version: str, runtime: Runtime, matrix: Any) -> Any:
        """What the model answers for these n rows; its time is added to the version's."""
        begin = self._clock.monotonic()
        raw = runtime.predict(matrix)
        end = self._clock.monotonic()
        if end - self._since > SPAN:
            self._before, self._now, self._since = self._now, {}, end
        seconds, records = self._now.get(version, (0.0, 0))
        self._now[version] = (seconds + end - begin, records + max(len(matrix), LEAST))
        return raw

    def told(self) -> dict[str, float]:
        """Microseconds a record by version; empty where nothing was scored for a while."""
        if self._clock.monotonic() - self._since > 2 * SPAN:
            return {}
        now, before = dict(self._now), dict(self._before)
        found: dict[str, float] = {}
        for version in sorted({*now, *before}):
            pairs = [sums[version] for sums in (now, before) if version in sums]
            found[version] = round(sum(s for s, _ in pairs) / sum(n for _, n in pairs) * 1e6, 3)
        return found
