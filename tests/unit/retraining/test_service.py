"""The retrainer's steps with a ledger in memory: whatever dies at whatever step, one version comes of it, in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from services.retrainer.models_view import ModelsView
from services.retrainer.orders import Order, Outcome
from services.retrainer.service import AGAIN, GRACE, Around, Retrainer
from services.retrainer.showing import CHECKS, Showing
from shared.adapters.kafka.owned import Taken
from shared.core.announcing import next_rollout
from shared.core.errors import Fenced, LogError, Unavailable
from shared.core.gate import Compared, GateFigures
from shared.core.monitor_records import RetrainRequest, Verdict
from shared.core.ports import Block
from shared.core.records import BundleRef, Rollout
from shared.core.retraining import Book, Training
from shared.runtime.health import Health
from shared.testing.clock import ManualClock
from shared.testing.metrics import RecordingMetrics
from tests.support.spec import make_spec

SPEC = make_spec(retraining={"every": None, "follow_ups": []})
NOW, DAY = 1_700_000_000_000, 86_400_000
ONE, TWO = BundleRef("1", "http://x/1", "a" * 64), BundleRef("2", "http://x/2", "b" * 64)
GATE = GateFigures(
    passed=True, judged=True, mode="not_worse", errors=2.0, reasons=(),
    whole=Compared(labels=900, blocks=3, champion=0.5, challenger=0.4, difference=-0.1, error=0.01, limit=0.02),
)  # fmt: skip
PASSED = Outcome("passed", "", "1", GATE, TWO, "run", {"auc": 0.7})


class Died(BaseException):
    """The process ends here."""


@dataclass
class Shared:
    """What outlives a retrainer: the topics, the registry, and who holds the lock."""

    book: Book = field(default_factory=Book)
    told: list[Training] = field(default_factory=list)
    models: list[bytes] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    holder: int = 0
    orders: list[Order] = field(default_factory=list)
    die_at: str = ""
    answer: Outcome | None = PASSED
    away: bool = False
    lost: bool = False

    def dies(self, step: str) -> None:
        """Die here, if it is the step."""
        if step == self.die_at:
            self.die_at = ""
            raise Died(step)


@dataclass
class Ledger:
    """Implements `Ledger`: the transaction is one assignment."""

    shared: Shared
    mine: int = 0

    def open(self) -> Book:
        """Fence the others."""
        self.shared.holder += 1
        self.mine = self.shared.holder
        return self.shared.book

    def write(self, book: Book, trainings: Sequence[Training], blocks: Sequence[Block]) -> None:
        """All or nothing."""
        if self.mine != self.shared.holder:
            raise Fenced("another one")
        names = [one.state for one in trainings]
        for name in names:
            self.shared.dies(f"before {name}")
        if self.shared.lost:
            self.shared.lost = False
            raise LogError("no answer")
        self.shared.book = msgspec.json.decode(msgspec.json.encode(book), type=Book)
        self.shared.told += trainings
        for block in blocks:
            values = [value for value in block.values if value is not None]
            self.shared.verdicts += [msgspec.json.decode(value, type=Verdict) for value in values]
        for name in names:
            self.shared.dies(f"after {name}")


@dataclass
class Topic:
    """`models`, read from where it was left."""

    shared: Shared
    at: int = 0

    def to_end(self) -> Iterable[bytes]:
        """What is new."""
        new, self.at = self.shared.models[self.at :], len(self.shared.models)
        return new

    fresh = to_end


@dataclass
class Work:
    """A training that answers at the second look."""

    shared: Shared
    looked: bool = False
    stopped: bool = False
    stage: tuple[str, str] = ("train", "fitting")

    def result(self) -> Outcome | None:
        """Its answer."""
        if not self.looked:
            self.looked = True
            return None
        return self.shared.answer

    def stop(self) -> None:
        """End."""
        self.stopped = True


@dataclass
class Aliases:
    """The registry."""

    shared: Shared

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Set one."""
        if self.shared.away:
            raise Unavailable("MLflow is away")
        self.shared.dies("before alias")
        self.shared.aliases[alias] = version
        self.shared.dies("after alias")
        del name


@dataclass
class One:
    """A retrainer and what it is seen by."""

    shared: Shared
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW / 1_000))

    def __post_init__(self) -> None:
        self.metrics = RecordingMetrics()
        self.health = Health(self.clock, max_turn_age=90, checks=CHECKS)
        self.works: list[Work] = []
        registry = Aliases(self.shared)

        def launch(order: Order) -> Work:
            self.shared.orders.append(order)
            self.works.append(Work(self.shared))
            self.shared.dies("launched")
            return self.works[-1]

        def announce(ref: BundleRef) -> Rollout:
            known = [msgspec.json.decode(value, type=Rollout) for value in self.shared.models]
            rollout = next_rollout(SPEC.name, known, ref, NOW)
            if rollout not in known:
                self.shared.models.append(msgspec.json.encode(rollout))
            self.shared.dies("announcing")
            return rollout

        around = Around(
            Ledger(self.shared), ModelsView(SPEC.name, Topic(self.shared)), launch, lambda: registry, announce,
            Showing(self.health, self.metrics), self.clock, "parcels",
        )  # fmt: skip
        self.retrainer = Retrainer(SPEC, around)
        self.starts = self.retrainer.begin()

    def turns(self, *taken: Taken, n: int = 8) -> "One":
        """So many turns, the first one with what came."""
        for i in range(n):
            self.retrainer.turn(taken if i == 0 else (), whole=True)
            self.clock.advance(AGAIN + 1 if n > 1 else 1)
        return self


def in_force() -> Shared:
    """Version 1 scores."""
    return Shared(models=[msgspec.json.encode(Rollout(SPEC.name, 1, ONE, "active"))])


def request(offset: int = 0, id_: str = "a", **changes: object) -> Taken:
    """A request as it is read."""
    one = RetrainRequest(id=id_, pipeline=SPEC.name, version="1", trigger="errors", block="0", at=NOW, reasons=())
    return Taken(f"{SPEC.name}.retrain", offset, msgspec.json.encode(msgspec.structs.replace(one, **changes)))


def verdict(offset: int, at: int) -> Taken:
    """A verdict as it is read."""
    one = Verdict(version="1", metric="auc", trigger="quality", verdict="ok", n=1, window=(at, at), since=at, at=at)
    return Taken(f"{SPEC.name}.verdicts", offset, msgspec.json.encode(one))


def rollouts(shared: Shared) -> dict[int, tuple[str, str]]:
    """What `models` says in the end."""
    values = [msgspec.json.decode(value, type=Rollout) for value in shared.models]
    return {one.epoch: (one.champion.version, one.state) for one in values}


STEPS = (
    *("before running", "after running", "launched", "before passed", "after passed", "announcing"),
    *("before announced", "after announced", "before alias", "after alias", "before done", "after done"),
)


@pytest.mark.parametrize("step", STEPS)
def test_dead_at_any_step_it_goes_on_there(step: str) -> None:
    """F43: the next life begins where the last one was written down; one version, announced once, then named."""
    shared = in_force()
    shared.die_at = step
    with pytest.raises(Died):
        One(shared).turns(request())
    while shared.book.running or shared.book.waiting or shared.book.requests < 0:
        again = One(shared)
        again.turns(*([request()] if again.starts[f"{SPEC.name}.retrain"] == 0 else []))
    assert [one.state for one in shared.told if one.state != "running"] == ["passed", "announced", "done"]
    assert rollouts(shared) == {1: ("1", "active"), 2: ("2", "announced")}
    assert shared.aliases == {"challenger": "2"}
    assert [(one.version, one.trigger, one.verdict, one.n) for one in shared.verdicts] == [("2", "gate", "ok", 900)]
    assert {order.champion for order in shared.orders} == {ONE}


def test_twins_are_one() -> None:
    """F44: the second one fences the first, which ends; nothing is done twice."""
    shared = in_force()
    first = One(shared).turns(request(), n=2)
    second = One(shared)
    with pytest.raises(Fenced):
        first.turns(n=8)
    second.turns()
    assert [one.state for one in shared.told if one.state != "running"] == ["passed", "announced", "done"]
    assert rollouts(shared) == {1: ("1", "active"), 2: ("2", "announced")}


@pytest.mark.parametrize("state", ["refused", "failed"])
def test_no_is_an_answer(state: str) -> None:
    """A refusal stands on `trainings` and as a verdict on the champion, a failure on `trainings` alone."""
    shared = in_force()
    shared.answer = Outcome(state, "worse than the champion", "1", None)  # type: ignore[arg-type] # one of its states
    found = One(shared).turns(request())
    assert shared.told[-1].state == state
    assert shared.book.running is None
    assert rollouts(shared) == {1: ("1", "active")}
    assert [(one.version, one.verdict) for one in shared.verdicts] == ([("1", "warn")] if state == "refused" else [])
    assert found.metrics.counted("tailrace_trainings_total", state) == 1


def test_a_registry_that_is_away_is_waited_for() -> None:
    """Announced and not yet named: it says so, is not ready, and goes on by itself."""
    shared = in_force()
    shared.away = True
    found = One(shared).turns(request())
    assert shared.told[-1].state == "announced"
    assert not found.health.ready()
    assert found.health.checks()["registry"].detail == "MLflow is away"
    shared.away = False
    found.turns(n=1)
    assert (shared.told[-1].state, shared.aliases) == ("done", {"challenger": "2"})
    assert found.health.ready()


def test_a_training_that_waits_is_not_ready() -> None:
    """What its process waits for stands at `/ready`."""
    shared = in_force()
    shared.answer = None
    found = One(shared).turns(request(), n=2)
    found.works[0].stage = ("waiting", "MLflow at http://x: refused")
    found.turns(n=1)
    check = found.health.checks()["training"]
    assert (check.ok, check.detail) == (False, "a: waiting: MLflow at http://x: refused")


def test_a_lost_answer_is_asked_for() -> None:
    """Whether a write arrived is not known: the ledger is opened again, and the training goes on."""
    shared = in_force()
    found = One(shared).turns(request(), n=2)
    shared.lost = True
    found.turns(n=9)
    assert [one.state for one in shared.told if one.state != "running"] == ["passed", "announced", "done"]


def test_requests_wait_until_event_time_is_known() -> None:
    """B37: verdicts are read to their end first, so that what lies in the future is told from what does not."""
    shared = in_force()
    far = request(0, "far", at=NOW + 40 * DAY)
    found = One(shared)
    found.retrainer.turn((far,), whole=False)
    assert shared.told == []
    found.retrainer.turn((verdict(0, NOW), Taken(f"{SPEC.name}.verdicts", 1, b"{")), whole=True)
    assert shared.book.refused == {}
    found.clock.advance(GRACE)
    found.retrainer.turn((), whole=True)
    assert shared.book.refused == {"future": 1}
    assert found.metrics.counted("tailrace_requests_refused_total", "future") == 1
    found.turns(verdict(2, NOW + 40 * DAY), request(1, "now", at=NOW + 40 * DAY))
    assert [one.id for one in shared.told if one.state == "done"] == ["now"]
    late = NOW + 90 * DAY
    found.turns(request(2, "late", at=late), n=1).turns(verdict(3, late))
    assert [one.id for one in shared.told if one.state == "done"] == ["now", "late"]


def test_without_a_version_in_force_nothing_is_trained() -> None:
    """The first version is made by `tailrace train`; until then requests name a version that does not exist."""
    shared = Shared()
    One(shared).turns(request())
    assert (shared.orders, shared.book.refused) == ([], {"version": 1})


def test_event_time_is_kept_without_a_request() -> None:
    """Offsets of verdicts are written once in a while, so that a start does not read a year."""
    shared = in_force()
    One(shared).turns(verdict(7, NOW))
    assert (shared.book.verdicts, shared.book.now) == (7, NOW)
    assert One(shared).starts[f"{SPEC.name}.verdicts"] == 8
