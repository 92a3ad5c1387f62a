"""The result of `tailrace backtest`, for a person."""

from collections.abc import Iterator

from tailrace.backtest.playing import Figures
from tailrace.backtest.study import Report

_SHOWN = (("loss", ".4f"), ("accuracy", ".4f"), ("auc", ".4f"), ("rmse", ".2f"), ("mae", ".2f"))


def table(report: Report) -> str:
    """Each policy with its refits, gain and figures; then what was decided, the gate, and the bars."""
    return "\n".join([*_policies(report), "", *_decided(report), *_bars(report)])


def _policies(report: Report) -> Iterator[str]:
    shown = [name for name, _ in _SHOWN if getattr(report.of["ours"], name) is not None]
    head = "".join(f"{name:>10}" for name in shown)
    runs = f"{len(report.runs)} {report.unit}"
    yield f"{report.stream}: {report.records:,} records, labels {report.delay:g} days late, {runs}"
    yield f"{'':<34}{'retrains':>9}{'gain':>7}  {'worst..best':<13}{head}"
    low, high = report.range
    yield _row("ours", report.retrains, report.gain, f"{low:.0%}..{high:.0%}", report.of["ours"])
    gains = [run.clock_gain for run in report.runs]
    yield _row(
        f"plain clock, every {report.periodic_every:g} days", report.periodic_retrains, report.periodic_gain,
        f"{min(gains):.0%}..{max(gains):.0%}", report.of["periodic"],
    )  # fmt: skip
    yield _row("never (static)", 0, 0.0, "", report.of["static"])
    yield _row("at every step (oracle)", report.oracle_retrains, 1.0, "", report.of["oracle"])
    yield _row("trivial: always the first shares", 0, None, "", report.of["baseline"])


def _row(name: str, retrains: float, gain: float | None, between: str, figures: Figures) -> str:
    cells = [f"{value:>10{form}}" for key, form in _SHOWN if (value := getattr(figures, key)) is not None]
    share = "" if gain is None else f"{gain:.0%}"
    return f"{name:<34}{retrains:>9.1f}{share:>7}  {between:<13}{''.join(cells)}"


def _decided(report: Report) -> Iterator[str]:
    n = len(report.runs)
    alarms, by_alarm = sum(run.alarms for run in report.runs) / n, sum(run.by_alarm for run in report.runs) / n
    follow_ups = sum(run.follow_ups for run in report.runs) / n
    yield (
        f"a run has {alarms:.1f} alarms, {report.candidates:.1f} candidates and {report.retrains:.1f} retrains: "
        f"{by_alarm:.1f} by alarm, {follow_ups:.1f} follow-ups"
    )
    if report.gate is not None:
        gate = report.gate
        yield (
            f"the gate costs {gate.cost * 100:+.1f} points of gain ({gate.without:.1%} without it), and refused "
            f"{gate.refused} of {gate.shuffled} challengers of shuffled labels"
        )
    yield f"{report.fits:,} models fitted in {report.seconds:.0f} s (what was fitted before is kept in the cache)"


def _bars(report: Report) -> Iterator[str]:
    for bar in report.bars:
        sign = ">=" if bar.least else "<="
        yield f"{'reached' if bar.ok else 'MISSED':<9}{bar.name}: {bar.found:.4g} (wanted {sign} {bar.wanted:g})"
