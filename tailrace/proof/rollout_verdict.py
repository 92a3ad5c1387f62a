"""What a proof of rollouts came to, as data and in words."""

from collections.abc import Sequence

import msgspec

from tailrace.proof.verdict import NAMES, Broker
from tailrace.proof.witness import Testimony

SAYS = {
    **NAMES,
    "V1": "one beginning",
    "V2": "settled",
    "V3": "replay",
    "V4": "bad ones score",
    "V5": "bad let in",
}


class Refusals(msgspec.Struct, frozen=True):
    """What became of one kind of bad version, and what the first refusal said."""

    kind: str
    version: str
    tries: int
    refused: int
    said: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to.

    `ways` counts rollouts by how they were brought about: by one controller, by one that was killed between two
    barriers and its successor, by two at once. `noise` counts barriers that had to change nothing. `swap_ms` has, for
    each rollout of the calm phase, the time from its first barrier to the last partition's first prediction by it;
    `p99_swap_ms` is of records within a second of such a barrier, `p99_ms` of all others of that phase.
    """

    ok: bool
    n: int
    seed: int
    workers: int
    rollouts: int
    ways: dict[str, int]
    violations: dict[str, int]
    kills: int
    freezes: int
    moves: int
    noise: dict[str, int]
    refused_at_first: int
    refusals: list[Refusals]
    by_version: dict[str, int]
    canary: int
    swap_ms: list[int]
    p99_swap_ms: float | None
    p99_ms: float | None
    p99_rise: float | None
    rescored: int
    broker: Broker
    witness: Testimony
    examples: list[str]
    wall_s: float


def percentile(values: Sequence[float], share: float) -> float | None:
    """By nearest rank; None of nothing."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else None


def ratio(one: float | None, other: float | None) -> float | None:
    """By how much the first is larger: 0.1 is a tenth."""
    return round(one / other - 1, 3) if one is not None and other else None


def words(v: Verdict) -> str:
    """The verdict for a person."""
    ways = ", ".join(f"{n} {way}" for way, n in sorted(v.ways.items()))
    refused, tries = sum(r.refused for r in v.refusals), sum(r.tries for r in v.refusals)
    slowest = f"{max(v.swap_ms)} ms" if v.swap_ms else "not measured"
    rise = "not measured" if v.p99_rise is None else f"{v.p99_rise:+.0%} ({v.p99_ms:g} -> {v.p99_swap_ms:g} ms)"
    versions = ", ".join(f"{n:,} by {version}" for version, n in sorted(v.by_version.items()))
    lines = [
        f"Kafka {v.broker.version}, cluster {v.broker.cluster_id}",
        f"seed {v.seed} · {v.workers} workers · {v.n:,} records · {v.rollouts} rollouts ({ways})",
        f"{v.kills} kills, {v.freezes} freezes, {v.moves} members came or went, idle barriers: {v.noise}",
        *_table(v),
        f"{'versions':<18}{versions}; {v.canary:,} as canary; {v.rescored:,} scored again",
        f"{'bad versions':<18}{refused} of {tries} tries refused: " + ", ".join(r.kind for r in v.refusals),
        f"{'a swap':<18}{slowest} at most from the first barrier to the last partition; p99 near it {rise}",
    ]
    read = ", ".join(f"{n:,} {topic}" for topic, n in v.witness.read.items())
    lines.append(f"{'witness':<18}{v.witness.client}: {read}, {v.witness.different:,} different from ours")
    lines += [f"{'for example':<18}{one}" for one in v.examples]
    again = f"{'ok' if v.ok else 'BROKEN'} after {v.wall_s:,.0f} s · repeat with --seed {v.seed}"
    return "\n".join([*lines, again])


def _table(v: Verdict) -> list[str]:
    cells = [f"{name:<4}{SAYS[name]:<15}{count:,}" for name, count in v.violations.items()]
    return ["".join(f"{cell:<32}" for cell in cells[i : i + 4]).rstrip() for i in range(0, len(cells), 4)]
