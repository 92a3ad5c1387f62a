"""The running system in lockstep decides what the backtest decides: alarms, requests, fits, gate and promotions."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.monitor.analyst.fold import Alarm
from shared.core.gate import GateFigures
from shared.core.retraining import Training
from tailrace.backtest.models import Models
from tailrace.backtest.ours import Told, ours
from tailrace.backtest.stream import of_pipeline
from tests.support.changing import DAY, Plan, write
from tests.support.lockstep import Lockstep

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
CLOSE = 1e-5  # losses are means of thousands of logarithms; answers are told as float32 and as float64
PLAN = Plan()


@pytest.fixture
def lockstep(
    kafka: str, mlflow_url: str, tmp_path: Path, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The stream as it was played on the broker, all the way to its end."""
    home = write(tmp_path, unique("changing").replace("-", "_"), PLAN)
    monkeypatch.setenv("TAILRACE_STATE", str(home / "state"))
    monkeypatch.setenv("TAILRACE_CACHE", str(tmp_path / "cache"))
    with ExitStack() as stack:
        rig = Lockstep(home, kafka, mlflow_url, DAY, stack)
        rig.play(PLAN.first)
        yield rig


def day(moment: int) -> float:
    """Days since the first look."""
    return (moment - PLAN.first) / DAY


def test_the_running_system_decides_as_the_backtest(lockstep: Lockstep, tmp_path: Path) -> None:
    """Issue 7: in lockstep both raise the same alarms, ask, fit, judge and promote at the same moments."""
    stream = of_pipeline(str(lockstep.home), tmp_path / "cache", lambda _: None)
    told = ours(Models(stream, tmp_path / "models"), phase=-1)  # the analyst's first look is at the end of a day
    memory, (_, trainings) = lockstep.topics.memory().memory, lockstep.topics.book()
    raised = [one for watch in memory.watches.values() for one in watch.state.alarms]
    assert [alarm(one) for one in sorted(raised, key=lambda one: one.at)] == [alarm(one) for one in told.raised]
    asked = [(one.trigger, day(one.at)) for one in lockstep.topics.requests()]
    assert asked == [(one.trigger, day(one.at)) for one in told.requests]
    made = sorted(trainings.values(), key=lambda one: (one.at, one.number))
    fits = [(one.kind, day(one.at), one.window, one.number, one.state == "done") for one in made]
    assert fits == [(one.kind, day(one.at), one.window, one.number, one.promoted) for one in told.acts]
    for one, act in zip(made, told.acts, strict=True):
        assert_same_gate(one.gate, act.figures)
    assert versions(lockstep, made) == in_force(told)
    print(msgspec.json.encode({"alarms": len(raised), "asked": asked, "fits": fits}).decode())


def alarm(one: Alarm) -> tuple[object, ...]:
    """What is the same of an alarm: the running system numbers its blocks by offsets."""
    return one.kind, day(one.at), one.partition, day(one.since), one.n, round(one.rise, 4), round(one.reference, 4)


def assert_same_gate(running: GateFigures | None, backtest: GateFigures | None) -> None:
    """Both judged on the same labels, and found the same."""
    assert running is not None
    assert backtest is not None
    one, other = running.whole, backtest.whole
    assert (running.passed, one.labels, one.blocks) == (backtest.passed, other.labels, other.blocks)
    assert (one.champion, one.challenger) == pytest.approx((other.champion, other.challenger), abs=CLOSE)
    mine, theirs = (figures.skills["after both trainings"] for figures in (running, backtest))
    assert mine.value == pytest.approx(theirs.value, abs=CLOSE)


def versions(lockstep: Lockstep, trainings: list[Training]) -> list[tuple[float, int]]:
    """Of each version, in the order of promotions: the day of its first record, and how many records it scored."""
    times: dict[str, list[int]] = {}
    for value in lockstep.topics.values("predictions"):
        said = msgspec.json.decode(value)
        times.setdefault(said["version"], []).append(said["event_time"])
    made = ["1", *(one.challenger.version for one in trainings if one.challenger)]
    assert set(times) == set(made)
    return [(day(min(times[version])), len(times[version])) for version in made]


def in_force(told: Told) -> list[tuple[float, int]]:
    """The same of the backtest: a promotion is in force for all records from its look on."""
    ends = [0.0, *(day(act.at) for act in told.acts if act.promoted), float(PLAN.played)]
    return [(begin, round((end - begin) * PLAN.a_day)) for begin, end in pairwise(ends)]
