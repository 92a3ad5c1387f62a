"""What one look at a version found, before anything is decided: a figure or fault each, with its size and words."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from services.monitor.analyst.calibration import Drift
from services.monitor.analyst.estimate import Expected
from services.monitor.analyst.quality import Measured, Quality
from shared.core.quality import FIGURES

Level = Literal["ok", "warn", "alarm"]
Trigger = Literal[
    "quality", "errors", "loss", "features", "estimate",
    "missing", "unseen", "out_of_range",
    "label_outage", "schema", "unit_jump", "conflicts", "flipped", "clock",
    "schedule", "labels", "manual",
]  # fmt: skip
MINIMUM = 200
_NAMED = 5  # features


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure or fault. `level` is None where nothing is known: that changes nothing that was said before.

    `window` is of event time [from, until) in ms; `weight` says how far beyond its threshold it is, in units of that,
    to rank by; `block` names what an alarm begins with, empty for one that begins with its window. An alarm that is not
    `confirmed` asks for nothing yet.
    """

    trigger: Trigger
    metric: str
    level: Level | None
    n: int
    window: tuple[int, int]
    words: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    weight: float = 0.0
    block: str = ""
    confirmed: bool = True


def of_quality(
    quality: Quality, goal: Mapping[str, float], reference: Mapping[str, float], minimum: int = MINIMUM
) -> list[Finding]:
    """Every figure beside its goal or, without one, its holdout.

    Where the whole interval misses a goal it is an `alarm`, where the value does a `warn`; where the whole interval is
    worse than the holdout was, which has its own sampling error, a `warn`.

    Args:
        quality: of the version.
        goal: the least, or the most, by figure.
        reference: what the version had on the judged holdout.
        minimum: labels below which nothing is said.
    """
    window = (quality.since, quality.until)
    return [_judged(one, window, goal, reference, minimum) for one in quality.figures.values()]


def _judged(
    one: Measured, window: tuple[int, int], goal: Mapping[str, float], reference: Mapping[str, float], minimum: int
) -> Finding:
    if one.value is None or one.n < minimum:
        why = one.why or f"{one.n:,} labels are fewer than {minimum:,}"
        return Finding(
            trigger="quality", metric=one.figure, level=None, n=one.n, window=window, words=f"unknown: {why}"
        )
    aim = goal.get(one.figure, reference.get(one.figure))
    told = _range(one.figure, one.value, one.low, one.high, f"{one.n:,} labels")
    level, beside = _beside(one.figure, (one.value, one.low, one.high), aim)
    if one.figure not in goal:
        level = "warn" if level == "alarm" else "ok"
    kind = "the goal" if one.figure in goal else "the holdout's"
    words = told if aim is None else f"{told}: {beside} {kind} {aim:.4g}"
    return Finding(
        trigger="quality", metric=one.figure, level=level, n=one.n, window=window, words=words,
        value=one.value, low=one.low, high=one.high, threshold=aim, weight=_far(one.value, one.low, one.high, aim),
    )  # fmt: skip


def of_estimate(expected: Expected, window: tuple[int, int], aim: float | None) -> Finding:
    """The label-free estimate beside a goal, or the holdout's figure: at most a `warn`, as it is blind to concepts."""
    metric = f"estimated_{expected.figure}"
    if expected.value is None or expected.low is None:
        words = f"unknown: {expected.why}"
        return Finding(trigger="estimate", metric=metric, level=None, n=expected.n, window=window, words=words)
    level, beside = _beside(expected.figure, (expected.value, expected.low, expected.high), aim)
    told = _range(expected.figure, expected.value, expected.low, expected.high, f"{expected.n:,} predictions")
    words = f"expected {told}, {expected.condition}" + ("" if aim is None else f": {beside} {aim:.4g}")
    return Finding(
        trigger="estimate", metric=metric, level="warn" if level == "alarm" else "ok", n=expected.n, window=window,
        words=words, value=expected.value, low=expected.low, high=expected.high, threshold=aim,
        weight=_far(expected.value, expected.low, expected.high, aim),
    )  # fmt: skip


def of_features(drifts: Sequence[Drift], window: tuple[int, int], before: bool, calm: float = 0.8) -> Finding:  # noqa: FBT001 - the state itself
    """All features as one: `alarm` where the largest is beyond its threshold; the policy says whether it pages.

    Args:
        drifts: the largest first; none: nothing can be said.
        window: what they are of.
        before: whether features drifted at the last look: it ends only below `calm` of the threshold.
        calm: that share.
    """
    if not drifts:
        words = "unknown: too few records, or a reference too short to say what is usual"
        return Finding(trigger="features", metric="features", level=None, n=0, window=window, words=words)
    first = drifts[0]
    moved = [drift for drift in drifts if drift.score >= 1.0][:_NAMED] or [first]
    told = ", ".join(f"{d.feature} (PSI {d.psi:.3g}, distance {d.distance:.3g}, n {d.n:,})" for d in moved)
    level: Level = "alarm" if first.score >= (calm if before else 1.0) else "ok"
    words = f"moved from the reference: {told}" if level == "alarm" else f"as in the reference; the most moved: {told}"
    return Finding(
        trigger="features", metric="features", level=level, n=first.n, window=window, words=words,
        value=first.score, threshold=1.0, weight=first.score,
    )  # fmt: skip


def _beside(figure: str, measured: tuple[float, float | None, float | None], aim: float | None) -> tuple[Level, str]:
    """Alarm where the whole interval is on the bad side, a warning where the value is; and how to say it."""
    if aim is None:
        return "ok", ""
    value, low, high = measured
    higher = FIGURES[figure].better == "higher" if figure in FIGURES else True  # a share within so many percent
    worse = value < aim if higher else value > aim
    limit = high if higher else low
    surely = bool(limit is not None and (limit < aim if higher else limit > aim))
    side = "below" if higher else "above"
    if worse and surely:
        return "alarm", side
    return ("warn", f"perhaps {side}") if worse else ("ok", "no worse than")


def _far(value: float, low: float | None, high: float | None, aim: float | None) -> float:
    if aim is None or low is None or high is None or high <= low:
        return 0.0
    return abs(value - aim) / ((high - low) / 2)


def _range(figure: str, value: float, low: float | None, high: float | None, n: str) -> str:
    limits = "no interval" if low is None or high is None else f"{low:.4g} to {high:.4g}"
    return f"{figure} {value:.4g} ({limits}) of {n}"
