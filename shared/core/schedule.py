"""What is fitted when: from requests to fits, their follow-ups and what is kept for later. Pure; event time in ms.

A request of the clock, of an operator or of a missed goal is one fit of the whole window. A rise of errors or loss is
one fit at once, of the short window (most of a long one is of before the rise), and follow-ups, each of the whole
window, of which by then more is of after it. Any refit that was let through takes the place of follow-ups to come.

Between two requests that are acted on lies the cool-down, and between two alarms the alarm period; follow-ups belong to
their alarm and wait for neither. An alarm that comes too early is kept until its time, if no refit answers it before.
All of it holds here too, though the analyst asks so already: the topic `retrain` may be replayed, or written by others.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from shared.core import durations
from shared.core.pipeline import PipelineSpec

Kind = Literal["clock", "alarm", "follow_up", "manual"]
_RISES = ("errors", "loss")
_EVIDENCE = (*_RISES, "quality", "features")
_REMEMBERED = 64  # ids of requests


class Fit(msgspec.Struct, frozen=True, array_like=True):
    """One fit: of what happened in the `window` before `at`, as known then (ms of event time); None: of everything.

    `cause` is the id of the request that it belongs to, `number` counts an alarm's follow-ups from 1. `clock` is every
    fit of the whole window that no rise and no operator asked for.
    """

    kind: Kind
    at: int
    window: int | None
    cause: str
    number: int = 0


class Schedule(msgspec.Struct, frozen=True):
    """What is remembered between requests; to be stored as it is.

    `last` is when the last refit was let through, `acted` and `alarmed` when a request and an alarm were acted on last.
    `pending` are follow-ups to come, and an alarm that is kept for later; `served` the requests that got a fit or are
    kept, the newest last.
    """

    last: int | None = None
    acted: int | None = None
    alarmed: int | None = None
    pending: tuple[Fit, ...] = ()
    served: tuple[str, ...] = ()


class ScheduleTerms(msgspec.Struct, frozen=True):
    """All parameters, in ms; `window` and `short` of None are everything."""

    cooldown: int
    alarm_period: int
    window: int | None = None
    short: int | None = None
    follow_ups: tuple[int, ...] = ()


def schedule_terms(spec: PipelineSpec) -> ScheduleTerms:
    """What the section `retraining` says."""
    asked = spec.retraining
    window = None if asked.window is None else _ms(asked.window)
    return ScheduleTerms(
        cooldown=_ms(asked.cooldown),
        alarm_period=alarm_period(spec),
        window=window if asked.data == "recent" else None,
        short=None if window is None else max(round(window * asked.short), 1),
        follow_ups=tuple(_ms(after) for after in asked.follow_ups),
    )


def alarm_period(spec: PipelineSpec) -> int:
    """In which at most one alarm is acted on (ms): as declared, else the clock's, and never below the cool-down."""
    asked = spec.retraining
    declared = asked.alarm_period if asked.alarm_period is not None else asked.every
    return _ms(max(asked.cooldown, declared or 0.0))


def asked(
    schedule: Schedule, trigger: str, request_id: str, at: int, terms: ScheduleTerms
) -> tuple[Schedule, Fit | None, str]:
    """What a request leads to.

    Args:
        schedule: before it.
        trigger: of the request: errors, loss, quality, features, schedule, labels, manual ...
        request_id: its id; a request is served once.
        at: its event time.
        terms: the parameters.

    Returns:
        The schedule after it; the fit that is due at once; or why there is none, in words (empty if there is one).
    """
    if request_id in schedule.served:
        return schedule, None, "this request was served or is kept already"
    if schedule.last is not None and at < schedule.last:
        return schedule, None, f"a refit {_words(schedule.last - at)} later answered it"
    evidence = trigger in _EVIDENCE
    free = _free(schedule, terms, alarm=evidence)
    fit = _fit_of(trigger, request_id, at, terms)
    if at >= free:
        acted = msgspec.structs.replace(schedule, acted=at, alarmed=at if evidence else schedule.alarmed)
        return _served(acted, request_id), fit, ""
    if not evidence:
        return schedule, None, f"at most one training in {_words(terms.cooldown)}: the next one in {_words(free - at)}"
    if any(not one.number for one in schedule.pending):
        return schedule, None, "an alarm is kept already"
    kept = msgspec.structs.replace(fit, at=free)
    after = _served(_pending(schedule, (*schedule.pending, kept)), request_id)
    return after, None, f"kept for {_words(free - at)}: at most one alarm in {_words(terms.alarm_period)} is acted on"


def due(schedule: Schedule, now: int, terms: ScheduleTerms) -> tuple[Schedule, Fit | None]:
    """A kept alarm or a follow-up whose time has come; the same again until `refitted` has it.

    Of follow-ups that are overdue together only the last is left, as it would know all that the others know.
    """
    ready = [one for one in schedule.pending if one.at <= now]
    if not ready:
        return schedule, None
    kept = next((one for one in ready if not one.number), None)
    if kept is not None:
        free = _free(schedule, terms, alarm=True)
        if now >= free:
            return schedule, msgspec.structs.replace(kept, at=now)
        # Something else was acted on meanwhile, and not let through: the alarm waits on.
        later = tuple(msgspec.structs.replace(one, at=free) if one is kept else one for one in schedule.pending)
        return due(_pending(schedule, later), now, terms)
    newest = ready[-1]
    left = [one for one in schedule.pending if one is newest or one not in ready]
    return _pending(schedule, left), msgspec.structs.replace(newest, at=now)


def refitted(schedule: Schedule, fit: Fit, at: int, terms: ScheduleTerms, *, promoted: bool = True) -> Schedule:
    """A fit has been made and judged.

    Args:
        schedule: before.
        fit: as `asked` or `due` gave it.
        at: its event time.
        terms: the parameters.
        promoted: whether the gate let it through. If not, what else was pending stays; an alarm's follow-ups come
            in either case, as they will know more.
    """
    left = tuple(one for one in schedule.pending if (one.cause, one.number) != (fit.cause, fit.number))
    if promoted:
        # The next follow-ups of the same alarm go on; what another cause left, and a kept alarm, is answered.
        left = tuple(one for one in left if fit.kind == "follow_up" and one.cause == fit.cause and one.number)
    if fit.kind == "alarm":
        left = (*(one for one in left if not one.number), *_follow_ups(fit, at, terms))
    was_kept = any((one.cause, one.number) == (fit.cause, 0) for one in schedule.pending)
    if was_kept and not fit.number:
        schedule = msgspec.structs.replace(schedule, acted=at, alarmed=at)
    schedule = msgspec.structs.replace(schedule, last=at if promoted else schedule.last)
    return _pending(schedule, left)


def _pending(schedule: Schedule, fits: Iterable[Fit]) -> Schedule:
    return msgspec.structs.replace(schedule, pending=tuple(sorted(fits, key=lambda one: (one.at, one.number))))


def _follow_ups(fit: Fit, at: int, terms: ScheduleTerms) -> list[Fit]:
    numbered = enumerate(terms.follow_ups, start=1)
    return [Fit("follow_up", at + after, terms.window, fit.cause, number) for number, after in numbered]


def _fit_of(trigger: str, request_id: str, at: int, terms: ScheduleTerms) -> Fit:
    if trigger in _RISES:
        return Fit("alarm", at, terms.short, request_id)
    return Fit("manual" if trigger == "manual" else "clock", at, terms.window, request_id)


def _free(schedule: Schedule, terms: ScheduleTerms, *, alarm: bool) -> int:
    """From when on a request may be acted on."""
    since_any = 0 if schedule.acted is None else schedule.acted + terms.cooldown
    since_alarm = 0 if not alarm or schedule.alarmed is None else schedule.alarmed + terms.alarm_period
    return max(since_any, since_alarm)


def _served(schedule: Schedule, request_id: str) -> Schedule:
    return msgspec.structs.replace(schedule, served=(*schedule.served, request_id)[-_REMEMBERED:])


def _words(ms: int) -> str:
    return durations.write(ms / 1_000)


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
