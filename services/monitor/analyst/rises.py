"""What change detectors found: a rise, whether later labels confirm it, and whether labels were turned over."""

from collections.abc import Sequence

import msgspec

from services.monitor.analyst.adwin import mean as adwin_mean
from services.monitor.analyst.alarms import Watch
from services.monitor.analyst.cusum import highest
from services.monitor.analyst.findings import MINIMUM, Finding, Trigger
from services.monitor.analyst.fold import Alarm, Entry, State
from shared.core.baseline import UNIT, Kind

_KINDS: tuple[Kind, ...] = ("errors", "loss")
_HALF = 0.5
_TOLD = 100  # labels: of fewer a worse model may look like labels turned over
_SANE = 0.35  # the most errors in the reference of a model whose answers are worth being turned over
_NEAR = 0.05
_ERRORS = 3.0  # standard errors


def of_errors(
    watched: Watch, now: int, before: int, *, binary: bool, lasting: int = 86_400_000, window: int = 0
) -> list[Finding]:
    """What the change detectors say: `alarm` while one stands, and at the look after one was raised.

    Labels that are mostly the opposite of what a good binary model says are not a worse model: they look turned over,
    which is a fault of labels (`flipped`) and no reason to learn from them.

    Args:
        watched: the alarms on the version's error blocks.
        now: event time (ms).
        before: the event time of the look before.
        binary: whether the task is.
        lasting: an alarm of ADWIN, which has adapted at once, stands for so long (ms).
        window: of scorecards (ms): the one in which an alarm falls must be over before the alarm is confirmed, as only
            a whole one can be judged for faults; 0: there are none.
    """
    if not watched.state.labels:
        return []
    kinds = _KINDS[:1] if watched.state.window else _KINDS
    found = [_detected(watched, kind, (before, now), lasting, window) for kind in kinds]
    return [*found, _turned(watched.state, found, now)] if binary else found


def _detected(watched: Watch, kind: Kind, look: tuple[int, int], lasting: int, window: int) -> Finding:
    state = watched.state
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
        confirmed=_judged(alarm.at, window) <= look[1] and _confirmed(watched, alarm),
    )  # fmt: skip


def _judged(at: int, window: int) -> int:
    """From when on the window that a moment is in is whole (ms)."""
    return at - at % window + window if window else at


def _confirmed(watched: Watch, alarm: Alarm) -> bool:
    """Whether the labels after the alarm say the same: their mean is three standard errors above the reference.

    A short burst is over by then, however long its alarm stands. The first of them are left out: with them a burst
    would confirm itself.
    """
    of = [e for e in watched.tail if (e.closed, e.partition, e.number) > (alarm.at, alarm.partition, alarm.number)]
    n, later = 0, list[Entry]()
    for entry in of:
        n += entry.n
        if n > _TOLD:
            later.append(entry)
    labels = sum(entry.n for entry in later)
    if n < MINIMUM or not labels:
        return False
    total = sum(entry.errors if alarm.kind == "errors" else entry.loss / UNIT for entry in later)
    reference = next((one for one in watched.state.references if one.kind == alarm.kind), None)
    if reference is None:
        return bool(total / labels > alarm.reference + alarm.rise / 2)
    error = reference.deviation * (reference.spread / labels) ** 0.5
    return bool(total / labels > reference.mean + _ERRORS * error)


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
