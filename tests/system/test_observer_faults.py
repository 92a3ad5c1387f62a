"""F31-F34 and B33-B36 on a real broker: a real label router and real observers over predictions that tests wrote."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer

from shared.adapters.kafka.admin import KafkaAdmin
from shared.core.topics import topic
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.program import Program
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support import stalled_observer
from tests.support.bundles import START
from tests.support.journals import HOUR, Entry, observation
from tests.support.wait import until
from tests.support.world import World

pytestmark = pytest.mark.system
MINUTE, DAY = 60_000, 24 * HOUR
MONITORING = {"window": "2h", "hold": "3h"}


@dataclass(slots=True)
class Rig:
    """A world with a label router; its observers are started one by one."""

    world: World
    dice: Random = field(default_factory=lambda: Random(7))
    running: dict[int, Program] = field(default_factory=dict)
    txn: int = 0

    def start(self, slot: int, module: str = "services.monitor.observer.main", **env: str) -> Program:
        """Start the observer of a slot; with the first one, the router."""
        w = self.world
        order = Order(w.folder, Endpoints(kafka=w.kafka, redis=w.redis), w.folder / "state", 1, lambda _: free_port())
        if not self.running:
            (router,) = SERVICE_PROGRAMS["labels"](order)
            w.supervisor.start(replace(router, env={**router.env, **w.extra_env}))
        (one,) = SERVICE_PROGRAMS["observer"](order)
        own = {"TAILRACE_WORKER__SLOT": str(slot), **w.extra_env, **env}
        argv = tuple(module if word == "services.monitor.observer.main" else word for word in one.argv)
        self.running[slot] = replace(one, name=f"{one.name}-{slot}", argv=argv, env={**one.env, **own})
        w.supervisor.start(self.running[slot])
        return self.running[slot]

    def stop(self, slot: int) -> None:
        """Stop one in order."""
        self.world.supervisor.stop([self.running[slot].name])

    def observe(self, seen: Sequence[tuple[int, Entry]], *, abort: bool = False) -> None:
        """Write (partition, observation) in one transaction, as a scorer does."""
        self.txn += 1
        producer = Producer({**self.world.conf, "transactional.id": f"{self.world.spec.name}-test-{self.txn}"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for partition, entry in seen:
            producer.produce(topic(self.world.spec.name, "journal"), json.dumps(entry), "k", partition=partition)
        producer.flush(30)
        if abort:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)

    def seen(self, name: str, time_: int, **changes: Any) -> Entry:
        """One observation by the version that is announced."""
        made = observation(self.world.spec, name, time_, self.dice, version="1")
        made["prediction"] |= changes
        return made

    def label(self, *labels: dict[str, Any]) -> None:
        """Send labels, each with the partition of its record."""
        self.world.send("labels", [("k", json.dumps(one | {"at": [one["at"], 0]}).encode(), None) for one in labels])

    def done(self) -> bool:
        """Whether router and observers have committed all that there is."""
        admin, spec = KafkaAdmin(self.world.conf), self.world.spec
        for service, name in (("labels", "labels"), ("observer", "journal")):
            full = f"{spec.name}.{name}"
            at = admin.committed(f"tailrace.{spec.name}.{service}", full, range(spec.partitions))
            ends = admin.offsets(full, range(spec.partitions), "end")
            # Behind the last message there stand markers: of its transaction, and of some that were aborted.
            if any(at.get(p, (0, ""))[0] < self.last(full, p, end) for p, end in ends.items()):
                return False
        return True

    def last(self, full: str, partition: int, end: int) -> int:
        """The offset after the last committed message of a partition."""
        from shared.adapters.kafka.ranges import RangeReader  # noqa: PLC0415 - only where it is asked

        found = 0
        for chunk in RangeReader(self.world.conf, full, 30).read(partition, 0, end) if end else ():
            found = chunk[-1].offset() + 1
        return found

    def report(self) -> dict[str, Any]:
        """Wait until all is folded; what the recomputation says, which has to be that it is equal."""
        until(self.done, "everything to be folded", 120)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        folder = self.world.folder
        argv = [sys.executable, "-m", "tailrace.cli.main", "monitor", "recompute", str(folder), "--json"]
        ended = subprocess.run(
            [*argv, "--kafka", self.world.kafka], env=clean | {"TAILRACE_STATE": str(folder / "state")},
            capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip
        assert 0 == ended.returncode, ended.stdout[-3_000:] + ended.stderr[-3_000:]
        made: dict[str, Any] = json.loads(ended.stdout)
        assert made["equal"]
        assert made["compared"]["figures"] > 0
        print({name: n for name, n in made["labels"].items() if n})
        return made

    def accounts(self) -> dict[str, int]:
        """The last accounts of all windows, added up."""
        last = {(a["window"], a["partition"]): a["sums"] for a in self.cards("account")}
        return {name: sum(s.get(name, 0) for s in last.values()) for name in ("observations", "invalid", "labels")}

    def cards(self, kind: str) -> list[dict[str, Any]]:
        """All scorecards, or accounts, in the order of the topic."""
        return [value for value in self.world.values("scorecards") if value["type"] == kind]


def status(program: Program, path: str) -> int:
    """What the process answers; 0 while it does not."""
    try:
        with closing(urllib.request.urlopen(f"{program.address}{path}", timeout=5)) as answer:  # noqa: S310 - our own
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_f31_f32_observers_come_and_go_and_read_no_aborted_prediction(world: Callable[..., World]) -> None:
    """A third of the transactions aborted; one observer added, the first taken away and brought back: all is equal."""
    rig = Rig(world(monitoring=MONITORING))
    rig.start(0)
    size, ghosts = 20, 0
    for turn in range(15):
        names = [(i % 4, f"r{i}", START + i * MINUTE) for i in range(turn * size, (turn + 1) * size)]
        if turn % 3 == 0:
            rig.observe([(p, rig.seen(f"ghost-{name}", at)) for p, name, at in names], abort=True)
            rig.label(*({"id": f"ghost-{name}", "value": "late", "time": at, "at": p} for p, name, at in names))
            ghosts += size
        rig.observe([(p, rig.seen(name, at)) for p, name, at in names])
        rig.label(*({"id": name, "value": rig.dice.choice(["late", "on_time"]), "time": at, "at": p}
                    for p, name, at in names))  # fmt: skip
        if turn == 8:
            rig.stop(0)
        elif turn in (4, 11):
            rig.start(1 if turn == 4 else 0)
        if turn in (4, 8, 11):
            until(rig.done, "the observers after a change", 60)
    report = rig.report()
    assert 15 * size == report["labels"]["matched"]
    assert ghosts == report["labels"]["held"] + report["labels"]["orphaned"]
    assert {"observations": 15 * size, "invalid": 0, "labels": 15 * size + ghosts} == rig.accounts()
    assert 15 * size == len(rig.world.values("outcomes"))


def test_f33_an_observer_that_stands_still_is_told_by_its_liveness(world: Callable[..., World]) -> None:
    """Its loop hangs while its process answers: not live within seconds, and another observer takes its partitions."""
    rig = Rig(world(monitoring=MONITORING))
    limits = {"MAX_POLL_INTERVAL": "14", "STEP_BUDGET": "10", "TRANSACTION_TIMEOUT": "8"}
    env = {f"TAILRACE_LOOP__{name}": value for name, value in limits.items()}
    first = rig.start(0, "tests.support.stalled_observer", **env)
    rig.observe([(p, rig.seen(f"r{p}", START)) for p in range(4)])
    until(rig.done, "the first entries", 60)
    assert 200 == status(first, "/live")
    began, pid = time.monotonic(), rig.world.supervisor.pid(first.name)
    stall = stalled_observer.STALL.decode()
    rig.observe([(p, rig.seen(f"{stall}-{p}", START + MINUTE)) for p in range(4)])
    until(lambda: status(first, "/live") == 503, "it to be told as dead", 30)
    print(f"not live after {time.monotonic() - began:.1f} s, with a bound of {stalled_observer.BOUND:g} s")
    assert pid == rig.world.supervisor.pid(first.name)
    rig.start(1, **env)
    until(rig.done, "the other one to take over", 90)
    print(f"taken over after {time.monotonic() - began:.1f} s")
    rig.report()
    assert 8 == rig.accounts()["observations"]


def test_f34_b34_windows_close_though_partitions_hear_nothing(world: Callable[..., World]) -> None:
    """Labels go on in one partition of four: ticks close the windows of the others. Bad labels are dead letters."""
    rig = Rig(world(monitoring=MONITORING))
    rig.start(0)
    rig.observe([(p, rig.seen(f"r{p}", START)) for p in range(4)])
    until(rig.done, "the first entries", 60)
    late = [START + i * HOUR // 4 for i in range(1, 64)]
    rig.observe([(2, rig.seen(f"q{at}", at)) for at in late])
    for begin in range(0, len(late), 9):
        rig.label(*({"id": f"q{at}", "value": "late", "time": at, "at": 2} for at in late[begin : begin + 9]))
        until(rig.done, "some hours of labels", 60)
    window = START - START % (2 * HOUR)

    def closed() -> bool:
        cards = [card for card in rig.cards("scorecard") if card["window"] == window]
        return {0, 1, 2, 3} == {card["partition"] for card in cards if card.get("closed")}

    until(closed, "the first window to be closed everywhere", 60)
    bad: list[Any] = [{"value": "never"}, {"value": 1}, {"value": None}, {"id": ""}, {"time": -1}]
    rig.label(*({"id": "q", "value": "late", "time": START, "at": 0} | one for one in bad))
    rig.world.send("labels", [("k", None, None)])
    rig.report()
    reasons = sorted(letter["tailrace-reason"] for letter in rig.world.headers("labels.dlq"))
    assert sorted(["unknown_class", "wrong_type", "wrong_type", "bad_id", "bad_event_time", "empty"]) == reasons


def test_b33_b35_odd_labels_and_floods_add_up(world: Callable[..., World]) -> None:
    """Unknown, early, late, twice, contradicting, of an aborted prediction; 1,000 for one; forged entries beside."""
    rig = Rig(world(monitoring=MONITORING))
    rig.start(0)
    said: dict[str, Any] = {"value": "late", "time": START + HOUR, "at": 0}
    rig.label(said | {"id": "early", "time": START})
    until(rig.done, "the early label", 60)
    rig.observe([(0, rig.seen("aborted", START))], abort=True)
    forged = [rig.seen("f", START) | {"lookups": 5}, rig.seen("f", START, event_time=10**20), {"type": "observation"}]
    rig.observe([(0, rig.seen(name, START)) for name in ("early", "twice", "flood")] + [(0, one) for one in forged])
    until(rig.done, "the predictions", 60)
    odd: list[tuple[str, dict[str, Any]]]
    odd = [("unknown", {}), ("aborted", {}), ("twice", {}), ("twice", {}), ("twice", {"value": "on_time"}),
           ("twice", {"value": "on_time", "revision": 1})]  # fmt: skip
    rig.label(*(said | {"id": name} | more for name, more in odd))
    rig.label(*(said | {"id": "flood", "value": ("late", "on_time")[i % 2]} for i in range(1_000)))
    rig.label(*(said | {"id": f"clock-{i}", "time": START + i * HOUR // 4} for i in range(5, 31)))
    rig.label(said | {"id": "twice", "value": "late", "revision": 2, "time": START + 15 * HOUR // 2})
    report = rig.report()
    assert 3 == report["labels"]["matched"]
    assert (1, 1) == (report["labels"]["corrected"], report["labels"]["late"])
    assert (500, 501) == (report["labels"]["duplicate"], report["labels"]["conflicting"])
    assert 28 == report["labels"]["held"] + report["labels"]["orphaned"]
    assert {"observations": 3, "invalid": 3, "labels": 1_034} == rig.accounts()


def test_b36_delays_of_up_to_thirty_days_that_hang_on_the_class(world: Callable[..., World]) -> None:
    """Late parcels get labels days or weeks after the others: of what came in time each day's accuracy is the truth."""
    labels = {"horizon": "10d", "classes": ["on_time", "late"], "positive": "late"}
    topics = {"predictions": {"retention": "40d"}, "journal": {"retention": "40d"}}
    monitoring = {"window": "1d", "hold": "1d", "max_step": "1d"}
    rig = Rig(world(monitoring=monitoring, labels=labels, topics=topics))
    rig.start(0)
    right, due = dict[int, list[bool]](), list[tuple[int, dict[str, Any]]]()
    for i in range(400):
        at, value = START + i * 20 * MINUTE, rig.dice.choice(["late", "on_time"])
        seen = rig.seen(f"r{i}", at)
        delay = rig.dice.choice([rig.dice.randrange(9 * DAY), rig.dice.randrange(13 * DAY, 30 * DAY)])
        delay = delay if value == "late" else rig.dice.randrange(2 * HOUR)
        if delay < 10 * DAY:
            right.setdefault(at - at % DAY, []).append(seen["prediction"]["label"] == value)
        due.append((at, {"seen": seen, "at": i % 4}))
        due.append((at + delay, {"id": f"r{i}", "value": value, "time": at + delay, "at": i % 4}))
    due.sort(key=lambda one: one[0])
    for begin in range(0, len(due), 100):
        part = [one for _, one in due[begin : begin + 100]]
        rig.observe([(one["at"], one["seen"]) for one in part if "seen" in one])
        rig.label(*(one for one in part if "id" in one))
        until(rig.done, "some days", 60)
    report = rig.report()
    found = {one["window"]: (one["quality"]["labelled"], one["quality"]["accuracy"]) for one in report["windows"]}
    assert {day: (len(of), 1.0 - of.count(False) / len(of)) for day, of in right.items()} == found
    counted = sum(map(len, right.values()))
    assert counted == report["labels"]["matched"]
    assert 400 - counted == sum(report["labels"][name] for name in ("late", "held", "orphaned"))
