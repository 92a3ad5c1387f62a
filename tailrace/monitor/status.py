"""The answers of `tailrace monitor status`, in its order: is it working, how good is it, what changed, what to do."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from services.monitor.analyst.calibration import Drift
from services.monitor.analyst.delays import DelayQuantile
from services.monitor.analyst.estimate import Expected
from services.monitor.analyst.look import Look
from shared.core.monitor_records import Account, RetrainRequest, Scorecard, Verdict
from tailrace.monitor.picture import Picture, Standing
from tailrace.monitor.runbook import PAGE, advice

State = Literal["ok", "warn", "alarm", "unknown"]
STATUSES = ("matched", "corrected", "late", "held", "orphaned", "duplicate", "conflicting", "unsampled")


class PartitionAt(msgspec.Struct, frozen=True):
    """How far one partition of `journal` was folded: event time (ms), offset, and entries that are still to come."""

    partition: int
    watermark: int
    offset: int
    behind: int | None


class Analyst(msgspec.Struct, frozen=True):
    """Its last verdict: said `behind` ms of event time ago, and `ago` seconds of this machine's clock."""

    at: int
    behind: int
    ago: float


class Working(msgspec.Struct, frozen=True, kw_only=True):
    """Is it working? `heard` is s since the observers last published; `problems` are sentences.

    `coverage` is the share of `observed` records that is `labelled`, of the windows whose labels have had their time.
    """

    partitions: tuple[PartitionAt, ...]
    heard: float | None
    labels: dict[str, int]
    observed: int
    labelled: int
    coverage: float | None
    delays: tuple[DelayQuantile, ...]
    analyst: Analyst | None
    problems: tuple[str, ...]


class FigureNow(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of n labels: None is unknown, for the reason `why`; beside it goal and holdout."""

    figure: str
    state: State
    n: int
    value: float | None
    low: float | None
    high: float | None
    why: str
    goal: float | None
    holdout: float | None


class Good(msgspec.Struct, frozen=True):
    """How good is it? Over `window`, [from, until) in ms of event time; None while no window is old enough."""

    window: tuple[int, int] | None
    figures: tuple[FigureNow, ...]
    estimate: Expected | None


class Todo(msgspec.Struct, frozen=True, kw_only=True):
    """What calls for somebody. `said`: by the analyst; else found here, where it has said nothing yet."""

    state: State
    metric: str
    trigger: str
    title: str
    means: str
    do: str
    since: int
    said: bool
    reasons: tuple[str, ...]
    page: str = PAGE


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. `now` is event time (ms); `request` the open retrain request about the version in force."""

    pipeline: str
    version: str
    now: int
    state: State
    working: Working
    quality: Good
    drifts: tuple[Drift, ...]
    verdicts: tuple[Verdict, ...]
    unknown: tuple[str, ...]
    todo: tuple[Todo, ...]
    request: RetrainRequest | None


def status(picture: Picture, clock: int, ends: Mapping[int, int] | None = None) -> Status:
    """Answer.

    Args:
        picture: the present one.
        clock: this machine's time (ms), for how long ago something was said.
        ends: of `journal`, by partition; None: not asked.
    """
    return Status(
        pipeline=picture.spec.name, version=picture.champion, now=picture.now, state=state_of(picture),
        working=_working(picture, clock, ends or {}), quality=_good(picture),
        drifts=() if picture.front is None else picture.front.drifts,
        verdicts=tuple(one.verdict for one in picture.standing),
        unknown=tuple(one.verdict.metric for one in picture.standing if one.unknown),
        todo=tuple(_todo(one) for one in picture.standing if one.verdict.verdict != "ok"), request=picture.request,
    )  # fmt: skip


def state_of(picture: Picture) -> State:
    """The worst of all verdicts; unknown where there is none that says anything."""
    known = [one.verdict.verdict for one in picture.standing if not one.unknown]
    return known[0] if known else "unknown"


def of_standing(one: Standing) -> State:
    """A verdict's state: what is unknown is not in order."""
    return "unknown" if one.unknown else one.verdict.verdict


def _working(picture: Picture, clock: int, ends: Mapping[int, int]) -> Working:
    look, known = picture.front, picture.known
    quality = None if look is None else look.quality
    said = [verdict.at for verdict in known.verdicts.values()]
    logged = known.logged.get("verdicts")
    analyst = None
    if said and logged is not None:
        analyst = Analyst(max(said), max(picture.now - max(said), 0), max((clock - logged) / 1_000, 0.0))
    heard = known.logged.get("scorecards")
    return Working(
        partitions=_partitions(picture, ends), heard=None if heard is None else max((clock - heard) / 1_000, 0.0),
        labels=_labels(look), observed=0 if quality is None else quality.observed,
        labelled=0 if quality is None else quality.labelled, coverage=None if quality is None else quality.coverage,
        delays=() if quality is None else quality.delays, analyst=analyst, problems=tuple(_problems(picture)),
    )  # fmt: skip


def _labels(look: Look | None) -> dict[str, int]:
    if look is None:
        return {}
    counts = {name: getattr(look.accounts, name) for name in ("labels", *STATUSES, "invalid", "astray")}
    return {name: n for name, n in counts.items() if n or name == "labels"}


def _partitions(picture: Picture, ends: Mapping[int, int]) -> tuple[PartitionAt, ...]:
    marks: dict[int, tuple[int, int]] = {}
    known = picture.known
    entries: tuple[Scorecard | Account, ...] = (*known.cards.values(), *known.accounts.values())
    for one in entries:
        before = marks.get(one.partition, (0, 0))
        marks[one.partition] = (max(before[0], one.watermark), max(before[1], one.offset))
    behind = {number: max(ends[number] - offset, 0) for number, (_, offset) in marks.items() if number in ends}
    return tuple(PartitionAt(number, *marks[number], behind.get(number)) for number in sorted(marks))


def _problems(picture: Picture) -> list[str]:
    known, found = picture.known, list[str]()
    for name, n in sorted(known.unreadable.items()):
        found.append(f"{n:,} values of the topic {name} cannot be read: of a newer version, or of somebody else")
    for version, why in sorted(picture.refused.items()):
        found.append(f"version {version} has no reference to be compared with: {why}")
    found += [f"the topic {name} does not exist: what would stand on it is unknown" for name in known.lacking]
    if not known.cards:
        found.append("no scorecard was published yet: does an observer run, and has anything been scored?")
    elif not known.verdicts:
        found.append("the analyst has said nothing yet; all that stands here was worked out just now")
    if picture.champion and known.cards and picture.front is None:
        found.append(f"nothing of version {picture.champion}, which is in force, was observed yet")
    if any(not pane.complete for pane in picture.windows(picture.champion)):
        found.append("some windows lack entries that retention took: their figures are of the rest")
    return found


def _good(picture: Picture) -> Good:
    look = picture.front
    if look is None or look.quality is None:
        return Good(None, (), None if look is None else look.estimate)
    states = {one.verdict.metric: of_standing(one) for one in picture.standing if one.verdict.trigger == "quality"}
    subject = picture.subjects.get(picture.champion)
    holdout = {} if subject is None else subject.holdout
    figures = tuple(
        FigureNow(
            figure=name, state="unknown" if one.value is None else states.get(name, "ok"), n=one.n, value=one.value,
            low=one.low, high=one.high, why=one.why, goal=picture.terms.goal.get(name), holdout=holdout.get(name),
        )
        for name, one in look.quality.figures.items()
    )  # fmt: skip
    return Good((look.quality.since, look.quality.until), figures, look.estimate)


def _todo(one: Standing) -> Todo:
    verdict, told = one.verdict, advice(one.verdict.trigger)
    return Todo(
        state=verdict.verdict, metric=verdict.metric, trigger=verdict.trigger, title=told.title, means=told.means,
        do=told.do, since=verdict.since, said=one.said, reasons=verdict.reasons,
    )  # fmt: skip


def grouped(todo: Iterable[Todo]) -> list[list[Todo]]:
    """What calls for the same, together: two goals that are missed are one thing to do."""
    found: dict[tuple[str, str], list[Todo]] = {}
    for one in todo:
        found.setdefault((one.state, one.trigger), []).append(one)
    return list(found.values())
