"""What the demo found, for machines and for people."""

import msgspec

from shared.core.quality import FIGURES
from tailrace.demo.words import at_offsets, day, name_of, number


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of four answers; None where there is no such answer."""

    linear: float | None = None
    goal: float | None = None
    ours: float
    best: float | None = None


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals: the share of truths that they are meant to hold, the share that they held, their mean width."""

    asked: float
    held: float
    mean_width: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on `labelled` records."""

    labelled: int
    figures: dict[str, Compared]
    intervals: Coverage | None = None


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """A month of event time, as the monitor knows it by now: `figures` with their intervals; None is unknown.

    `versions` says how many of the predictions are of which one.
    """

    predictions: int
    labelled: int
    figures: dict[str, tuple[float | None, float | None, float | None]] = {}
    versions: dict[str, int] = {}


class Monitored(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor found: figures by month; verdicts that are not ok, with a reason; retrain requests by trigger.

    `alarms` are those requests that something found caused, in words. `report` is the page that was written.
    """

    months: dict[str, Month] = {}
    standing: dict[str, tuple[str, ...]] = {}
    requests: dict[str, int] = {}
    alarms: list[str] = []
    report: str | None = None


class Retrained(msgspec.Struct, frozen=True, kw_only=True):
    """One training: what asked for it, when (ms of event time), what the gate said, and the version that came of it."""

    id: str
    trigger: str
    kind: str
    at: int
    state: str
    reason: str
    version: str | None
    gate: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An epoch that came into force: which version, how, and at which offset of each partition; or was taken back."""

    epoch: int
    version: str
    mode: str
    share: float
    state: str
    reason: str
    offsets: dict[int, int]


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one way to go on, on the same `records`; `refits` is None where the loop says it.

    `later` are those on the `later_records` that the loop answered with a version that it had made.
    """

    records: int
    refits: int | None
    figures: dict[str, float]
    later_records: int = 0
    later: dict[str, float] = {}


class Bad(msgspec.Struct, frozen=True, kw_only=True):
    """The challenger of shuffled labels: whether it was taken back by itself, why, and how many records it answered."""

    version: str
    taken_back: bool
    reason: str
    scored: int
    in_force: str


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """What the closed loop did. `open` trainings were under way when the demo ended, `waited` is in s."""

    trainings: tuple[Retrained, ...] = ()
    changes: tuple[Change, ...] = ()
    in_force: str = ""
    waited: float = 0.0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as `--json` prints it.

    `quality` has, by metric, what a linear model, the goal, our committed predictions and the best possible answer
    reach on the same `labelled` records. `contest` has static, closed loop and periodic, `bad` what became of the bad
    challenger: both are of the whole story.
    """

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
    quality: dict[str, Compared]
    labelled: int
    intervals: Coverage | None
    monitor: Monitored | None
    loop: Loop | None = None
    contest: dict[str, Contest] = {}
    bad: Bad | None = None
    wall_s: float
    seed: int


def conclusion(summary: Summary, unit: str = "") -> str:
    """The summary, for a person; `unit` is the target's."""
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
    return "\n".join(
        [*lines, *quality_lines(summary, unit), *monitor_lines(summary), *loop_lines(summary), *story_lines(summary)]
    )


def monitor_lines(summary: Summary) -> list[str]:
    """What the monitor saw, a line a month."""
    found = summary.monitor
    if found is None or not found.months:
        return []
    lines = ["  the monitor, by month of event time:"]
    for name, month in found.months.items():
        share = month.labelled / month.predictions if month.predictions else 0.0
        figures = "  ".join(f"{name_of(figure)} {_with_limits(*said)}" for figure, said in month.figures.items())
        versions = [f"version {one} {n / month.predictions:.0%}" for one, n in month.versions.items() if n]
        by = f"; {', '.join(versions)}" if versions else ""
        lines.append(f"    {name}  {figures}  of {month.predictions:,} predictions, {share:.0%} labelled{by}")
    lines += [f"    {'; '.join((metric.replace('_', ' '), *said))}" for metric, said in found.standing.items()]
    if found.requests:
        by = ", ".join(f"{trigger.replace('_', ' ')} {n}" for trigger, n in found.requests.items())
        lines.append(f"    retraining was asked for {sum(found.requests.values())} times: {by}")
    lines += [f"      {one}" for one in found.alarms]
    if found.report:
        lines.append(f"    report: {found.report}")
    return lines


def loop_lines(summary: Summary) -> list[str]:
    """What was trained and let through, and where each version began; a line each."""
    loop = summary.loop
    if loop is None or not (loop.trainings or len(loop.changes) > 1):
        return []
    lines = [f"  the closed loop (event time waited {loop.waited:.0f} s for it):"]
    for one in loop.trainings:
        came = f"version {one.version}" if one.version else one.reason or "under way"
        lines.append(f"    {day(one.at)}  {one.trigger}: {one.state}, {came}{f'; {one.gate}' if one.gate else ''}")
    for change in loop.changes:
        where = f"from {at_offsets(change.offsets)}" if change.offsets else ""
        share = f" {change.share:.0%}" if change.mode == "canary" else ""
        taken = f"taken back: {change.reason}" if change.state == "revoked" else ""
        said = "  ".join(filter(None, [f"version {change.version}", f"{change.mode}{share}", where, taken]))
        lines.append(f"    epoch {change.epoch}: {said}")
    counts = ", ".join(f"version {version} {n:,}" for version, n in summary.versions.items())
    return [*lines, f"    scored by {counts}; in force at the end: version {loop.in_force}"]


def story_lines(summary: Summary) -> list[str]:
    """Never retrained, the loop, and a clock, side by side; and what became of the bad challenger."""
    lines = []
    if summary.contest:
        some = next(iter(summary.contest.values()))
        lines.append(f"  on the same {some.records:,} records that have a label:")
        for name, one in summary.contest.items():
            refits = "" if one.refits is None else f"  ({one.refits} refits)"
            lines.append(f"    {name:<12} {_figures(one.figures)}{refits}")
        if some.later_records:
            lines.append(f"  on {some.later_records:,} of them, which the loop answered with a version of its own:")
            lines += [f"    {name:<12} {_figures(one.later)}" for name, one in summary.contest.items()]
        lines.append(
            "    static: the first version's own bundle, scored offline; closed loop: what was committed; periodic:"
            " refits at the clock, in force at once, without gate or rollout, offline (as `tailrace backtest` has it)"
        )
    if (bad := summary.bad) is not None:
        became = "was taken back by itself" if bad.taken_back else "was NOT taken back"
        why = f": {bad.reason}" if bad.reason else ""
        lines.append(
            f"  version {bad.version}, trained on shuffled labels and forced past the gate, {became}{why}"
            f" (it answered {bad.scored:,} records; in force: version {bad.in_force})"
        )
    return lines


def quality_lines(summary: Summary, unit: str) -> list[str]:
    """How good the predictions were, a line a figure; columns that say nothing are left out."""
    if not summary.quality:
        return ["  quality: the history has no labels for these records"]
    rows = {name_of(name): (name, one) for name, one in summary.quality.items()}
    wide = max(len(name) for name in rows)
    lines = [f"  quality on the {summary.labelled:,} scored records that have a label:"]
    for shown, (name, one) in rows.items():
        parts = [
            ("linear", one.linear),
            ("goal", one.goal),
            ("ours", one.ours),
            ("best possible", one.best),
        ]
        known = [(what, value) for what, value in parts if value is not None]
        digits = 4 if all(abs(value) < 10 for _, value in known) else 2  # noqa: PLR2004 - about four that matter
        said = " · ".join(f"{what} {value:,.{digits}f}" for what, value in known)
        lines.append(f"    {shown:<{wide}}  {said}  ({FIGURES[name].better} is better)")
    if summary.intervals is not None:
        found = summary.intervals
        width = f"{number(found.mean_width)}{' ' if unit else ''}{unit}"
        lines.append(f"    intervals of {found.asked:.0%} held {found.held:.1%} of the truths, {width} wide on average")
    return lines


def _figures(figures: dict[str, float]) -> str:
    return "  ".join(f"{name_of(name)} {value:.4f}" for name, value in figures.items())


def _with_limits(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "unknown"
    return number(value) if low is None or high is None else f"{number(value)} [{number(low)}, {number(high)}]"
