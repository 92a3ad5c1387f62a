"""Our policy on a stream: detectors, decision, schedule and gate, each the very code of the running system.

At the beginning of each step the analyst looks, a request or a follow-up becomes a fit, the gate judges its candidate,
and what passes is in force at once. Nothing here decides: it only carries what the pure parts say from one to the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np

from services.monitor.analyst import alarms, policy
from services.monitor.analyst.fold import Alarm
from services.monitor.analyst.policy_state import Evidence, State
from services.monitor.analyst.rises import of_errors
from services.monitor.analyst.terms import LookTerms, terms_of
from shared.core.gate import GateFigures, judge, losses, skill
from shared.core.monitor_records import RetrainRequest
from shared.core.schedule import Fit, Kind, Schedule, ScheduleTerms, asked, due, refitted, schedule_terms
from tailrace.backtest.models import Models, Trained, Values, blocks_of
from tailrace.backtest.playing import Run, first, of_window
from tailrace.backtest.watching import Watcher

Mode = Literal["declared", "none"]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One fit: when (ms), why, by which request, whether it was let through, and what was said against it.

    `window` and `number` as of its `Fit`; `figures` are the gate's, None without one.
    """

    at: int
    kind: Kind
    trigger: str
    request: str
    promoted: bool
    window: int | None = None
    number: int = 0
    reasons: tuple[str, ...] = ()
    figures: GateFigures | None = None
    shuffled_refused: bool | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A run with everything that was decided; `raised` are the detectors' alarms, on whichever version."""

    run: Run
    acts: tuple[Act, ...]
    requests: tuple[RetrainRequest, ...]
    raised: tuple[Alarm, ...]

    @property
    def alarms(self) -> int:
        """How many there were."""
        return len(self.raised)

    def retrains(self, *kinds: Kind) -> int:
        """Refits that were let through; of these kinds, if any are named."""
        return sum(act.promoted and (not kinds or act.kind in kinds) for act in self.acts)


def ours(models: Models, *, phase: int = 0, gate: Mode = "declared", shuffled: bool = False) -> Told:
    """Play a stream.

    Args:
        models: of the stream.
        phase: steps by which the clock had run when the stream began.
        gate: as declared, or without any.
        shuffled: whether every candidate has a twin of shuffled labels that is to be refused.
    """
    return _Play(models, gate, shuffled).run(phase)


@dataclass(slots=True)
class _Play:
    models: Models
    gate: Mode
    shuffled: bool
    acts: list[Act] = field(default_factory=list)
    requests: list[RetrainRequest] = field(default_factory=list)
    said: list[Values] = field(default_factory=list)
    state: State = field(default_factory=State)
    schedule: Schedule = field(default_factory=Schedule)
    raised: list[Alarm] = field(default_factory=list)
    versions: int = 0

    def run(self, phase: int) -> Told:
        """From the first look to the last record."""
        stream = self.models.stream
        terms, planned = terms_of(stream.spec), schedule_terms(stream.spec)
        model = first(self.models)
        watcher = self._watcher(model, terms)
        self._begin(stream.first - phase * stream.step, terms)
        for now in stream.looks:
            watcher.known_at(now)
            for fit, trigger in self._fits(now, watcher, terms, planned):
                if self._judged(fit, trigger, model, now, planned):
                    model = of_window(stream, now, fit.window)
                    self._count(watcher)
                    watcher = self._watcher(model, terms)
                    self._begin(now, terms)
            rows = stream.rows(now, now + stream.step)
            answers = self.models.answers(model, rows)
            watcher.scored(rows, answers)
            self.said.append(answers)
        self._count(watcher)
        retrains = sum(act.promoted for act in self.acts)
        return Told(
            Run(np.concatenate(self.said), retrains), tuple(self.acts), tuple(self.requests), tuple(self.raised)
        )

    def _begin(self, now: int, terms: LookTerms) -> None:
        """The first look at a version, of which nothing is known yet."""
        seen = Evidence(pipeline=terms.pipeline, version=f"v{self.versions}", now=now)
        self.state = policy.step(self.state, seen, terms.policy).state

    def _fits(self, now: int, watcher: Watcher, terms: LookTerms, planned: ScheduleTerms) -> Iterator[tuple[Fit, str]]:
        """What the look at this moment and the schedule make due, each when the one before was judged."""
        found = of_errors(
            watcher.watch, now, self.state.now, binary=terms.task == "binary", lasting=terms.policy.settle,
            window=terms.window,
        )  # fmt: skip
        seen = Evidence(
            pipeline=terms.pipeline, version=f"v{self.versions}", now=now, findings=tuple(found), labels=watcher.labels
        )
        decision = policy.step(self.state, seen, terms.policy)
        self.state = decision.state
        if decision.request is not None:
            request = decision.request
            self.requests.append(request)
            self.schedule, fit, _ = asked(self.schedule, request.trigger, request.id, request.at, planned)
            if fit is not None:
                yield fit, request.trigger
        while True:
            self.schedule, fit = due(self.schedule, now, planned)
            if fit is None:
                return
            yield fit, "follow_up" if fit.number else "errors"

    def _judged(self, fit: Fit, trigger: str, champion: Trained, now: int, planned: ScheduleTerms) -> bool:
        """Let the gate judge a candidate; whether the fit comes into force."""
        figures = challenged(self.models, fit, champion, now) if self.gate == "declared" else None
        passed = figures is None or figures.passed
        twin = challenged(self.models, fit, champion, now, shuffled=True) if self.shuffled else None
        self.acts.append(Act(
            at=now, kind=fit.kind, trigger=trigger, request=fit.cause, promoted=passed, window=fit.window,
            number=fit.number, reasons=() if figures is None else figures.reasons, figures=figures,
            shuffled_refused=None if twin is None else not twin.passed,
        ))  # fmt: skip
        self.schedule = refitted(self.schedule, fit, now, planned, promoted=passed)
        self.versions += passed
        return passed

    def _watcher(self, model: Trained, terms: LookTerms) -> Watcher:
        watched = alarms.watch(terms.detectors, self.models.held(model).baselines)
        return Watcher(self.models.stream, f"v{self.versions}", watched, terms)

    def _count(self, watcher: Watcher) -> None:
        self.raised += watcher.watch.state.alarms


def challenged(models: Models, fit: Fit, champion: Trained, now: int, *, shuffled: bool = False) -> GateFigures:
    """The gate's figures: of a candidate as it could have been trained `holdout` ago, on what neither has learned."""
    stream, gate = models.stream, models.stream.spec.retraining.gate
    # A candidate of before a rise gains nothing from a short window: that is for the refit, which knows the change.
    window = schedule_terms(stream.spec).window if fit.kind == "alarm" else fit.window
    then = of_window(stream, now - round(gate.holdout * 1_000), window)
    candidate, refit = (
        msgspec.structs.replace(one, shuffled=shuffled) for one in (then, of_window(stream, now, fit.window))
    )
    unlearned = max(_behind(models, candidate), _behind(models, champion))
    rows = slice(unlearned, max(stream.rows(0, now).stop, unlearned))
    places = np.arange(rows.start, rows.stop)[stream.ripe(rows, now)]
    y, blocks = stream.y[places], blocks_of(stream, places)
    theirs, mine = (models.answers(model, rows)[places - rows.start] for model in (champion, candidate))
    skills = {"after both trainings": skill(mine, y, blocks)}
    if not skills["after both trainings"].shown and (own := models.held(candidate).skill) is not None:
        skills["its own holdout"] = own
    metric = stream.spec.model.metric or ""
    found = judge(losses(theirs, y, metric), losses(mine, y, metric), blocks, {}, gate.mode, gate.errors, skills=skills)
    refused = tuple(filter(None, [models.refused(candidate) or models.refused(refit)]))
    return msgspec.structs.replace(found, passed=False, reasons=(*refused, *found.reasons)) if refused else found


def _behind(models: Models, model: Trained) -> int:
    """The place behind the last record that a model has learned from."""
    places = models.learned(model)
    return int(places[-1]) + 1 if len(places) else models.stream.rows(model.begin, model.until).stop
