"""What a worker says of itself on `workers`, from a thread of its own, so that a busy loop still counts as alive."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from services.scorer.models import ModelStore
from services.scorer.speeds import Speeds
from shared.core.metrics import MetricName
from shared.core.ports import Clock
from shared.core.records import Heartbeat
from shared.runtime.probe import Probe

SCORED: MetricName = "tailrace_predictions_total"
SHADOWED: MetricName = "tailrace_shadow_observations_total"


class Post(Protocol):
    """Sends one message and does not wait."""

    def __call__(self, topic: str, key: bytes, value: bytes) -> None: ...


class Heart:
    """Beats until stopped.

    Args:
        worker: the worker's name, the key of its heartbeats.
        topic: `<pipeline>.workers`.
        post: sends.
        probe: assignment, lag and counts.
        store: which versions are ready or refused.
        clock: wall time.
        every: s between beats.
        acts: the epoch that will act next where this one acted last: lower once it is revoked, on idle partitions too.
        also: called at each beat, e.g. to refresh gauges.
        speeds: how long models take.
        given_up: why versions keep this worker out of the group.
        shadow: whether it scores what is in the journal.
    """

    def __init__(
        self,
        worker: str,
        topic: str,
        post: Post,
        probe: Probe,
        store: ModelStore,
        clock: Clock,
        every: float,
        acts: Callable[[int], int],
        also: Callable[[], None],
        *,
        speeds: Speeds,
        given_up: Callable[[], Mapping[str, str]] = dict,
        shadow: bool = False,
    ) -> None:
        self._worker, self._topic, self._post, self._probe = worker, topic, post, probe
        self._store, self._clock, self._every, self._acts, self._also = store, clock, every, acts, also
        self._speeds, self._given_up, self._shadow = speeds, given_up, shadow
        self._done = threading.Event()
        self._last = (clock.monotonic(), 0)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a last beat says that no partitions are owned any more."""
        self._done.set()
        self._thread.join(2 * self._every)
        self.beat()

    def beat(self) -> None:
        """One heartbeat."""
        probe, now = self._probe, self._clock.monotonic()
        before, count = self._last
        self._last = (now, probe.committed_records)
        ready = self._store.ready()
        heartbeat = Heartbeat(
            worker=self._worker,
            time=int(self._clock.time() * 1000),
            partitions=tuple(sorted(probe.owned)),
            epochs={str(p): self._acts(e) for p, e in dict(probe.epochs).items()},
            ready=tuple(sorted(ready)),
            refused={**self._store.refused(), **self._given_up()},
            lag=probe.lag,
            rate=round((probe.committed_records - count) / max(now - before, 1e-3), 1),
            stopped={str(p): why for p, why in dict(probe.halted).items()},
            shadow=self._shadow,
            scored=self._counted(SHADOWED if self._shadow else SCORED, ready),
            rejects=self._counted("tailrace_version_rejects_total", ready),
            speeds=self._speeds.told(),
            rss_mb=_rss_mb(),
        )
        self._post(self._topic, self._worker.encode(), msgspec.json.encode(heartbeat))

    def _counted(self, metric: MetricName, versions: set[str]) -> dict[str, int]:
        """Of the versions that are loaded: those of all times would make heartbeats grow without end."""
        counted = dict(self._probe.by_version.get(metric, {}))
        return {version: n for version, n in sorted(counted.items()) if version in versions}

    def _run(self) -> None:
        while not self._done.wait(self._every):
            self._also()
            self.beat()


def _rss_mb() -> float:
    """This process's resident memory; 0 where the kernel does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
