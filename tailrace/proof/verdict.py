"""What a proof came to, as data and in words."""

import msgspec

from tailrace.proof.witness import Testimony

NAMES = {
    "I1": "complete",
    "I2": "duplicates",
    "I3": "offsets ahead",
    "I4": "order",
    "I5": "aborted reads",
    "I6": "torn",
    "I7": "fencing",
    "I8": "provenance",
    "I9": "right value",
    "I12": "live again",
    "I17": "shutdown",
}
OF_RECORDS = ("I1", "I2")


class Broker(msgspec.Struct, frozen=True):
    """What was proved against."""

    version: str
    cluster_id: str


class Figures(msgspec.Struct, frozen=True):
    """Of durations, s; None where there was nothing to measure."""

    n: int
    p50: float | None = None
    p99: float | None = None
    longest: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to.

    `violations` counts broken promises by invariant (those that the guarantee makes); `bound95` is the rate of kills
    with a violation that is excluded with 95 % confidence, None where one was found. `recovery_s` is from a kill to
    the next committed outcome of each partition that the victim owned, `broker_recovery_s` from the broker's return
    until each partition went on. `aborted` has what was written and never seen: attempts and messages.
    """

    ok: bool
    n: int
    seed: int
    guarantee: str
    workers: int
    violations: dict[str, int]
    bound95: float | None
    kills: dict[str, int]
    freezes: int
    broker_kills: int
    moves: int
    rollouts: int
    recovery_s: Figures
    freeze_recovery_s: Figures
    broker_recovery_s: Figures
    drained_s: float
    rescored: int
    dead_letters: int
    aborted: dict[str, int]
    broker: Broker
    witness: Testimony
    examples: list[str]
    wall_s: float


def figures(seconds: list[float]) -> Figures:
    """Percentiles by nearest rank."""
    if not seconds:
        return Figures(0)
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2)

    return Figures(len(ordered), rank(0.5), rank(0.99), round(ordered[-1], 2))


def words(v: Verdict) -> str:
    """The verdict for a person."""
    kills = sum(v.kills.values())
    named = kills - v.kills.get("random", 0)
    faults = f"{kills} kills ({named} at named steps), {v.freezes} freezes, {v.broker_kills} broker kills"
    lines = [
        f"Kafka {v.broker.version}, cluster {v.broker.cluster_id}",
        f"seed {v.seed} · {v.guarantee} · {v.workers} workers · {v.n:,} records · {faults}",
        f"{v.moves} members came or went, {v.rollouts} rollout in the middle",
        *_table(v),
        f"{'recovery':<18}{_said(v.recovery_s)} from a kill to the next outcome of the partitions it owned",
    ]
    if v.broker_recovery_s.n:
        lines.append(
            f"{'after the broker':<18}{_said(v.broker_recovery_s)} from its return until every partition went on"
        )
    tried = f"{v.aborted['attempts']:,} attempts aborted ({v.aborted['messages']:,} messages written and never seen)"
    lines.append(f"{'put to the test':<18}{tried}, {v.dead_letters:,} dead letters, {v.rescored:,} scored again")
    read = ", ".join(f"{n:,} {topic}" for topic, n in v.witness.read.items())
    lines.append(f"{'witness':<18}{v.witness.client}: {read}, {v.witness.different:,} different from ours")
    if v.bound95 is not None:
        lines.append(f"{'95 % bound':<18}fewer than {v.bound95:.2g} violations a kill")
    lines += [f"{'for example':<18}{one}" for one in v.examples]
    again = f"{'ok' if v.ok else 'BROKEN'} after {v.wall_s:,.0f} s · repeat with --seed {v.seed}"
    return "\n".join([*lines, again])


def _table(v: Verdict) -> list[str]:
    cells = []
    for name, count in v.violations.items():
        of = f" of {v.n:,}" if name in OF_RECORDS else ""
        cells.append(f"{name:<4}{NAMES[name]:<15}{count:,}{of}")
    return ["".join(f"{cell:<38}" for cell in cells[i : i + 3]).rstrip() for i in range(0, len(cells), 3)]


def _said(f: Figures) -> str:
    return "not measured" if f.p50 is None else f"p50 {f.p50:.1f} s · p99 {f.p99:.1f} s (n {f.n})"
