"""When records wait for the loop to close: the monitor's look, a training, a version on its way."""

from dataclasses import dataclass, field

import msgspec
import pytest

from services.ingest.replay.retraining import ASK_EVERY, MONITOR, PATIENCE, RetrainingGate
from shared.core.errors import Unavailable
from shared.core.monitor_records import WindowFigures
from shared.core.records import BundleRef, Rollout
from shared.core.retraining import Book, State, Training
from shared.core.schedule import Fit, Schedule
from shared.testing.clock import ManualClock

DAY = 86_400_000
AHEAD = 3 * DAY


@dataclass
class Topics:
    """What a test puts on the topics."""

    last: int = -1
    said: dict[str, list[bytes]] = field(default_factory=dict)
    down: bool = False

    def put(self, topic: str, *values: object) -> None:
        """Append values."""
        self.said.setdefault(topic, []).extend(msgspec.json.encode(value) for value in values)

    def requests(self) -> int:
        """The last offset."""
        if self.down:
            raise Unavailable("no answer")
        return self.last

    def trainings(self) -> list[bytes]:
        """What is new."""
        return self.said.pop("trainings", [])

    def verdicts(self) -> list[bytes]:
        """What is new."""
        return self.said.pop("verdicts", [])

    def models(self) -> list[bytes]:
        """What is new."""
        return self.said.pop("models", [])

    def close(self) -> None:
        """Nothing is open."""


def ref(version: str) -> BundleRef:
    """A bundle."""
    return BundleRef(version, "file:///x", "d")


def training(state: State, version: str = "") -> Training:
    """A training in a state, and what came of it."""
    made = ref(version) if version else None
    return Training(id="a", request="a", trigger="schedule", state=state, at=DAY, challenger=made)


@dataclass
class Stage:
    """A gate on topics, and a clock."""

    topics: Topics = field(default_factory=Topics)
    clock: ManualClock = field(default_factory=ManualClock)
    trainings: int = 1

    def __post_init__(self) -> None:
        """The version in force is 1, and the monitor has seen day 10."""
        self.gate = RetrainingGate(self.topics, self.clock, AHEAD, self.trainings)
        self.topics.put("models", Rollout("shop", 1, ref("1"), "active"))
        self.topics.put("verdicts", WindowFigures(version="1", window=9 * DAY, span=DAY, at=10 * DAY, observed=0,
                                                  labelled=0))  # fmt: skip

    def shut(self, day: float = 11) -> str:
        """Why records of that day wait, asked anew."""
        self.clock.advance(2 * ASK_EVERY)
        return self.gate.shut(round(day * DAY))


def test_a_broker_that_does_not_answer_is_told() -> None:
    """The replay waits and says so; it does not go on as if there were no training."""
    stage = Stage()
    stage.topics.down = True
    with pytest.raises(Unavailable):
        stage.shut()


def test_whoever_says_nothing_is_waited_for_so_long() -> None:
    """A training that nobody works on holds records for a minute, and not for ever."""
    stage = Stage()
    stage.topics.last = 0
    assert "not taken in" in stage.shut()
    stage.clock.advance(PATIENCE)
    assert stage.shut() == ""


def test_a_training_takes_as_long_as_it_takes() -> None:
    """While it is under way nothing is said of it on the topics; how long a replay waits at all is said elsewhere."""
    stage = Stage()
    stage.topics.put("trainings", Book(requests=0, running=training("running")))
    assert "under way" in stage.shut()
    stage.clock.advance(PATIENCE)
    assert "under way" in stage.shut()


def test_a_request_holds_until_its_version_came_into_force() -> None:
    """Asked, in training, registered, announced by the plan, active: only the last lets records go on."""
    stage = Stage()
    assert stage.shut() == ""
    stage.topics.last = 0
    assert "not taken in" in stage.shut()
    stage.topics.put("trainings", Book(requests=0, running=training("running")), training("running"))
    assert "under way" in stage.shut()
    stage.topics.put("models", Rollout("shop", 2, ref("2"), "announced"))
    stage.topics.put("trainings", Book(requests=0), training("done", "2"))
    assert "version 2 is on its way" in stage.shut()
    stage.topics.put("models", Rollout("shop", 3, ref("2"), "announced", plan="trial"))
    assert "version 2 is on its way" in stage.shut()
    stage.topics.put("models", Rollout("shop", 3, ref("2"), "active", plan="trial"))
    assert stage.shut() == ""


def test_a_follow_up_whose_time_has_come_holds_as_a_request_does() -> None:
    """Nobody asks for it: the book says when it is due, by the event time that the monitor has come to."""
    stage = Stage()
    soon, later = Fit("follow_up", 10 * DAY, None, "a", 1), Fit("follow_up", 12 * DAY, None, "a", 2)
    stage.topics.put("trainings", Book(schedule=Schedule(pending=(later,))))
    assert stage.shut() == ""
    stage.topics.put("trainings", Book(schedule=Schedule(pending=(soon, later))))
    assert "about to begin" in stage.shut()
    stage.topics.put("trainings", Book(schedule=Schedule(pending=(soon, later)), faults={"label_outage": 0}))
    assert stage.shut() == "", "a fault holds the training back, and ends with records"
    stage.topics.put("trainings", Book(schedule=Schedule(pending=(later,))))
    assert stage.shut() == ""


def test_the_request_of_a_look_is_known_with_the_look() -> None:
    """What was published between two questions counts for both: verdicts are asked for first."""
    asked: list[str] = []

    class Ordered(Topics):
        def requests(self) -> int:
            asked.append("requests")
            return super().requests()

        def verdicts(self) -> list[bytes]:
            asked.append("verdicts")
            return super().verdicts()

    Stage(topics=Ordered()).shut()
    assert asked == ["verdicts", "requests"]


def test_a_version_behind_another_trial_holds_nothing() -> None:
    """The trial's steps last for so much event time: held back, neither would ever end."""
    stage = Stage(trainings=2)
    stage.topics.put("trainings", Book(requests=0), training("done", "2"))
    assert "version 2 is on its way" in stage.shut()
    stage.topics.put("models", Rollout("shop", 4, ref("1"), "active", "", 0, ref("9"), "shadow", 0.0, "trial"))
    assert stage.shut() == ""
    stage.topics.put("models", Rollout("shop", 4, ref("1"), "revoked", "", 0, ref("9"), "shadow", 0.0, "trial"))
    assert "version 2 is on its way" in stage.shut()


@pytest.mark.parametrize("state", ["refused", "failed"])
def test_a_training_without_a_version_is_over_at_once(state: State) -> None:
    """What the gate refused, or what failed, brings nothing to wait for."""
    stage = Stage(trainings=2)
    stage.topics.put("trainings", Book(requests=-1), training(state))
    assert stage.shut() == ""


def test_a_fault_that_holds_a_training_back_does_not_hold_records_back() -> None:
    """The fault ends with records and labels to come: waiting for it would be for ever."""
    stage = Stage()
    waiting = Fit("clock", DAY, None, "a")
    stage.topics.put("trainings", Book(waiting=waiting))
    assert "about to begin" in stage.shut()
    stage.topics.put("trainings", Book(waiting=waiting, faults={"label_outage": DAY}))
    assert stage.shut() == ""


def test_records_stay_abreast_of_the_monitor() -> None:
    """They go on by so much beyond what it has looked at, and further when it has looked further."""
    stage = Stage()
    assert stage.shut(13) == ""
    assert "monitor has looked" in stage.shut(13.5)
    stage.topics.put("verdicts", WindowFigures(version="1", window=10 * DAY, span=DAY, at=11 * DAY, observed=0,
                                               labelled=0))  # fmt: skip
    assert stage.shut(13.5) == ""


def test_a_monitor_that_says_nothing_is_not_waited_for_long() -> None:
    """Of few records, or without one, there is nothing to say."""
    stage = Stage()
    assert "monitor has looked" in stage.shut(20)
    stage.clock.advance(MONITOR)
    assert stage.shut(20) == ""


def test_after_so_many_trainings_it_stays_open() -> None:
    """What comes later is not waited for, nor is the monitor."""
    stage = Stage()
    stage.topics.put("trainings", Book(requests=0), training("refused"))
    stage.topics.last = 5
    assert stage.shut(100) == ""
