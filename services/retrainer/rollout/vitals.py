"""What workers say of two versions while both are at work: rejects, speed, memory, partitions that stopped."""

from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from services.retrainer.rollout.decide import ALIVE_MS
from shared.core.records import Heartbeat

RECENT_MS = 30_000  # a model that begins to fail is not to hide behind an hour in which it did not
LEAST_REJECTS, LEAST_RECORDS = 10, 50
LEAST_LEAK_MB = 200.0
_QUICK = 5.0
"""Microseconds a record, below which ratios mean nothing: a worker needs several times as much for everything else. A
champion's small batches make it look faster than it is, a shadow's large ones do not: on a machine with ten processes
a core, models as good as the champion seemed to take 20 to 35 times as long, by a limit of one microsecond."""
_RESTARTED = 0.8  # of the memory it began with: the worker was started again meanwhile


class Tally(NamedTuple):
    """Records that a version scored, and those that it could not."""

    scored: int = 0
    rejects: int = 0

    @property
    def share(self) -> float:
        """Of its records, those that it could not score."""
        return self.rejects / max(self.scored + self.rejects, 1)


class Vitals:
    """Heartbeats of the last seconds, and what workers were like when the trial began (as this process knows it)."""

    def __init__(self) -> None:
        self._newest: dict[str, Heartbeat] = {}
        self._past: dict[str, deque[Heartbeat]] = {}
        self._base: dict[str, float] = {}
        self._trial = ""
        self._now = 0

    def take(self, heartbeats: Iterable[Heartbeat], now_ms: int) -> None:
        """Take in the newest heartbeat of each worker; one that was started again begins anew."""
        self._now = now_ms
        for heartbeat in heartbeats:
            before = self._newest.get(heartbeat.worker)
            if before is not None and before.time == heartbeat.time:
                continue
            past = self._past.setdefault(heartbeat.worker, deque())
            if before is not None and any(n < before.scored.get(v, 0) for v, n in heartbeat.scored.items()):
                past.clear()
            past.append(heartbeat)
            while len(past) > 1 and past[1].time <= heartbeat.time - RECENT_MS:
                past.popleft()
            self._newest[heartbeat.worker] = heartbeat

    def begin(self, trial: str) -> None:
        """A trial goes on; memory is compared with what it was when this was first said of it."""
        if trial != self._trial:
            self._trial, self._base = trial, {}

    def tally(self, version: str) -> Tally:
        """All that workers have counted of a version since they were started."""
        return _sum(self._newest.values(), version)

    def recent(self, version: str) -> Tally:
        """The same of the last half minute; what a worker said first counts whole."""
        late, early = self._newest.values(), [past[0] for past in self._past.values() if len(past) > 1]
        now, then = _sum(late, version), _sum(early, version)
        return Tally(now.scored - then.scored, now.rejects - then.rejects)

    def slowness(self, challenger: str, champion: str) -> float | None:
        """How many times as long as the champion the slowest worker needs a record; None: not known."""
        theirs = [h.speeds[champion] for h in self._live() if champion in h.speeds]
        ours = [h.speeds[challenger] for h in self._live() if challenger in h.speeds]
        return max(ours) / max(median(theirs), _QUICK) if ours and theirs else None

    def leak(self) -> tuple[str, float, float] | None:
        """The worker that grew most: its name, how many times its memory at the beginning, and the MB more."""
        grown: list[tuple[float, str, float]] = []
        for heartbeat in self._live():
            rss, base = heartbeat.rss_mb, self._base.get(heartbeat.worker, 0.0)
            if not rss:
                continue
            if not base or rss < _RESTARTED * base:
                self._base[heartbeat.worker] = base = rss
            grown.append((rss / base, heartbeat.worker, rss - base))
        if not grown:
            return None
        ratio, worker, more = max(grown)
        return worker, ratio, more

    def stopped(self) -> Mapping[str, str]:
        """Partitions that live workers have stopped, and why."""
        return {p: why for h in self._live() for p, why in h.stopped.items()}

    def _live(self) -> list[Heartbeat]:
        return [h for h in self._newest.values() if self._now - h.time < ALIVE_MS]


def _sum(heartbeats: Iterable[Heartbeat], version: str) -> Tally:
    said = list(heartbeats)
    return Tally(sum(h.scored.get(version, 0) for h in said), sum(h.rejects.get(version, 0) for h in said))
