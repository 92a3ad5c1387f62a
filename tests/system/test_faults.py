"""Faults inside the delivery on a real broker: whatever breaks at whichever step, one committed outcome a record."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import Order, scorers
from tailrace.stack.supervisor import Supervisor
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
N = 1_000
STEPS = ("begun", "produced", "flushed", "offsets_sent", "committed")


def feed(w: World, first: int, n: int = N) -> None:
    """Send n good records in small bursts, each small: a worker makes many deliveries."""
    for at in range(first, first + n, 100):
        w.send("records", [record(i) for i in range(at, min(at + 100, first + n))])


def assert_exactly_once(w: World, n: int) -> None:
    """All n records have an outcome, none two; the figures stand in the message."""
    until(w.all_scored(n), "every record to be scored", 60)
    account = w.account()
    assert (account.lost, account.doubled, account.stray, account.predictions) == (0, 0, 0, n), (account, w.logs())


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(world: Callable[..., World], tmp_path: Path, step: str) -> None:
    """SIGKILL at a named step of the delivery: nothing lost, nothing doubled (F2: I1, I2, I3)."""
    fuse = tmp_path / "fuse"
    w = world(env={"TAILRACE_TEST_FAULT": f"kill:{step}", "TAILRACE_TEST_FUSE": str(fuse)})
    w.start(1, module="tests.support.faulty_scorer")
    feed(w, 0)
    until(lambda: w.restarts() == 1, "the worker to die at the step and be started again", 90)
    assert fuse.exists()
    assert_exactly_once(w, N)


def test_a_step_that_hangs_ends_the_worker(world: Callable[..., World], tmp_path: Path) -> None:
    """A delivery that never returns: exit 70 by the watchdog, a new start that knows why, nothing doubled."""
    env = {
        "TAILRACE_TEST_FAULT": "hang:flushed",
        "TAILRACE_TEST_FUSE": str(tmp_path / "fuse"),
        "TAILRACE_LOOP__CALL_TIMEOUT": "1",
        "TAILRACE_LOOP__TRANSACTION_TIMEOUT": "2",
        "TAILRACE_LOOP__STEP_BUDGET": "4",
    }
    w = world(env=env)
    w.start(1, module="tests.support.faulty_scorer")
    feed(w, 0)
    until(lambda: w.restarts() == 1, "the watchdog to end the worker", 90)
    assert w.supervisor.status()[0].last_code == 70, w.logs()
    assert_exactly_once(w, N)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_frozen_with_a_batch_in_hand(world: Callable[..., World], tmp_path: Path, protocol: str) -> None:
    """Frozen in a delivery beyond session and transaction, its partitions lost and won back: nothing doubled (F4)."""
    fuse = tmp_path / "fuse"
    env = {"TAILRACE_TEST_FAULT": "stop:flushed", "TAILRACE_TEST_FUSE": str(fuse)}
    w = world(env={**env, "TAILRACE_KAFKA__GROUP_PROTOCOL": protocol})
    w.start(2, module="tests.support.faulty_scorer")
    feed(w, 0)
    until(lambda: fuse.exists() and fuse.read_text() != "", "one worker to freeze in its delivery", 90)
    frozen = int(fuse.read_text())
    try:
        until(w.all_scored(N), "the other worker to take over", 70)
    finally:
        os.kill(frozen, signal.SIGCONT)
    other = 0 if w.pid(1) == frozen else 1
    w.supervisor.stop([f"scorer-{w.folder.name}-{other}"])  # so the woken worker wins everything back
    feed(w, N)
    assert_exactly_once(w, 2 * N)
    assert w.pid(1 - other) == frozen, "it goes on in the same life"


def test_two_workers_with_one_slot_double_nothing(world: Callable[..., World]) -> None:
    """A twin has the same transactional id: one of them ends with exit 4 and says so, nothing is doubled (F19)."""
    w = world()
    w.start(1)
    feed(w, 0, 200)
    until(w.all_scored(200), "the first worker to score", 60)
    twins = Supervisor(w.folder / "state" / "twins")
    endpoints = Endpoints(kafka=w.kafka, redis=w.redis)
    order = Order(w.folder, endpoints, w.folder / "state", 1, lambda _: free_port())
    with twins:
        for program in scorers(order):
            twins.start(replace(program, env={**program.env, **w.extra_env}))

        def ended() -> list[int]:
            return [e.code for s in (w.supervisor, twins) for e in s.events if e.kind == "exited" and e.code]

        sent = 200
        while 4 not in ended() and sent < 6_000:
            feed(w, sent, 100)
            sent += 100
        assert 4 in ended(), (ended(), w.logs())
    logs = w.logs() + "".join(p.read_text() for p in (w.folder / "state" / "twins").glob("*.log"))
    assert "Fenced" in logs
    assert_exactly_once(w, sent)


def test_workers_come_and_go_under_load(world: Callable[..., World]) -> None:
    """A worker is added and stopped again and again while records flow: nothing lost or doubled, all exit 0 (F7)."""
    w = world()
    w.start(2)
    joining = f"scorer-{w.folder.name}-1"
    sent = 0
    for _ in range(3):
        feed(w, sent)
        sent += N
        until(lambda n=sent: w.account().predictions > n - N, "the load to begin", 60)  # type: ignore[misc]
        w.supervisor.stop([joining])
        status = next(s for s in w.supervisor.status() if s.name == joining)
        assert status.last_code == 0, w.logs()
        feed(w, sent)
        sent += N
        w.start_one(1)
    assert_exactly_once(w, sent)
