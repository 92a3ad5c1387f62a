"""Bringing a version into force, and taking one back, over the topics. Idempotent: a second run completes a first.

Order of an activation: `announced` in `models`, until every live worker has loaded it; then the intent, `active` in
`models`; then one barrier into every partition of `records`, outside any transaction: a controller that dies inside
one would hide the partitions from every reader for up to a minute.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from services.retrainer.rollout.books import Books, Change, Decide, insistently
from services.retrainer.rollout.decide import (
    Mode,
    Readiness,
    RolloutRefused,
    candidate,
    moved,
    readiness,
    revoked,
    same_meaning,
    unanswered,
    unsettled,
    versions_of,
)
from shared.core.pipeline import PipelineSpec
from shared.core.plans import PlanState
from shared.core.ports import Clock
from shared.core.records import CONTROL_HEADER, Barrier, Headers, Heartbeat, Note, Rollout
from shared.core.rollout import RolloutTable
from shared.core.topics import topic

_encode = msgspec.json.Encoder().encode
POLL = 0.2  # s between looks at what workers say
ANSWER = 3.0  # s that workers have to let go of a withdrawn version; who has not is fenced


class Send(Protocol):
    """Sends one message, to each of these partitions where given, and waits for the acknowledgement."""

    def __call__(
        self, topic: str, key: bytes, value: bytes, *, headers: Headers | None = None, partitions: Sequence[int] = ()
    ) -> None: ...


class RolloutControl:
    """The commands of one pipeline.

    Args:
        spec: the pipeline.
        books: `models`, and what is remembered beside it.
        heartbeats: reads `workers`: the newest heartbeat of each.
        notes: reads the scorer group's committed notes, by partition.
        send: writes barriers.
        fence: ends what a transactional id's owner has in hand.
        clock: wall time, and the budget of waits.
        sleep: waits so many seconds.
        say: told of each step, for a person.
    """

    def __init__(
        self,
        spec: PipelineSpec,
        *,
        books: Books,
        heartbeats: Callable[[], Sequence[Heartbeat]],
        notes: Callable[[], Mapping[int, Note]],
        send: Send,
        fence: Callable[[str], None],
        clock: Clock,
        sleep: Callable[[float], None],
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._spec, self.books, self.heartbeats, self.notes = spec, books, heartbeats, notes
        self._send, self._fence, self._clock, self._sleep, self._say = send, fence, clock, sleep, say

    def activate(
        self, version: str, *, reason: str, workers: int, timeout: float, force: bool = False,
        mode: Mode = "champion", share: float = 0.0,
    ) -> Rollout:  # fmt: skip
        """Bring a version into force at one agreed offset in each partition.

        Args:
            version: as announced.
            reason: stands in `models`.
            workers: how many live workers must be ready at least.
            timeout: s to wait for them.
            force: write the barriers although no worker is ready, or an earlier rollout is not settled.
            mode: `canary` gives it a share of the keys beside the champion in force, `shadow` none at all.
            share: of keys, in a canary.

        Raises:
            UserError: no such version.
            RolloutRefused: a worker refused it or kept silent, or another rollout is still on its way.
        """
        table = self.books.table()
        force_now = table.newest_active()
        wanted = candidate(self._spec.name, version, table, self.now(), reason, mode=mode, share=share)
        acting = table.shadowing() if mode == "shadow" else force_now
        if acting is not None and same_meaning(acting, wanted):
            self._say(f"version {version} is already in force as epoch {acting.epoch}; completing its barriers")
            self.barriers(acting, table)
            return acting
        if force_now is not None and not force and (late := unsettled(force_now.epoch, table, self.notes())):
            raise RolloutRefused(
                f"epoch {force_now.epoch} is not settled yet in partitions {late}: one rollout at a time"
            )

        def announce(table: RolloutTable, _: PlanState) -> Change:
            return Change([candidate(self._spec.name, version, table, self.now(), reason, mode=mode, share=share)])

        rollout = insistently(self.books, announce).rollouts[0]
        if not force:
            self._prepare(rollout, workers, timeout)
        active = moved(rollout, "active", self.now(), reason)
        insistently(self.books, self._still(rollout, active))
        self.barriers(active, self.books.table())
        return active

    def revoke(self, version: str, *, reason: str, timeout: float = ANSWER) -> list[str]:
        """Withdraw a version in either role: it acts at each worker's next batch, whatever the backlog.

        Args:
            version: every epoch that names it goes.
            reason: stands in `models`.
            timeout: s that workers have to say that another epoch acts; those that have not by then are fenced:
                whatever they hold cannot be committed.

        Returns:
            Workers that were fenced.

        Raises:
            UserError: it is in no active epoch.
            RolloutRefused: nothing would be left to score with.
        """
        change = insistently(self.books, lambda table, _: Change(revoked(version, table, self.now(), reason)))
        for value in change.rollouts:
            self._say(f"epoch {value.epoch} (version {version}) is revoked")
        return self.gone({r.epoch for r in change.rollouts}, timeout)

    def gone(self, epochs: set[int], timeout: float = ANSWER) -> list[str]:
        """Wait until no worker scores with these epochs any more, and fence those that do not say so in time."""
        since = self.now()
        self._until(lambda: not unanswered(self.heartbeats(), epochs, since, self.now()), timeout)
        lost = unanswered(self.heartbeats(), epochs, since, self.now())
        for worker in lost:
            self.fence(worker)
        return lost

    def fence(self, worker: str) -> None:
        """End what a worker has in hand, for good: it starts anew once it notices."""
        self._fence(f"tailrace.{self._spec.name}.{worker.replace('-', '.')}")
        self._say(f"{worker} did not answer and was fenced")

    def settled(self, epoch: int, timeout: float) -> list[int]:
        """Wait until every partition has committed past the epoch's barrier; the partitions that have not."""
        table = self.books.table()
        self._until(lambda: not unsettled(epoch, table, self.notes()), timeout)
        return unsettled(epoch, table, self.notes())

    def barriers(self, rollout: Rollout, table: RolloutTable, partitions: Sequence[int] | None = None) -> None:
        """Write an epoch's barrier, into every partition or these; workers ignore one that they had before."""
        oldest = table.oldest_active()
        first = oldest is None or oldest.epoch == rollout.epoch
        if self._spec.rollout.activation == "local" or rollout.mode == "shadow" or first:
            return
        where = range(self._spec.partitions) if partitions is None else partitions
        self._send(
            topic(self._spec.name, "records"),
            b"tailrace-control",
            _encode(Barrier(rollout.epoch)),
            headers=[(CONTROL_HEADER, b"rollout")],
            partitions=where,
        )
        self._say(f"epoch {rollout.epoch}: a barrier stands in {len(where)} of {self._spec.partitions} partitions")

    def now(self) -> int:
        """Wall time in ms."""
        return int(self._clock.time() * 1000)

    def _prepare(self, rollout: Rollout, workers: int, timeout: float) -> None:
        shadow = rollout.mode == "shadow"
        needed = versions_of(rollout)[-1:] if shadow else versions_of(rollout)
        version = needed[-1]
        self._say(f"waiting until every live worker has loaded version {version}")

        def state() -> Readiness:
            return readiness(self.heartbeats(), needed, self.now(), shadow=shadow)

        self._until(lambda: bool(state().refused) or state().complete(workers), timeout)
        now = state()
        if now.refused:
            said = "; ".join(f"{worker}: {why}" for worker, why in sorted(now.refused.items()))
            raise RolloutRefused(f"version {version} was refused, the old one stays in force ({said})")
        if not now.complete(workers):
            missing = sorted(set(now.live) - set(now.ready)) or [f"{max(workers, 1)} expected, {len(now.live)} live"]
            raise RolloutRefused(f"not every worker has loaded version {version} in {timeout:g} s: {missing}")
        self._say(f"{len(now.ready)} workers are ready")

    def _still(self, announced: Rollout, active: Rollout) -> Decide:
        """The intent, unless somebody else moved on while the workers loaded."""

        def decide(table: RolloutTable, _: PlanState) -> Change:
            force, now = table.newest_active(), table.get(announced.epoch)
            if now is not None and now.state == "active":
                return Change()  # another controller was faster: its barriers may be missing, and follow
            newer = force is not None and force.epoch > announced.epoch
            if newer or now is None or now.state != "announced" or not same_meaning(now, announced):
                raise RolloutRefused(f"epoch {announced.epoch} was overtaken by another rollout; look again")
            if announced.mode != "champion" and force is not None and announced.champion != force.champion:
                raise RolloutRefused(f"version {force.champion.version} came into force meanwhile; look again")
            return Change([active])

        return decide

    def _until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        while not done() and self._clock.monotonic() < deadline:
            self._sleep(POLL)
