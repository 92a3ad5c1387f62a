"""What the retrainer remembers of requests and trainings, and what it may do next. Pure; event time in ms.

One training at a time, one a request, and by `shared.core.schedule` at most one request a cool-down is acted on. All
of it is a value on `trainings`, written in one transaction with how far the input was read: so it holds over crashes.
"""

import re
from collections.abc import Container, Mapping
from typing import Literal

import msgspec

from shared.core import schedule
from shared.core.errors import Invalid
from shared.core.gate import GateFigures
from shared.core.monitor_records import RetrainRequest, Verdict, WindowFigures
from shared.core.records import SCHEMA_VERSION, BundleRef
from shared.core.schedule import Fit, Kind, Schedule, ScheduleTerms

State = Literal["declined", "running", "passed", "announced", "done", "refused", "failed"]
ENDED: tuple[State, ...] = ("declined", "done", "refused", "failed")
ATTEMPTS = 5
"""Lives of the retrainer that one training may cost before it is given up."""
OF_RECORDS = frozenset[str](("schema", "unit_jump"))
OF_LABELS = frozenset[str](("label_outage", "conflicts", "flipped"))
"""Faults by which data is not what it seems: while one stands nothing is trained but by an operator's wish."""
LARGEST = 1 << 20
"""Bytes of a request."""
_SPANS, _WORDS = 64, 500
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERSION = re.compile(r"[A-Za-z0-9._+-]{1,64}")


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Event time [first, last) in which a fault spoiled records or labels."""

    fault: str
    first: int
    last: int


class Training(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="training", tag_field="type"):
    """One training, or why a request got none; on `trainings`, keyed by its id. `changed` is wall time in ms.

    *declined*: none. *running*: being fitted and judged. *passed*: the gate let it through, and `challenger` is
    registered. *announced*: it stands in `models` as `epoch`. *done*: the registry calls it the challenger. *refused*:
    by the gate or for its data. *failed*: neither yes nor no. `champion` is the version that it was judged beside,
    `gate` all figures of that, `run_id` MLflow's record of it.
    """

    id: str
    request: str
    trigger: str
    state: State
    at: int
    changed: int = 0
    kind: Kind = "clock"
    number: int = 0
    window: int | None = None
    attempts: int = 0
    reason: str = ""
    champion: str = ""
    gate: GateFigures | None = None
    challenger: BundleRef | None = None
    run_id: str = ""
    epoch: int = 0
    figures: dict[str, float] = {}
    v: int = SCHEMA_VERSION

    @property
    def fit(self) -> Fit:
        """What it is a training of."""
        return Fit(self.kind, self.at, self.window, self.request, self.number)


class Book(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="book", tag_field="type"):
    """All that is remembered, on `trainings` under the key `book`.

    `requests` and `verdicts` are the last offsets that are in it, `now` the largest event time seen. `running` is the
    training in hand, `waiting` what begins after it. `faults` stand now, since when; `spoiled` are their spans.
    `refused` counts requests that were none, by reason.
    """

    schedule: Schedule = Schedule()
    requests: int = -1
    verdicts: int = -1
    now: int = 0
    running: Training | None = None
    waiting: Fit | None = None
    triggers: dict[str, str] = {}
    faults: dict[str, int] = {}
    spoiled: tuple[Span, ...] = ()
    refused: dict[str, int] = {}
    v: int = SCHEMA_VERSION


class Bounds(msgspec.Struct, frozen=True):
    """What a request is held against. `horizon`: how far (ms) its time may lie beyond the event time that is known."""

    pipeline: str
    versions: frozenset[str]
    horizon: int


_request = msgspec.json.Decoder(RetrainRequest).decode


def heard(book: Book, offset: int, said: Verdict | WindowFigures) -> Book:
    """A value of `verdicts`: event time goes on, and faults begin, last and end."""
    book = msgspec.structs.replace(book, verdicts=max(book.verdicts, offset), now=max(book.now, said.at))
    if not isinstance(said, Verdict) or said.trigger not in OF_RECORDS | OF_LABELS:
        return book
    faults = {name: since for name, since in book.faults.items() if name != said.metric}
    if said.verdict != "alarm":
        return msgspec.structs.replace(book, faults=faults)
    spoiled = _with(book.spoiled, Span(said.trigger, *said.window))
    return msgspec.structs.replace(book, faults={**faults, said.metric: said.since}, spoiled=spoiled)


def checked(value: bytes, bounds: Bounds, now: int) -> RetrainRequest:
    """A request that may be looked at.

    Raises:
        Invalid: malformed, pipeline, name, version or future; nothing of it is used, its words are not repeated.
    """
    if len(value) > LARGEST:
        raise Invalid("malformed", f"{len(value):,} bytes")
    try:
        request = _request(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("malformed", "it is no request") from None
    if request.v != SCHEMA_VERSION:
        raise Invalid("malformed", f"version {request.v} of the schema is not known")
    if not (_ID.fullmatch(request.id) and _VERSION.fullmatch(request.version)):
        raise Invalid("name", "an id or version that cannot be one")
    if request.pipeline != bounds.pipeline:
        raise Invalid("pipeline", "it is for another pipeline")
    if request.version not in bounds.versions:
        raise Invalid("version", f"version {request.version} was never announced")
    if not 0 <= request.at <= now + bounds.horizon:
        raise Invalid("future", f"its time is {(request.at - now) / 3.6e6:,.1f} h beyond the event time that is known")
    return request


def refused(book: Book, offset: int, reason: str) -> Book:
    """A value of `retrain` that is none."""
    counts = {**book.refused, reason: book.refused.get(reason, 0) + 1}
    return msgspec.structs.replace(book, requests=max(book.requests, offset), refused=counts)


def asked(book: Book, offset: int, request: RetrainRequest, terms: ScheduleTerms) -> tuple[Book, Training | None]:
    """Decide on a request.

    Returns:
        What is remembered; and what to answer, if it gets no training of its own now and was not answered before.
    """
    book = msgspec.structs.replace(book, requests=max(book.requests, offset), now=max(book.now, request.at))
    known = _known(book, request.id)
    after, fit, why = schedule.asked(book.schedule, request.trigger, request.id, request.at, terms)
    if fit is not None and (book.waiting is not None or known):
        fit, why, after = None, "another one is waiting already", book.schedule
    book = msgspec.structs.replace(book, schedule=after, triggers={**book.triggers, request.id: request.trigger})
    if fit is not None:
        return _pruned(msgspec.structs.replace(book, waiting=fit)), None
    answer = Training(
        id=request.id, request=request.id, trigger=request.trigger, state="declined", at=request.at,
        reason=why[:_WORDS],
    )  # fmt: skip
    return _pruned(book), None if known else answer


def begun(book: Book, terms: ScheduleTerms) -> tuple[Book, Training | None]:
    """What to train now, if anything: nothing beside another one, and nothing while a fault stands.

    A training that was in hand when the retrainer ended is in hand again.
    """
    if book.running is not None:
        return book, book.running
    after, fit = schedule.due(book.schedule, book.now, terms)
    chosen = book.waiting or fit
    if chosen is None or (book.faults and chosen.kind != "manual"):
        return book, None
    if chosen is fit and not fit.number:  # an alarm that was kept counts from now on, not from the end of its training
        after = msgspec.structs.replace(after, acted=fit.at, alarmed=fit.at)
    waiting = None if chosen is book.waiting else book.waiting
    name = f"{chosen.cause}-{chosen.number}" if chosen.number else chosen.cause
    training = Training(
        id=name, request=chosen.cause, trigger=book.triggers.get(chosen.cause, chosen.kind), state="running",
        at=chosen.at, kind=chosen.kind, number=chosen.number, window=chosen.window,
    )  # fmt: skip
    return msgspec.structs.replace(book, schedule=after, waiting=waiting, running=training), training


def moved(book: Book, training: Training, terms: ScheduleTerms) -> Book:
    """The training in hand is in another state; one that ended is out of hand."""
    if training.state not in ENDED:
        return msgspec.structs.replace(book, running=training)
    after = schedule.refitted(book.schedule, training.fit, training.at, terms, promoted=training.state == "done")
    return _pruned(msgspec.structs.replace(book, running=None, schedule=after))


def taken_over(training: Training) -> Training:
    """The training as whoever takes it in hand (again) writes it down; given up after so many lives."""
    if training.state != "running":
        return training
    if training.attempts >= ATTEMPTS:
        return msgspec.structs.replace(training, state="failed", reason=f"given up after {ATTEMPTS} attempts")
    return msgspec.structs.replace(training, attempts=training.attempts + 1)


def verdict_of(training: Training) -> Verdict:
    """What is said of the gate's answer on `verdicts`: of the challenger where there is one, else of the champion."""
    gate, passed = training.gate, training.challenger is not None
    whole = gate.whole if gate else None
    error = whole.error if whole and whole.error is not None else None
    value = whole.difference if whole and whole.labels else None
    band = (None, None) if value is None or error is None else (value - 2 * error, value + 2 * error)
    return Verdict(
        version=training.challenger.version if training.challenger else training.champion, metric="gate",
        trigger="gate", verdict="ok" if passed else "warn", n=whole.labels if whole else 0,
        window=(training.at, training.at), since=training.at, at=training.at, value=value, low=band[0], high=band[1],
        threshold=whole.limit if whole else None,
        reasons=tuple(gate.reasons if gate and gate.reasons else filter(None, [training.reason])),
    )  # fmt: skip


def spoiled_at(spans: tuple[Span, ...], faults: Container[str], moment: int) -> bool:
    """Whether a moment lies in a span of one of these faults."""
    return any(span.first <= moment < max(span.last, span.first + 1) for span in spans if span.fault in faults)


def _known(book: Book, request: str) -> bool:
    in_hand = book.running.request if book.running else None
    waits = book.waiting.cause if book.waiting else None
    return request in book.schedule.served or request in (in_hand, waits)


def _pruned(book: Book) -> Book:
    """Only triggers of what may still become a training."""
    fits = [*book.schedule.pending, *([book.waiting] if book.waiting else [])]
    wanted = {fit.cause for fit in fits} | ({book.running.request} if book.running else set())
    kept: Mapping[str, str] = {cause: trigger for cause, trigger in book.triggers.items() if cause in wanted}
    return msgspec.structs.replace(book, triggers=dict(kept))


def _with(spans: tuple[Span, ...], new: Span) -> tuple[Span, ...]:
    """Spans of one fault that touch are one."""
    near = [s for s in spans if s.fault == new.fault and s.first <= new.last and new.first <= s.last]
    whole = Span(new.fault, min([new.first, *(s.first for s in near)]), max([new.last, *(s.last for s in near)]))
    return spans if near == [whole] else (*(s for s in spans if s not in near), whole)[-_SPANS:]
