"""What a rollout command may do next: pure decisions over what the topics say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shared.core.errors import TailraceError, UserError
from shared.core.records import Heartbeat, Note, Rollout, RolloutState
from shared.core.rollout import RolloutTable

ALIVE_MS = 10_000  # a heartbeat older than this counts as silence


class RolloutRefused(TailraceError):
    """The command ran and the answer is no; the old version stays in force everywhere."""


def next_epoch(table: RolloutTable) -> int:
    """Epochs rise; none is used twice."""
    return max((r.epoch for r in table), default=0) + 1


def candidate(pipeline: str, version: str, table: RolloutTable, now_ms: int, reason: str) -> Rollout:
    """The rollout that brings this version into force, still `announced`; above every epoch in force.

    Raises:
        UserError: no such version was ever announced; names those that were.
    """
    known = [r for r in table if r.champion.version == version]
    if not known:
        names = ", ".join(sorted({r.champion.version for r in table})) or "none"
        raise UserError(f"version {version} was never announced; announced are: {names}", remedy="train it first")
    newest = table.newest_active()
    last = known[-1]
    if last.state == "announced" and (newest is None or last.epoch > newest.epoch):
        return last
    return Rollout(pipeline, next_epoch(table), last.champion, "announced", reason, now_ms)


def moved(rollout: Rollout, state: RolloutState, now_ms: int, reason: str) -> Rollout:
    """The same rollout in another state."""
    return msgspec.structs.replace(rollout, state=state, changed_at=now_ms, reason=reason or rollout.reason)


def revoked(version: str, table: RolloutTable, now_ms: int, reason: str) -> list[Rollout]:
    """The values that withdraw a version.

    Raises:
        UserError: the version is not in force anywhere.
        RolloutRefused: nothing would be left to score with.
    """
    hit = [r for r in table if r.state == "active" and r.champion.version == version]
    if not hit:
        raise UserError(f"version {version} is in no active epoch", remedy="see `tailrace rollout status`")
    left = [r for r in table if r.state == "active" and r not in hit]
    if not left or min(r.epoch for r in left) > min(r.epoch for r in hit):
        raise RolloutRefused(f"version {version} is the oldest in force: nothing below it could act instead")
    return [moved(r, "revoked", now_ms, reason) for r in hit]


def unsettled(epoch: int, table: RolloutTable, notes: Mapping[int, Note]) -> list[int]:
    """Partitions whose committed offset has not yet passed this epoch's barrier.

    The first epoch needs no barrier: a partition without history begins with it.
    """
    oldest = table.oldest_active()
    if oldest is None or epoch <= oldest.epoch:
        return []
    return sorted(p for p, note in notes.items() if note.epoch < epoch)


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the live workers say of a version."""

    live: tuple[str, ...]
    ready: tuple[str, ...]
    refused: Mapping[str, str]

    def complete(self, expected: int) -> bool:
        """Whether enough workers live, at least one, and all of them are ready."""
        return len(self.live) >= max(expected, 1) and set(self.ready) >= set(self.live)


def readiness(heartbeats: Iterable[Heartbeat], version: str, now_ms: int) -> Readiness:
    """Sum up the newest heartbeat of each worker."""
    live = [h for h in heartbeats if now_ms - h.time < ALIVE_MS]
    return Readiness(
        tuple(h.worker for h in live),
        tuple(h.worker for h in live if version in h.ready),
        {h.worker: h.refused[version] for h in live if version in h.refused},
    )


def silent(heartbeats: Sequence[Heartbeat], now_ms: int) -> list[str]:
    """Workers that said they own partitions and then fell silent: frozen, or dead."""
    return [h.worker for h in heartbeats if h.partitions and now_ms - h.time >= ALIVE_MS]
