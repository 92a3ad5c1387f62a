"""The analyst on a real broker: committed data only, one decision, whatever becomes of its processes."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random
from subprocess import run
from threading import Event
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import pytest

from shared.core.monitor_records import ErrorBlock
from shared.core.records import Rollout
from tests.support.analysts import Analysts, Card, Feed, at_once, errors, stream, values
from tests.support.looks import DAY, T0
from tests.support.stuck_analyst import FILE
from tests.support.wait import until
from tests.support.world import World

pytestmark = pytest.mark.system
SECTIONS = {
    "monitoring": {"window": "1d", "hold": "1d"},
    "labels": {"horizon": "1d", "classes": ["on_time", "late"], "positive": "late"},
    "retraining": {"cooldown": "7d"},
}
ROSE, LAST, STEP = 12, 20, 4  # days
QUICK = {"TAILRACE_MONITOR__TURN": "0.3"}


def get(address: str, path: str) -> str:
    """What a process answers, whatever the status; nothing while it does not listen yet."""
    try:
        with urlopen(address + path, timeout=5) as answer:  # noqa: S310 - our own process on loopback
            return str(answer.read().decode())
    except HTTPError as error:
        return str(error.read().decode())
    except OSError:
        return ""


def test_figures_are_of_committed_data_only(world: Callable[..., World]) -> None:
    """I5, F32: with many aborted transactions in between, verdicts are those of the pure code on what was committed."""
    seed = Random().randrange(10_000)
    print(f"seed {seed}")
    w = world(**SECTIONS)
    feed, analysts = Feed(w, Random(seed)), Analysts(w, QUICK)
    cards, found = stream(0, 12), errors(0, 12, 0.2, seed)
    feed.send(cards, found)
    assert feed.aborted > 0
    address = analysts.start()
    agree(analysts, cards, found)
    assert analysts.said()["accuracy"].value == pytest.approx(0.8)
    until(lambda: json.loads(get(address, "/ready"))["ready"], "a ready analyst")
    text = get(address, "/metrics")
    assert 'tailrace_quality{bound="value",figure="accuracy",role="champion",version="1"} 0.8' in text
    assert "tailrace_analyst_active 1.0" in text
    assert 'tailrace_analyst_lag_records{topic="scorecards"} 0.0' in text
    assert "Traceback" not in analysts.log()


def told(*addresses: str) -> list[str]:
    """What analysts say of who works; one that is told that it was succeeded ends, and comes back after a while."""
    answers = [get(address, "/ready") for address in addresses]
    return sorted(json.loads(one)["checks"]["assignment"]["detail"] if one else "" for one in answers)


def sound(analysts: Analysts, cooldown: int = 7 * DAY) -> list[str]:
    """The ids of all requests: none twice, and at most one a cool-down."""
    requests = analysts.requests()
    ids, times = [one.id for one in requests], [one.at for one in requests]
    print([(one.trigger, one.block, (one.at - T0) / DAY) for one in requests])
    assert len(ids) == len(set(ids))
    assert all(later - earlier >= cooldown for earlier, later in pairwise(times))
    return ids


def agree(analysts: Analysts, cards: list[Card], found: list[ErrorBlock], least: int = 0) -> None:
    """Wait until the last verdicts, so many at least, have the values that the pure code gives for all of it."""
    wanted = values({one.metric: one for one in at_once(analysts.world, cards, found).verdicts})

    def check() -> bool:
        said = analysts.said()
        return len(said) >= least and values(said) == wanted

    with suppress(AssertionError):  # what differs says more than that it took too long
        until(check, "the verdicts of all data", 90)
    assert wanted == values(analysts.said())


def test_whatever_dies_says_the_same(world: Callable[..., World]) -> None:
    """F30, I14: killed at several moments, frozen while another takes over, disk lost: verdicts and requests hold."""
    seed = Random().randrange(10_000)
    print(f"seed {seed}")
    w, dice, pause = world(**SECTIONS), Random(seed), Event()
    feed, analysts = Feed(w, dice), Analysts(w, QUICK)
    found = [*errors(0, ROSE, 0.2, seed), *errors(ROSE, LAST, 0.5, seed + 1)]
    cards, taken = list[Card](), 0
    first = analysts.start()
    analysts.kill()  # before it has taken anything over
    for day in range(0, LAST, STEP):
        cards = stream(0, day + STEP, wrong=0.2 if day < ROSE else 0.5)
        known = analysts.turns()
        feed.send(cards, [one for one in found if T0 + day * DAY < one.closed <= T0 + (day + STEP) * DAY])
        if day // STEP % 2:
            until(lambda known=known: analysts.turns() > known, "a turn", 90)  # type: ignore[misc]
        pause.wait(dice.uniform(0, 1))  # a random moment is what is wanted: it begins, reads, looks, or writes
        taken = analysts.taken()
        analysts.kill()
    assert analysts.turns() >= LAST // STEP // 2
    until(lambda: analysts.taken() > taken, "a last life", 90)
    agree(analysts, cards, found)
    before = sound(analysts)
    assert "errors" in {one.trigger for one in analysts.requests()}
    assert {one.window for one in analysts.then()} <= {T0 + day * DAY for day in range(LAST)}
    assert len(analysts.then()) == len({one.window for one in analysts.then()})
    second = frozen(analysts)
    cards = stream(0, LAST + 1, wrong=0.5)
    more = errors(LAST, LAST + 1, 0.5, seed + 2)
    feed.send(cards, more)
    agree(analysts, cards, [*found, *more])
    assert sound(analysts)[: len(before)] == before
    until(lambda: told(first, second) == ["another one works", "this one works"], "one to work, one to wait", 90)
    for slot in (0, 1):
        w.supervisor.stop([analysts.name(slot)])
    states = {status.name: status.last_code for status in w.supervisor.status()}
    assert [0, 0] == [states[analysts.name(slot)] for slot in (0, 1)]
    shutil.rmtree(w.folder / "state" / "analyst")
    known = len(analysts.said())
    analysts.start(2)
    until(lambda: analysts.taken(2) > 0, "a start from nothing", 60)
    agree(analysts, cards, [*found, *more], least=known)
    assert len(sound(analysts)) == len(analysts.requests())


def frozen(analysts: Analysts) -> str:
    """Freeze the one that works until another has taken over, and let it wake; the address of the other."""
    address = analysts.start(1)
    until(lambda: '"live":true' in get(address, "/live"), "the second one in the group", 60)
    working, other = (0, 1) if analysts.taken(1) == 0 else (1, 0)
    taken = analysts.taken(other)
    analysts.signal(working, signal.SIGSTOP)
    until(lambda: analysts.taken(other) > taken, "the other one at work", 60)
    analysts.signal(working, signal.SIGCONT)
    return address


def test_it_goes_on_without_a_bundle_and_an_operator_asks(world: Callable[..., World]) -> None:
    """The registry is gone: figures come without a reference, and it says so; `monitor ask` becomes one request."""
    w = world(announced=False, **SECTIONS)
    ref = msgspec.structs.replace(w.versions["1"], uri="http://127.0.0.1:1/gone")
    rollout = Rollout(w.spec.name, 1, ref, "active")
    w.send("models", [(f"{w.spec.name}/1", msgspec.json.encode(rollout), None)])
    feed, analysts = Feed(w, Random(1)), Analysts(w, QUICK)
    feed.send(stream(0, 3), errors(0, 3, 0.2, 1))
    w.send("scorecards", [("1/0/0/9", b"{no card", None)])
    w.send("errors", [("1/0", b"[1, 2", None)])
    address = analysts.start()
    until(lambda: "accuracy" in analysts.said(), "figures", 60)
    detail = json.loads(get(address, "/ready"))["checks"]["model"]["detail"]
    assert detail.startswith("goes on without 1: ")
    assert '"goes on with what it has"' in analysts.log()
    assert 'tailrace_analyst_ignored_total{topic="errors"} 1.0' in get(address, "/metrics")
    assert analysts.requests() == []
    for reason in ("a new airline", "another one"):
        run([str(Path(sys.executable).parent / "tailrace"), "monitor", "ask", str(w.folder), "--reason", reason,
             "--kafka", w.kafka], check=True, timeout=60)  # fmt: skip
        until(lambda: len(analysts.requests()) == 1, "the request", 30)
    (request,) = analysts.requests()
    assert (request.trigger, request.pipeline, request.version) == ("manual", w.spec.name, "1")
    assert request.block.endswith(": a new airline")
    feed.send(stream(0, 11), ())
    until(lambda: len(analysts.requests()) == 2, "the second wish, once the cool-down is over", 60)
    assert analysts.requests()[1].block.endswith(": another one")


def test_one_that_hangs_is_ended_and_comes_back(world: Callable[..., World]) -> None:
    """F33: a turn never returns: the watchdog ends the process within its budget, and its successor says all."""
    w = world(**SECTIONS)
    block = w.folder / "stuck"
    env = {**QUICK, "TAILRACE_LOOP__STEP_BUDGET": "3", FILE: str(block), "PYTHONPATH": str(Path(__file__).parents[2])}
    feed, analysts = Feed(w, Random(1)), Analysts(w, env, "tests.support.stuck_analyst")
    cards, found = stream(0, 4), errors(0, 4, 0.2, 1)
    feed.send(cards, found)
    block.touch()
    analysts.start()
    began = time.monotonic()
    until(lambda: 70 in {status.last_code for status in w.supervisor.status()}, "the watchdog's end", 60)
    print(f"{time.monotonic() - began:.1f} s from the start of the process to its end by the watchdog")
    block.unlink()
    agree(analysts, cards, found)
