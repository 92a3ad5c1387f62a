"""Bringing a version into force, and taking one back, over the topics. Idempotent: a second run completes a first.

Order of an activation: `announced` in `models`, until every live worker has loaded it; then the intent, `active` in
`models`; then one barrier into every partition of `records`. No transaction: a controller that dies inside one would
hide the partitions from every reader for up to a minute.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from services.retrainer.rollout.decide import (
    Readiness,
    RolloutRefused,
    candidate,
    moved,
    readiness,
    revoked,
    silent,
    unsettled,
)
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock
from shared.core.records import CONTROL_HEADER, Barrier, Headers, Heartbeat, Note, Rollout
from shared.core.rollout import RolloutTable
from shared.core.topics import topic

_encode = msgspec.json.Encoder().encode
POLL = 0.2  # s between looks at what workers say


class Send(Protocol):
    """Sends one message, to each of these partitions where given, and waits for the acknowledgement."""

    def __call__(
        self, topic: str, key: bytes, value: bytes, *, headers: Headers | None = None, partitions: Sequence[int] = ()
    ) -> None: ...


class RolloutControl:
    """The commands of one pipeline.

    Args:
        spec: the pipeline.
        table: reads `models` to its end.
        heartbeats: reads `workers`: the newest heartbeat of each.
        notes: reads the scorer group's committed notes, by partition.
        send: writes.
        fence: ends what a transactional id's owner has in hand.
        clock: wall time, and the budget of waits.
        sleep: waits so many seconds.
        say: told of each step, for a person.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        *,
        table: Callable[[], RolloutTable],
        heartbeats: Callable[[], Sequence[Heartbeat]],
        notes: Callable[[], Mapping[int, Note]],
        send: Send,
        fence: Callable[[str], None],
        clock: Clock,
        sleep: Callable[[float], None],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._spec, self._table, self._heartbeats, self._notes = spec, table, heartbeats, notes
        self._send, self._fence, self._clock, self._sleep, self._say = send, fence, clock, sleep, say

    def activate(self, version: str, *, reason: str, workers: int, timeout: float, force: bool = False) -> Rollout:
        """Bring a version into force at one agreed offset in each partition.

        Args:
            version: as announced.
            reason: stands in `models`.
            workers: how many live workers must be ready at least.
            timeout: s to wait for them.
            force: write the barriers although no worker is ready, or an earlier rollout is not settled.

        Raises:
            UserError: no such version.
            RolloutRefused: a worker refused it or kept silent, or another rollout is still on its way.
        """
        table = self._table()
        newest = table.newest_active()
        if newest is not None and newest.champion.version == version:
            self._say(f"version {version} is already in force as epoch {newest.epoch}; completing its barriers")
            self._barriers(newest, table)
            return newest
        if newest is not None and not force and (late := unsettled(newest.epoch, table, self._notes())):
            raise RolloutRefused(f"epoch {newest.epoch} is not settled yet in partitions {late}: one rollout at a time")
        rollout = candidate(self._spec.name, version, table, self._now(), reason)
        self._put(rollout)
        if not force:
            self._prepare(rollout, workers, timeout)
        active = moved(rollout, "active", self._now(), reason)
        self._put(active)
        self._barriers(active, table)
        return active

    def revoke(self, version: str, *, reason: str, timeout: float) -> list[str]:
        """Withdraw a version: it acts at each worker's next batch, whatever the backlog.

        Returns:
            Workers that kept silent and were fenced.
        """
        values = revoked(version, self._table(), self._now(), reason)
        for value in values:
            self._put(value)
            self._say(f"epoch {value.epoch} (version {version}) is revoked")
        gone = {v.epoch for v in values}
        self._until(lambda: not any(gone & set(h.epochs.values()) for h in self._alive()), timeout)
        lost = silent(self._heartbeats(), self._now())
        for worker in lost:
            self._fence(f"tailrace.{self._spec.name}.{worker.replace('-', '.')}")
            self._say(f"{worker} is silent and was fenced")
        return lost

    def settled(self, epoch: int, timeout: float) -> list[int]:
        """Wait until every partition has committed past the epoch's barrier; the partitions that have not."""
        table = self._table()
        self._until(lambda: not unsettled(epoch, table, self._notes()), timeout)
        return unsettled(epoch, table, self._notes())

    def _prepare(self, rollout: Rollout, workers: int, timeout: float) -> None:
        version = rollout.champion.version
        self._say(f"waiting until every live worker has loaded version {version}")

        def state() -> Readiness:
            return readiness(self._heartbeats(), version, self._now())

        self._until(lambda: bool(state().refused) or state().complete(workers), timeout)
        now = state()
        if now.refused:
            said = "; ".join(f"{worker}: {why}" for worker, why in sorted(now.refused.items()))
            raise RolloutRefused(f"version {version} was refused, the old one stays in force ({said})")
        if not now.complete(workers):
            missing = sorted(set(now.live) - set(now.ready)) or [f"{max(workers, 1)} expected, {len(now.live)} live"]
            raise RolloutRefused(f"not every worker has loaded version {version} in {timeout:g} s: {missing}")
        self._say(f"{len(now.ready)} workers are ready")

    def _barriers(self, rollout: Rollout, table: RolloutTable) -> None:
        oldest = table.oldest_active()
        if self._spec.rollout.activation == "local" or oldest is None or oldest.epoch == rollout.epoch:
            return
        self._send(
            topic(self._spec.name, "records"),
            b"tailrace-control",
            _encode(Barrier(rollout.epoch)),
            headers=[(CONTROL_HEADER, b"rollout")],
            partitions=range(self._spec.partitions),
        )
        self._say(f"epoch {rollout.epoch}: a barrier stands in each of {self._spec.partitions} partitions")

    def _put(self, rollout: Rollout) -> None:
        key = f"{rollout.pipeline}/{rollout.epoch}".encode()
        self._send(topic(self._spec.name, "models"), key, _encode(rollout))

    def _alive(self) -> list[Heartbeat]:
        now = self._now()
        lost = set(silent(self._heartbeats(), now))
        return [h for h in self._heartbeats() if h.worker not in lost]

    def _until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        while not done() and self._clock.monotonic() < deadline:
            self._sleep(POLL)

    def _now(self) -> int:
        return int(self._clock.time() * 1000)
