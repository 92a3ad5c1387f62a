"""The retrainer at work: takes requests and verdicts as they come, and brings one training at a time to its end.

Every step is written down before the next one begins, and each may be done again. So whoever dies at any of them, the
next one goes on there, and one that wakes from a freeze can record nothing any more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from services.retrainer.launch import Launch, Work
from services.retrainer.ledger import Ledger
from services.retrainer.models_view import ModelsView
from services.retrainer.orders import Order, Outcome
from services.retrainer.showing import Showing
from shared.adapters.kafka.owned import Taken
from shared.core.errors import Fenced, Invalid, LogError, Unavailable, UserError
from shared.core.monitor_records import Verdict, WindowFigures, verdict_key
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Block, Clock
from shared.core.records import BundleRef, Rollout
from shared.core.registry import CHALLENGER
from shared.core.retraining import (
    Book,
    Bounds,
    Training,
    asked,
    begun,
    checked,
    heard,
    moved,
    refused,
    taken_over,
    verdict_of,
)
from shared.core.schedule import schedule_terms
from shared.core.topics import topic
from shared.runtime.logs import get_logger

AGAIN = 5.0  # s between tries at a registry that is away
KEEP = 10.0  # s after which event time alone is worth writing down
GRACE = 5.0  # s that a request from the future waits for the verdicts that were said with it
_encode = msgspec.json.Encoder().encode


class Aliases(Protocol):
    """The registry, as far as the last step needs it; `shared.adapters.mlflow_models.Registry` is one."""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias name a version. Raises `Unavailable`; `UserError` where there is no such version."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the retrainer works with. `mark` is called at each named step; `registry` makes the registry's client.

    `announce` says in `models` that a version is ready, in its turn among all who make epochs.
    """

    ledger: Ledger
    models: ModelsView
    launch: Launch
    registry: Callable[[], Aliases]
    announce: Callable[[BundleRef], Rollout]
    showing: Showing
    clock: Clock
    pipeline: str
    mark: Callable[[str], None] = lambda _: None


class Retrainer:
    """One pipeline's.

    Args:
        spec: the pipeline.
        around: what it works with.
    """

    def __init__(self, spec: PipelineSpec, around: Around) -> None:
        self._spec, self._around, self._terms = spec, around, schedule_terms(spec)
        self._retrain, self._verdicts = topic(spec.name, "retrain"), topic(spec.name, "verdicts")
        self._book: Book | None = None
        self._written = Book()
        self._written_at = self._tried_at = float("-inf")
        self._queue: list[tuple[int, bytes, float]] = []  # offset, value, when it came
        self._work: Work | None = None
        self._began = 0.0
        self._decode = msgspec.json.Decoder(Verdict | WindowFigures).decode
        self._log = get_logger("retrainer")

    def begin(self) -> Mapping[str, int]:
        """The partitions were won: fence whoever was here, and say from where to read.

        Raises:
            LogError: the ledger cannot be opened now.
            Unavailable: the broker does not answer.
        """
        book = self._open()
        self._around.showing.owns(owns=True)
        self._log.info("takes over", requests=book.requests, running=book.running.id if book.running else "")
        return {self._retrain: book.requests + 1, self._verdicts: book.verdicts + 1}

    def gone(self) -> None:
        """Another one works: a training in hand is not ours any more."""
        self._stop()
        self._book = None
        self._queue.clear()
        self._around.showing.owns(owns=False)
        self._log.info("another one works")

    def turn(self, taken: Sequence[Taken], *, whole: bool) -> None:
        """Take in what came, decide once all of it is known, and go one step on with the training in hand.

        Raises:
            Fenced: another one has taken the ledger over: whoever is told so ends, and may come again.
        """
        try:
            book = self._book if self._book is not None else self._open()
            for one in taken:
                if one.topic == self._verdicts:
                    book = self._heard(book, one)
                elif one.offset > book.requests:
                    self._queue.append((one.offset, one.value, self._around.clock.monotonic()))
            self._book = book
            if whole and self._queue:
                self._decide()
            # A follow-up may be due at the very moment of a request that is not read yet: that one goes first.
            if whole or self._known().running is not None:
                self._advance()
            self._keep()
        except Fenced:
            self._stop()
            raise
        except (LogError, Unavailable) as error:
            self._book = None  # whether it was written is not known: the ledger is asked at the next turn
            self._log.warning("a turn failed and comes again", error=str(error))
        self._around.showing.turned()

    def stop(self) -> None:
        """End: a training in hand is begun again by whoever comes next."""
        self._stop()

    def _open(self) -> Book:
        self._around.models.refresh()
        self._book = self._written = self._around.ledger.open()
        self._queue = [one for one in self._queue if one[0] > self._book.requests]
        if self._work is not None and self._book.running is None:
            self._stop()
        return self._book

    def _heard(self, book: Book, one: Taken) -> Book:
        try:
            return heard(book, one.offset, self._decode(one.value))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._log.warning("a verdict cannot be read and is left out", error=str(error))
            return book

    def _decide(self) -> None:
        """On every request that came, in their order; answers and offsets go out at once."""
        self._around.models.refresh()
        book, answers, left = self._known(), list[Training](), list(self._queue)
        horizon = round(self._spec.labels.horizon * 1_000)
        bounds = Bounds(self._spec.name, self._around.models.versions(), horizon)
        for offset, value, came in self._queue:
            try:
                request = checked(value, bounds, book.now or round(self._around.clock.time() * 1_000))
            except Invalid as error:
                if error.reason == "future" and self._around.clock.monotonic() - came < GRACE:
                    break  # a request and its verdicts are on two topics: one may be read before the other
                book = self._no_request(book, offset, error)
            else:
                book, answer = asked(book, offset, request, self._terms)
                answers += [msgspec.structs.replace(answer, changed=self._now())] if answer is not None else []
            left.pop(0)
        if book != self._known():
            self._write(book, answers)
        self._queue = left
        for answer in answers:
            self._around.showing.ended(answer, 0.0)
            self._log.info("a request gets no training now", id=answer.id, reason=answer.reason)

    def _no_request(self, book: Book, offset: int, error: Invalid) -> Book:
        self._around.showing.refused(error.reason)
        self._log.warning("a request is refused", reason=error.reason, detail=error.detail, offset=offset)
        return refused(book, offset, error.reason)

    def _advance(self) -> None:
        book, training = begun(self._known(), self._terms)
        self._around.showing.holds(book, self._work.stage if self._work else None)
        if training is None:
            return
        self._book = book
        if training.state == "running":
            self._train(training)
        elif training.state == "passed":
            self._announce(training)
        else:
            self._name(training)

    def _train(self, training: Training) -> None:
        if self._work is not None:
            outcome = self._work.result()
            if outcome is not None:
                self._work = None
                self._judged(training, outcome)
            return
        self._around.models.refresh()
        champion = self._around.models.champion()
        if champion is None:
            return  # nothing is in force: `tailrace train` makes the first version
        ours = self._moved(taken_over(training), champion=champion.version)
        self._write(moved(self._known(), ours, self._terms), [ours])
        if ours.state == "failed":
            self._ended(ours)
            return
        self._began = self._around.clock.monotonic()
        self._log.info("trains", id=ours.id, trigger=ours.trigger, attempt=ours.attempts, beside=champion.version)
        self._work = self._around.launch(Order(ours, self._around.pipeline, champion, self._known().spoiled))

    def _judged(self, training: Training, outcome: Outcome) -> None:
        ours = self._moved(
            training, state=outcome.state, reason=outcome.reason, champion=outcome.champion or training.champion,
            gate=outcome.gate, challenger=outcome.challenger, run_id=outcome.run_id, figures=outcome.figures,
        )  # fmt: skip
        said = verdict_of(ours)
        blocks = [Block(self._verdicts, [verdict_key(said)], [_encode(said)])] if ours.state != "failed" else []
        self._write(moved(self._known(), ours, self._terms), [ours], blocks)
        self._around.showing.judged(ours)
        self._log.info("judged", id=ours.id, answer=ours.state, reason=ours.reason)
        if ours.state != "passed":
            self._ended(ours)

    def _announce(self, training: Training) -> None:
        ref = training.challenger
        if ref is None:
            raise UserError(f"training {training.id} passed without a version", remedy="report this as a bug")
        rollout = self._around.announce(ref)  # the same again where it was announced before
        self._around.mark("announce")
        ours = self._moved(training, state="announced", epoch=rollout.epoch)
        self._write(moved(self._known(), ours, self._terms), [ours])
        self._log.info("announced", id=ours.id, version=ref.version, epoch=rollout.epoch)

    def _name(self, training: Training) -> None:
        """The registry's alias is the wish that the rollout follows: once it is set, the training is done."""
        now, ref = self._around.clock.monotonic(), training.challenger
        if ref is None or now - self._tried_at < AGAIN:
            return
        try:
            self._around.registry().set_alias(self._spec.name, CHALLENGER, ref.version)
        except Unavailable as error:
            self._tried_at = now
            self._around.showing.registry(str(error))
            return
        except UserError as error:
            ours = self._moved(training, state="failed", reason=str(error))
        else:
            ours = self._moved(training, state="done")
            self._around.mark("alias")
        self._around.showing.registry("")
        self._write(moved(self._known(), ours, self._terms), [ours])
        self._ended(ours)

    def _ended(self, training: Training) -> None:
        self._around.showing.ended(training, self._around.clock.monotonic() - self._began if self._began else 0.0)
        self._log.info("ended", id=training.id, answer=training.state, reason=training.reason)

    def _write(self, book: Book, trainings: Sequence[Training], blocks: Sequence[Block] = ()) -> None:
        self._around.ledger.write(book, trainings, blocks)
        self._book = self._written = book
        self._written_at = self._around.clock.monotonic()

    def _keep(self) -> None:
        """Event time and offsets of verdicts alone are written once in a while."""
        if self._book != self._written and self._around.clock.monotonic() - self._written_at >= KEEP:
            self._write(self._known(), ())

    def _known(self) -> Book:
        if self._book is None:
            raise LogError("the ledger is not open")
        return self._book

    def _moved(self, training: Training, **changes: object) -> Training:
        return msgspec.structs.replace(training, changed=self._now(), **changes)

    def _now(self) -> int:
        return round(self._around.clock.time() * 1_000)

    def _stop(self) -> None:
        if self._work is not None:
            self._work.stop()
            self._work = None
