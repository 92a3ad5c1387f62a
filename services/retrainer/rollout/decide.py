"""What a rollout command may do next: pure decisions over what the topics say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from shared.core.errors import TailraceError, UserError
from shared.core.records import BundleRef, Heartbeat, Note, Rollout, RolloutState
from shared.core.rollout import RolloutTable

ALIVE_MS = 10_000  # a heartbeat older than this counts as silence
GONE_MS = 600_000  # a worker that has been silent for so long was stopped: what it had in hand has timed out
Mode = Literal["champion", "canary", "shadow"]


class RolloutRefused(TailraceError):
    """The command ran and the answer is no; the old version stays in force everywhere."""


def next_epoch(table: RolloutTable) -> int:
    """Epochs rise; none is used twice."""
    return max((r.epoch for r in table), default=0) + 1


def names(rollout: Rollout, version: str) -> bool:
    """Whether an epoch is of this version, in either role."""
    return version in versions_of(rollout)


def versions_of(rollout: Rollout) -> tuple[str, ...]:
    """The versions of an epoch."""
    roles = (rollout.champion, rollout.challenger)
    return tuple(ref.version for ref in roles if ref is not None)


def previous(table: RolloutTable) -> str:
    """What would act if the champion in force were withdrawn; empty where nothing would."""
    force = table.newest_active()
    if force is None:
        return ""
    mine = force.champion.version
    below = [r for r in table if r.state == "active" and r.mode != "shadow" and not names(r, mine)]
    return max(below, key=lambda r: r.epoch).champion.version if below else ""


def known_ref(table: RolloutTable, version: str) -> BundleRef | None:
    """The bundle of a version, as it was last announced."""
    refs = [ref for r in table for ref in (r.champion, r.challenger) if ref is not None and ref.version == version]
    return refs[-1] if refs else None


def candidate(
    pipeline: str, version: str, table: RolloutTable, now_ms: int, reason: str, *, mode: Mode = "champion",
    share: float = 0.0,
) -> Rollout:  # fmt: skip
    """The rollout that brings this version into force, still `announced`; above every epoch in force.

    Args:
        pipeline: its name.
        version: as announced.
        table: what `models` says.
        now_ms: wall time.
        reason: stands in `models`.
        mode: a canary or a shadow stands beside the champion that is in force.
        share: of a canary's keys.

    Raises:
        UserError: no such version was ever announced; names those that were. Or it is the champion already.
    """
    ref = known_ref(table, version)
    if ref is None:
        said = ", ".join(sorted({r.champion.version for r in table})) or "none"
        raise UserError(f"version {version} was never announced; announced are: {said}", remedy="train it first")
    force, newest = table.newest_active(), next_epoch(table) - 1
    if mode == "champion" or force is None:
        last = next(r for r in reversed(list(table)) if names(r, version))
        if last.state == "announced" and last.mode == "champion" and (force is None or last.epoch > force.epoch):
            return last
        return Rollout(pipeline, newest + 1, ref, "announced", reason, now_ms)
    if force.champion.version == version:
        raise UserError(f"version {version} is the champion", remedy="name another one to try beside it")
    made = Rollout(pipeline, newest + 1, force.champion, "announced", reason, now_ms, ref, mode, share)
    last_one = table.get(newest)
    same = last_one is not None and last_one.state == "announced" and same_meaning(last_one, made)
    return last_one if same and last_one is not None else made


def same_meaning(one: Rollout, other: Rollout) -> bool:
    """Whether two epochs let the same versions score the same keys."""
    if one.mode != other.mode or one.champion != other.champion:
        return False
    return one.mode == "champion" or (one.challenger == other.challenger and one.share == other.share)


def moved(rollout: Rollout, state: RolloutState, now_ms: int, reason: str) -> Rollout:
    """The same rollout in another state."""
    return msgspec.structs.replace(rollout, state=state, changed_at=now_ms, reason=reason or rollout.reason)


def withdrawn(version: str, table: RolloutTable, now_ms: int, reason: str) -> list[Rollout]:
    """The values that withdraw a version wherever it is named, announced epochs as well: workers drop its bundle.

    Raises:
        RolloutRefused: nothing would be left to score with.
    """
    hit = [r for r in table if r.state != "revoked" and names(r, version)]
    acts = [r for r in table if r.state == "active" and r.mode != "shadow"]
    left = [r.epoch for r in acts if not names(r, version)]
    gone = [r.epoch for r in acts if names(r, version)]
    if gone and (not left or min(left) > min(gone)):
        raise RolloutRefused(f"version {version} is the oldest in force: nothing below it could act instead")
    return [moved(r, "revoked", now_ms, reason) for r in hit]


def taken_back(version: str, table: RolloutTable, now_ms: int, reason: str) -> list[Rollout]:
    """The same, as far as it can be: of a version that is the oldest in force, too, only what came after all others.

    So a champion that came back (1, then 2, then 1 again) can be taken back once more, and 2 acts.

    Raises:
        RolloutRefused: no other version is left.
    """
    try:
        return withdrawn(version, table, now_ms, reason)
    except RolloutRefused:
        others = [r.epoch for r in table if r.state == "active" and r.mode != "shadow" and not names(r, version)]
        newer = [r for r in table if r.state != "revoked" and names(r, version) and r.epoch > max(others, default=0)]
        if not others or not newer:
            raise
        return [moved(r, "revoked", now_ms, reason) for r in newer]


def revoked(version: str, table: RolloutTable, now_ms: int, reason: str) -> list[Rollout]:
    """The same, by an operator's command.

    Raises:
        UserError: the version is not in force anywhere.
        RolloutRefused: nothing would be left to score with.
    """
    if not any(r.state == "active" and names(r, version) for r in table):
        raise UserError(f"version {version} is in no active epoch", remedy="see `tailrace rollout status`")
    return withdrawn(version, table, now_ms, reason)


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
    """What the live workers say of versions. `owned` are the partitions that they have between them."""

    live: tuple[str, ...]
    ready: tuple[str, ...]
    refused: Mapping[str, str]
    owned: frozenset[int] = frozenset()

    def complete(self, expected: int) -> bool:
        """Whether enough workers live, at least one, and all of them are ready."""
        return len(self.live) >= max(expected, 1) and set(self.ready) >= set(self.live)


def readiness(
    heartbeats: Iterable[Heartbeat], versions: str | Sequence[str], now_ms: int, *, shadow: bool = False
) -> Readiness:
    """Sum up the newest heartbeat of each worker: of scorers, or of those that score a shadow."""
    wanted = (versions,) if isinstance(versions, str) else tuple(versions)
    live = [h for h in heartbeats if now_ms - h.time < ALIVE_MS and h.shadow == shadow]
    refusals = {h.worker: h.refused[v] for h in live for v in wanted if v in h.refused}
    return Readiness(
        tuple(h.worker for h in live),
        tuple(h.worker for h in live if set(wanted) <= set(h.ready)),
        refusals,
        frozenset(p for h in live for p in h.partitions),
    )


def silent(heartbeats: Sequence[Heartbeat], now_ms: int) -> list[str]:
    """Workers that said they own partitions and then fell silent: frozen, or dead."""
    return [h.worker for h in heartbeats if h.partitions and not h.shadow and now_ms - h.time >= ALIVE_MS]


def unanswered(heartbeats: Iterable[Heartbeat], gone: set[int], since_ms: int, now_ms: int) -> list[str]:
    """Workers that may still score with an epoch of `gone`: they have not said since then that another one acts.

    Those whose last word is ten minutes old are out of it: what they had in hand has timed out long ago.
    """
    return [
        h.worker
        for h in heartbeats
        if h.partitions and not h.shadow and now_ms - h.time < GONE_MS
        and (h.time <= since_ms or gone & set(h.epochs.values()))
    ]  # fmt: skip


def overdue(
    table: RolloutTable, heartbeats: Sequence[Heartbeat], notes: Mapping[int, Note], now_ms: int, after_ms: int
) -> set[tuple[str, int]]:
    """Workers that should have answered a revocation by now, each with its epoch: whoever withdrew it may have died.

    Args:
        table: every epoch.
        heartbeats: the newest of each worker.
        notes: an epoch that is above all of them never had a barrier, so nobody scores with it.
        now_ms: wall time.
        after_ms: how long an answer may take.
    """
    newest = max((note.epoch for note in notes.values()), default=0)
    gone = [r for r in table if r.state == "revoked" and r.mode != "shadow" and r.epoch <= newest]
    late = [r for r in gone if after_ms <= now_ms - r.changed_at < GONE_MS]
    return {(worker, r.epoch) for r in late for worker in unanswered(heartbeats, {r.epoch}, r.changed_at, now_ms)}
