"""The loop's smaller parts alone: isolating poison, counting aborts, the watchdog, the time-outs."""

import subprocess
import sys
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import reasons
from shared.core.errors import Unavailable, UserError
from shared.core.ports import Part, Result
from shared.core.records import Position
from shared.runtime.aborts import Aborts
from shared.runtime.isolate import isolate
from shared.runtime.settings import LoopSettings
from shared.runtime.timeouts import check_timeouts
from shared.runtime.watchdog import EXIT_CODE, Watchdog
from shared.testing.clock import ManualClock
from shared.testing.log import MemoryMessage
from tests.support.loops import score


def part(text: str) -> Part:
    """One record a character; `p` is poison, `b` bad."""
    bodies = {"p": b"poison", "b": b"bad", ".": b"x"}
    messages = [MemoryMessage(Position("in", 0, i), b"k", bodies[c]) for i, c in enumerate(text)]
    return Part(messages, [None] * len(messages), 1)


@given(st.text("...pb", min_size=1, max_size=40))
def test_isolation_finds_exactly_the_poison(text: str) -> None:
    """Whatever stands where: the poison is rejected, the rest is as if it had never been there, in order."""
    result = isolate(score, part(text))
    lines = [line for block in result.blocks for line in block.values]
    assert lines == [b"0 %d 1" % i for i, c in enumerate(text) if c == "."]
    fates = sorted((r.message.offset(), r.reason) for r in result.rejects)
    assert fates == [(i, reasons.POISON if c == "p" else "wrong_type") for i, c in enumerate(text) if c in "pb"]


def test_poison_is_found_in_few_runs() -> None:
    """One in a thousand costs about two runs a halving, not one a record."""
    runs: list[int] = []

    def step(part: Part) -> Result:
        runs.append(len(part.messages))
        return score(part)

    isolate(step, part("." * 500 + "p" + "." * 499))
    assert len(runs) <= 21


def test_poison_says_where_and_not_what() -> None:
    """The error's own words may quote the record, so the detail is its type and its place."""
    detail = isolate(score, part("p")).rejects[0].detail
    assert detail.startswith("ValueError in score (loops.py:")
    assert "poison" not in detail


def test_what_is_nobodys_fault_passes_through() -> None:
    """An outage makes no dead letters."""

    def step(part: Part) -> Result:
        raise Unavailable(f"{len(part.messages)} records wait")

    with pytest.raises(Unavailable):
        isolate(step, part(".."))


def batch(**firsts: int) -> list[MemoryMessage]:
    """Two records of each partition, from these offsets on (`p0=5`)."""
    places = [(int(name[1:]), first + i) for name, first in firsts.items() for i in (0, 1)]
    return [MemoryMessage(Position("in", p, o), b"k", b"x") for p, o in places]


def test_two_aborts_split_the_batch_and_the_third_names_the_guilty() -> None:
    """Suspects are tried alone; who aborts alone is guilty, and nobody else."""
    aborts, whole = Aborts(), batch(p0=0, p1=5)
    assert aborts.portions(whole) == [whole]
    assert (aborts.failed(whole), aborts.portions(whole)) == ({}, [whole])
    assert aborts.failed(whole) == {}
    first, second = aborts.portions(whole)
    aborts.clear([0])
    assert aborts.failed(second) == {1: 5}
    assert {m.partition() for m in first} == {0}


def test_another_offset_begins_to_count_anew() -> None:
    """Progress, however it came, is not one abort after another at one offset."""
    aborts = Aborts()
    for offset in range(10):
        assert aborts.failed(batch(p0=offset, p1=0)).get(0) is None
    assert aborts.portions([]) == []


def watchdog() -> tuple[Watchdog, ManualClock, list[str]]:
    """A watchdog with a budget of 10 s, and what it bit."""
    clock = ManualClock()
    bitten: list[str] = []
    return Watchdog(clock, 10.0, bitten.append), clock, bitten


def look(dog: Watchdog, clock: ManualClock, seconds: float) -> None:
    """Look every half second."""
    for _ in range(int(seconds * 2)):
        clock.advance(0.5)
        dog.look()


def test_watchdog_bites_a_step_that_overruns() -> None:
    """Within the budget nothing happens; beyond it the step is named."""
    dog, clock, bitten = watchdog()
    with dog.step("transaction"):
        look(dog, clock, 10)
        assert bitten == []
        look(dog, clock, 0.5)
        assert bitten == ["transaction"]


def test_watchdog_forgets_a_step_that_ended() -> None:
    """Also where it ended with an error; each step has a budget of its own."""
    dog, clock, bitten = watchdog()
    with pytest.raises(Unavailable), dog.step("a"):
        raise Unavailable("x")
    look(dog, clock, 100)
    for _ in range(5):
        with dog.step("b"):
            look(dog, clock, 8)
    assert bitten == []


def test_frozen_process_gets_its_time_back() -> None:
    """A stop of the whole process is no fault of the step; a step that hangs on after it is bitten all the same."""
    dog, clock, bitten = watchdog()
    with dog.step("transaction"):
        look(dog, clock, 5)
        clock.advance(3_600)
        dog.look()
        look(dog, clock, 4.5)
        assert bitten == []
        look(dog, clock, 1)
        assert bitten != []


def test_watchdog_ends_the_process_for_good() -> None:
    """F6: a step that cannot be interrupted: exit code 70 and one line that names it."""
    program = (
        "import threading; from shared.runtime import watchdog as w; from shared.runtime.clock import SystemClock\n"
        "w.TICK = 0.01; dog = w.Watchdog(SystemClock(), 0.05); dog.start()\n"
        "with dog.step('send_offsets'): threading.Event().wait(60)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == EXIT_CODE
    assert msgspec.json.decode(done.stderr) == {"event": "watchdog", "step": "send_offsets", "exit_code": EXIT_CODE}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"call_timeout": 11.0}, "call_timeout must not exceed transaction_timeout"),
        ({"transaction_timeout": 130.0}, "transaction_timeout must be below max_poll_interval"),
        ({"step_budget": 9.0}, "step_budget must be above transaction_timeout"),
        ({"step_budget": 120.0}, "step_budget must be below max_poll_interval"),
        ({"session_timeout": 121.0}, "session_timeout must not exceed max_poll_interval"),
        ({"transaction_timeout": 20.0}, "transaction_timeout 20s is above the broker's 15s"),
        ({"session_timeout": 1.0}, "session_timeout 1s is below the broker's 6s"),
        ({"session_timeout": 60.0}, "session_timeout 60s is above the broker's 30s"),
    ],
)
def test_time_outs_that_do_not_fit_are_named(changes: Mapping[str, float], said: str) -> None:
    """B44: each misfit with its setting, what it collides with, and the remedy."""
    broker = {
        "transaction.max.timeout.ms": 15_000,
        "group.min.session.timeout.ms": 6_000,
        "group.max.session.timeout.ms": 30_000,
    }
    with pytest.raises(UserError, match="TAILRACE_LOOP__") as caught:
        check_timeouts(msgspec.structs.replace(LoopSettings(), **changes), broker, classic=True)
    assert said in str(caught.value)


def test_all_misfits_are_named_at_once() -> None:
    """One look mends all mistakes."""
    loop = msgspec.structs.replace(LoopSettings(), call_timeout=500.0, session_timeout=500.0)
    with pytest.raises(UserError) as caught:
        check_timeouts(loop, {}, classic=True)
    assert str(caught.value).count("must") == 2


def test_defaults_fit_and_the_brokers_own_session_is_not_ours() -> None:
    """The defaults pass Kafka's defaults; with the consumer protocol the session time-out is the broker's business."""
    kafka = {
        "transaction.max.timeout.ms": 900_000,
        "group.min.session.timeout.ms": 6_000,
        "group.max.session.timeout.ms": 1_800_000,
    }
    check_timeouts(LoopSettings(), kafka, classic=True)
    check_timeouts(LoopSettings(), {}, classic=True)
    check_timeouts(LoopSettings(), kafka | {"group.min.session.timeout.ms": 60_000}, classic=False)
