"""What one look at a version found, before anything is decided: a figure or fault each, with its size and words."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from services.monitor.analyst.adwin import mean as adwin_mean
from services.monitor.analyst.baseline import Kind
from services.monitor.analyst.calibration import Drift
from services.monitor.analyst.cusum import highest
from services.monitor.analyst.estimate import Expected
from services.monitor.analyst.fold import State
from services.monitor.analyst.quality import Measured, Quality
from shared.core.quality import FIGURES

Level = Literal["ok", "warn", "alarm"]
Trigger = Literal[
    "quality", "errors", "loss", "features", "estimate",
    "missing", "unseen", "out_of_range",
    "label_outage", "schema", "unit_jump", "conflicts", "flipped",
    "schedule", "labels", "manual",
]  # fmt: skip
MINIMUM = 200
_NAMED = 5  # features
_KINDS: tuple[Kind, ...] = ("errors", "loss")
_HALF = 0.5
_TOLD = 100  # labels: of fewer a worse model may look like labels turned over
_SANE = 0.35  # the most errors in the reference of a model whose answers are worth being turned over
_NEAR = 0.05
_ERRORS = 3.0  # standard errors


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure or fault. `level` is None where nothing is known: that changes nothing that was said before.

    `window` is of event time [from, until) in ms; `weight` says how far beyond its threshold it is, in units of that,
    to rank by; `block` names what an alarm begins with, empty for one that begins with its window.
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


def of_quality(
    quality: Quality, goal: Mapping[str, float], reference: Mapping[str, float], minimum: int = MINIMUM
) -> list[Finding]:
    """Every figure beside its goal (`alarm` where the whole interval misses it) and its holdout (then `warn`).

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
    if one.figure not in goal and level == "alarm":
        level = "warn"
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


def of_errors(state: State, now: int, before: int, *, binary: bool, lasting: int = 86_400_000) -> list[Finding]:
    """What the change detectors say: `alarm` while one stands, and at the look after one was raised.

    Labels that are mostly the opposite of what a good binary model says are not a worse model: they look turned over,
    which is a fault of labels (`flipped`) and no reason to learn from them.

    Args:
        state: of the alarms on the version's error blocks.
        now: event time (ms).
        before: the event time of the look before.
        binary: whether the task is.
        lasting: an alarm of ADWIN, which has adapted at once, stands for so long (ms).
    """
    if not state.labels:
        return []
    found = [_detected(state, kind, (before, now), lasting) for kind in _KINDS]
    return [*found, _turned(state, found, now)] if binary else found


def _detected(state: State, kind: Kind, look: tuple[int, int], lasting: int) -> Finding:
    trigger: Trigger = "errors" if kind == "errors" else "loss"
    track = state.errors if kind == "errors" else state.loss
    alarm = next((one for one in reversed(state.alarms) if one.kind == kind), None)
    adwin = bool(state.window) and alarm is not None and look[1] - alarm.at < lasting
    if alarm is None or not (track.standing or adwin or alarm.at > look[0]):
        return Finding(
            trigger=trigger, metric=f"rise_of_{kind}", level="ok", n=state.labels, window=look,
            words="no rise beyond the reference",
        )  # fmt: skip
    since, n, mean = _since(state, kind) or (alarm.since, alarm.n, alarm.reference + alarm.rise)
    what = "share of errors" if kind == "errors" else "mean loss"
    return Finding(
        trigger=trigger, metric=f"rise_of_{kind}", level="alarm", n=n, window=(since, max(look[1], alarm.at)),
        words=f"{what} {mean:.3g} in the last {n:,} labels, {alarm.reference:.3g} in the reference",
        value=mean, threshold=alarm.reference, weight=alarm.evidence, block=f"{alarm.partition}/{alarm.number}",
    )  # fmt: skip


def _since(state: State, kind: Kind, *, largest: bool = False) -> tuple[int, int, float] | None:
    """Since when there is a rise, of how many labels it is by now, and their mean; None where there is none.

    By the detector's member with the most evidence; the one for the `largest` rise knows best where such a one began.
    """
    if state.window:
        at = state.alarms[-1].since if state.alarms else 0
        return at, sum(bucket.n for bucket in state.window), adwin_mean(state.window)
    track = state.errors if kind == "errors" else state.loss
    place = -1 if largest else highest(track.members, track.levels)[1]
    level = track.levels[place] if track.levels else None
    return (level.since, level.n, level.total / level.n) if level is not None and level.n else None


def _turned(state: State, rises: Sequence[Finding], now: int) -> Finding:
    """Whether as many labels are wrong since a rise began as were right before it."""
    calm = Finding(
        trigger="flipped", metric="labels_turned_over", level="ok", n=state.labels, window=(now, now),
        words="labels say what they did",
    )  # fmt: skip
    turn = _since(state, "errors", largest=True)
    reference = next((one.mean for one in state.references if one.kind == "errors"), 1.0)
    if turn is None or reference > _SANE or all(rise.level != "alarm" for rise in rises):
        return calm
    since, n, share = turn
    if n < _TOLD:
        return calm
    right = 1 - reference
    limit = max(_HALF, right - _ERRORS * (right * reference / n) ** 0.5 - _NEAR)
    if share <= limit:
        return calm
    words = f"{share:.0%} of {n:,} labels say the opposite of a model that was right in {right:.0%}"
    return msgspec.structs.replace(
        calm, level="alarm", n=n, window=(since, now), words=words, value=share, threshold=limit, weight=share / limit
    )


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
