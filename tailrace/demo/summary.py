"""What the demo found, for machines and for people."""

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as `--json` prints it."""

    ok: bool
    pipeline: str
    records: int
    predictions: int
    dead_letters: dict[str, int]
    lost: int
    doubled: int
    stray: int
    degraded: int
    latency_ms: dict[str, float]
    restarts: int
    recovery_s: float | None
    records_per_s: float
    versions: dict[str, int]
    model: dict[str, float]
    wall_s: float
    seed: int


def conclusion(summary: Summary) -> str:
    """The summary, for a person."""
    bad = sum(summary.dead_letters.values())
    reasons = ", ".join(f"{reason} {n}" for reason, n in summary.dead_letters.items())
    ms = summary.latency_ms
    lines = [
        (
            f"done in {summary.wall_s:.0f} s: {summary.records:,} records = {summary.predictions:,} predictions"
            f" + {bad} dead letters · {summary.lost} lost · {summary.doubled} doubled"
        ),
        (
            f"  read back by a second consumer under read_committed; sent at {summary.records_per_s:,.0f} records/s,"
            f" latency p50 {ms['p50']:,.0f} · p95 {ms['p95']:,.0f} · p99 {ms['p99']:,.0f} ms in all"
        ),
        f"  dead letters: {reasons or 'none'}; degraded predictions: {summary.degraded:,}",
    ]
    if summary.recovery_s is not None:
        lines.append(f"  one worker was killed; it owned partitions again after {summary.recovery_s:.1f} s")
    return "\n".join(lines)
