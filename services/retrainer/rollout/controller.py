"""One turn of the controller: look at everything, decide, and do one thing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import msgspec

from services.retrainer.rollout.books import Change
from services.retrainer.rollout.cards import Cards
from services.retrainer.rollout.control import ANSWER, RolloutControl
from services.retrainer.rollout.decide import GONE_MS, overdue, previous, unsettled, versions_of
from services.retrainer.rollout.evidence import Evidence, evidence, live
from services.retrainer.rollout.plan import next_move, pending, trial_of
from services.retrainer.rollout.references import References
from services.retrainer.rollout.steps import Terms
from services.retrainer.rollout.verdict import verdict_of
from services.retrainer.rollout.view import Move, View
from services.retrainer.rollout.vitals import Vitals
from services.retrainer.rollout.watch import RegistryWatch
from services.retrainer.rollout.wishes import agreed, corrections
from shared.core.metrics import Metrics
from shared.core.monitor_records import Verdict
from shared.core.plans import PlanState
from shared.core.records import Heartbeat, Rollout
from shared.core.rollout import RolloutTable
from shared.runtime.logs import get_logger

FIRST_MS, LONGEST_MS = 5_000, 300_000
"""A barrier that no worker has passed is written again after five seconds, then ever more seldom: with a backlog it
waits its turn, and a second one of the same epoch changes nothing."""
SAY_MS = 5_000  # between two words about the same thing


class Controller:
    """Brings versions into force by the plan, and takes them back.

    Args:
        terms: of the pipeline.
        control: writes epochs and barriers, fences workers.
        cards: gives what is new on `scorecards`.
        watch: of the registry.
        references: of the versions' scores.
        metrics: see `shared.core.rollout_metrics`.
        say: sends a verdict and does not wait.
    """

    def __init__(
        self,
        terms: Terms,
        control: RolloutControl,
        cards: Callable[[], Iterable[bytes]],
        watch: RegistryWatch,
        references: References,
        metrics: Metrics,
        say: Callable[[Verdict], None],
    ) -> None:
        self._terms, self._control, self._read, self._watch = terms, control, cards, watch
        self._references, self._metrics, self._say = references, metrics, say
        self._cards, self._vitals = Cards(), Vitals()
        self._due: dict[int, tuple[int, int]] = {}
        self._said: tuple[int, str] = (0, "")
        self._fenced: set[tuple[str, int]] = set()
        self._log = get_logger("rollout")

    def turn(self) -> Move:
        """Look, decide, and do one thing.

        Raises:
            LogError: another controller was faster, or Kafka does not answer; the next turn looks again.
            Unavailable: Kafka does not answer.
        """
        self._cards.take(self._read())
        view = self._view(self._control.books.table(), self._control.books.state(), self._control.heartbeats())
        self._complete(view)
        self._insist(view)
        move = next_move(view, self._terms)
        if move.kind in ("rest", "hold"):
            self._hold(view, move)
            self._correct(view)
        else:
            self._do(view, move)
        return move

    def _view(self, table: RolloutTable, state: PlanState, heartbeats: Sequence[Heartbeat]) -> View:
        force, now = table.newest_active(), self._control.now()
        self._vitals.take(heartbeats, now)
        late = [] if force is None else unsettled(force.epoch, table, self._control.notes())
        found = None if force is None else self._found(trial_of(table, force) or force, table)
        return View(table, state, self._watch.wish, heartbeats, late, found, now)

    def _found(self, rollout: Rollout, table: RolloutTable) -> Evidence:
        if rollout.challenger is None:
            self._vitals.begin("")
            return live(self._terms.spec, rollout, self._cards, self._vitals, previous(table))
        self._vitals.begin(rollout.challenger.version)
        known = self._references.of((rollout.champion, rollout.challenger))
        return evidence(self._terms.spec, rollout, self._cards, self._vitals, known)

    def _do(self, view: View, move: Move) -> None:
        """Write it, if nothing has changed that it was decided on; then what follows from it."""

        def decide(table: RolloutTable, state: PlanState) -> Change:
            force = table.newest_active()
            late = [] if force is None else unsettled(force.epoch, table, self._control.notes())
            again = next_move(replace(view, table=table, state=state, late=late), self._terms)
            same = (again.kind, again.version) == (move.kind, move.version)
            return Change(again.rollouts, again.state, verdict_of(again, view)) if same else Change()

        change = self._control.books.write(decide)
        if not change:
            return
        self._log.info(move.kind, version=move.version, reason=move.reason)
        self._metrics.count("tailrace_rollout_moves_total", move=move.kind)
        self._follow_up(move, change)

    def _follow_up(self, move: Move, change: Change) -> None:
        if move.signal:
            self._metrics.count("tailrace_rollbacks_total", reason=move.signal)
        if move.kind == "activate":
            active = change.rollouts[0]
            self._due[active.epoch] = (self._control.now() + FIRST_MS, FIRST_MS)
            self._control.barriers(active, self._control.books.table())
        elif move.kind == "withdraw":
            gone = {r.epoch for r in change.rollouts}
            lost = self._control.gone(gone)
            self._fenced |= {(worker, epoch) for worker in lost for epoch in gone}
            self._log.warning("withdrawn", version=move.version, fenced=lost)

    def _complete(self, view: View) -> None:
        """Write barriers again that may never have been written: the controller before may have died between two."""
        force = view.table.newest_active()
        if force is None:
            return
        self._metrics.gauge("tailrace_rollout_epoch", force.epoch)
        trial = trial_of(view.table, force)
        self._metrics.gauge("tailrace_rollout_step", 0 if trial is None else trial.step + 1)
        due, pause = self._due.get(force.epoch, (0, FIRST_MS // 2))
        if view.late and view.now >= due:
            pause = min(2 * pause, LONGEST_MS)
            self._due = {force.epoch: (view.now + pause, pause)}
            self._control.barriers(force, view.table, view.late)

    def _insist(self, view: View) -> None:
        """Fence who has not answered a revocation: by hand, or of a controller that died before it could."""
        recent = any(view.now - r.changed_at < GONE_MS for r in view.table if r.state == "revoked")
        if not recent:
            return
        late = overdue(view.table, view.heartbeats, self._control.notes(), view.now, round(ANSWER * 1_000))
        for worker in sorted({worker for worker, epoch in late if (worker, epoch) not in self._fenced}):
            self._control.fence(worker)
        self._fenced |= late

    def _hold(self, view: View, move: Move) -> None:
        """Say why nothing happens, when the reason is new."""
        at, words = self._said
        if move.kind == "rest" or move.reason == words or view.now - at < SAY_MS:
            return
        self._said = (view.now, move.reason)
        self._log.info("hold", version=move.version, reason=move.reason)
        for verdict in verdict_of(move, view):
            self._say(verdict)

    def _correct(self, view: View) -> None:
        """Tell the registry what is so, as of now."""
        if view.wish is None:
            return
        state = view.state
        if champion := agreed(view.table, state, view.wish):
            kept = msgspec.structs.replace(state, champion=champion)
            self._control.books.write(lambda _, newest: Change((), kept) if newest == state else Change())
            state = kept
        self._watch.correct(corrections(view.table, state, view.wish, _busy(view.table)), view.wish)


def _busy(table: RolloutTable) -> str:
    """The version on trial, or about to be."""
    force = table.newest_active()
    if force is None:
        return ""
    waiting, trial = pending(table, force), trial_of(table, force)
    for one in (waiting, trial):
        if one is not None and one.plan == "trial":
            return versions_of(one)[-1]
    return ""
