"""Label router and observers on a real broker, with a real scorer: what they publish is what the topics come to."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.ranges import RangeReader
from shared.core.bundle import REFERENCE
from shared.core.monitor_records import Account, ErrorBlock, Outcome, Scorecard
from shared.core.ports import Message
from shared.core.reference import Reference
from shared.core.topics import topic
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.program import Program
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support.bundles import START
from tests.support.journals import (
    BOUNDS,
    HOUR,
    WORDS,
    account_picture,
    block_picture,
    expected,
    picture,
    settings_of,
)
from tests.support.monitor_oracle import Answer, Settings, recompute
from tests.support.observers import Topics
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
RECORDS, BURSTS, STEP, MORE = 3_000, 6, 20_000, 60
MONITORING = {"window": "2h", "hold": "3h", "slices": {**WORDS, **BOUNDS}}


@dataclass(slots=True)
class Rig:
    """A world with a label router and two observers."""

    world: World
    dice: Random

    def programs(self) -> list[Program]:
        """One router, two observers with checkpoints."""
        w = self.world
        endpoints = Endpoints(kafka=w.kafka, redis=w.redis)
        order = Order(w.folder, endpoints, w.folder / "state", 1, lambda _: free_port())
        (router,), (first,) = (SERVICE_PROGRAMS[name](order) for name in ("labels", "observer"))
        extra = {
            **w.extra_env,
            "TAILRACE_MONITOR__CHECKPOINTS": str(w.folder / "checkpoints"),
            "TAILRACE_MONITOR__CHECKPOINT_EVERY": "2",
        }
        env = {"TAILRACE_WORKER__SLOT": "1", "TAILRACE_HTTP__PORT": str(free_port())}
        second = replace(first, name=f"{first.name}-1", env={**first.env, **env, **extra})
        return [router, replace(first, env={**first.env, **extra}), second]

    def kill(self, name: str, *, disk: bool = True) -> None:
        """Kill -9; with its disk gone, where that is asked for. The supervisor starts it again."""
        full = f"{name.split('-', maxsplit=1)[0]}-{self.world.folder.name}" + ("-1" if name.endswith("-1") else "")
        until(lambda: self.world.supervisor.pid(full) is not None, f"a living {full}", 60)
        pid = self.world.supervisor.pid(full) or 0
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.world.supervisor.pid(full) != pid, "the kill to be noticed", 30)
        if not disk:
            slot = "1" if name.endswith("-1") else "0"
            shutil.rmtree(self.world.folder / "state" / "observer" / self.world.spec.name / slot, ignore_errors=True)
        print(f"killed {full}, disk {'kept' if disk else 'gone'}")

    def restart(self, source: str) -> None:
        """Stop the observers in order, leave them no more than this to recover from, and start one again."""
        names = [program.name for program in self.programs()[1:]]
        self.world.supervisor.stop(names)
        if source != "disk":
            shutil.rmtree(self.world.folder / "state" / "observer")
        if source == "journal":
            shutil.rmtree(self.world.folder / "checkpoints")
        self.world.supervisor.start(self.programs()[1])

    def settle(self, records: int) -> None:
        """Wait until everything that was sent is in the observer's topics."""
        until(self.world.all_scored(records), "every record to be scored", 90)
        until(self.done("labels", "labels"), "the router at the end of labels", 90)
        until(self.done("observer", "journal"), "the observers at the end of the journal", 120)

    def committed(self, service: str, name: Any) -> dict[int, int]:
        """What a service has committed of its topic."""
        group = f"tailrace.{self.world.spec.name}.{service}"
        with closing(GroupPositions(self.world.conf, group, topic(self.world.spec.name, name))) as asked:
            return asked.committed()

    def done(self, service: str, name: Any) -> Callable[[], bool]:
        """A condition: a service has committed beyond every record of its topic."""

        def check() -> bool:
            at, last = self.committed(service, name), {m.partition(): m.offset() for m in self.read(name)}
            return all(at.get(partition, 0) > offset for partition, offset in last.items())

        return check

    def read(self, name: Any) -> Iterator[Message]:
        """Every committed record of a topic, a partition at a time."""
        full = topic(self.world.spec.name, name)
        consumer = Consumer({**self.world.conf, "group.id": "observer-test"})
        known = consumer.list_topics(full, timeout=10).topics[full].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(full, p), timeout=10)[1] for p in known}
        consumer.close()
        ranges = RangeReader(self.world.conf, full, 30)
        for partition, end in sorted(ends.items()):
            for chunk in ranges.read(partition, 0, end) if end else ():
                yield from chunk

    def labels(self, first: int, last: int) -> list[tuple[str, bytes, None]]:
        """Labels of these records: some never, late, early, corrected, repeated, contradicting, or of no use."""
        made: list[tuple[str, bytes, None]] = []
        for i in range(first, last):
            key, body, _ = at(i)
            time = json.loads(body)["at"] + self.dice.randrange(2 * HOUR)
            value: Any = self.dice.choice(["on_time", "late", True, False])
            tree: dict[str, Any] = {"id": f"r{i}", "value": value, "time": time}
            fate = self.dice.random()
            if fate < 0.2:
                continue
            made.append((key, json.dumps(tree).encode(), None))
            if fate < 0.3:
                others: list[dict[str, Any]] = [
                    {"revision": 1, "value": "late"},
                    {},
                    {"value": "late"},
                    {"value": "on_time"},
                ]
                more = self.dice.choice(others)
                made.append((key, json.dumps(tree | more).encode(), None))
            elif fate < 0.32:
                made.append((key, json.dumps(tree | {"value": "never"}).encode(), None))
            elif fate < 0.34:
                made.append((key, json.dumps(tree | {"id": f"x{i}"}).encode(), None))
        return made


def at(i: int) -> tuple[str, bytes, None]:
    """Record i, a minute after the one before."""
    return record(i, at=START + i * STEP)


def truth(rig: Rig) -> dict[int, Answer]:
    """What the oracle makes of each partition of the journal."""
    reference = msgspec.json.decode((rig.world.kit.folder / REFERENCE).read_bytes(), type=Reference)
    rules: Settings = settings_of(rig.world.spec)
    rules.edges = {"weight": list(reference.features["weight"].edges)}
    rules.score_edges = list(reference.scores.edges)
    entries: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for message in rig.read("journal"):
        entries.setdefault(message.partition(), []).append((message.offset(), json.loads(message.value() or b"")))
    return {partition: recompute(of, rules) for partition, of in entries.items()}


def published(rig: Rig) -> Topics:
    """What a reader of the observer's topics knows."""
    found = Topics()
    for message in rig.read("scorecards"):
        value = msgspec.json.decode(message.value() or b"", type=Scorecard | Account)
        found.take(message.key() or b"", value)
    found.outcomes = [
        (m.partition(), msgspec.json.decode(m.value() or b"", type=Outcome)) for m in rig.read("outcomes")
    ]
    found.blocks = [msgspec.json.decode(m.value() or b"", type=ErrorBlock) for m in rig.read("errors")]
    return found


def recovered(rig: Rig) -> list[dict[str, Any]]:
    """What observers said of how they came to know their partitions."""
    folder = rig.world.folder / "state" / "logs"
    lines = "".join(path.read_text() for path in sorted(folder.glob("observer*.log"))).splitlines()
    return [json.loads(line) for line in lines if '"memory rebuilt"' in line]


def compare(rig: Rig) -> list[str]:
    """Topics and oracle say the same; the statuses of all labels."""
    topics, answers = published(rig), truth(rig)
    for partition, answer in answers.items():
        wanted, found = expected(answer, known=lambda _: True), topics.of(partition)
        classes = rig.world.spec.labels.classes
        found["cards"] = {key: picture(sums, classes) for key, sums in found["cards"].items()}
        found["accounts"] = {window: account_picture(sums) for window, sums in found["accounts"].items()}
        found["blocks"] = sorted(map(block_picture, found["blocks"]), key=lambda b: (b["number"], b["who"]))
        for what, value in wanted.items():
            assert value == found[what], f"{what} of partition {partition}"
    assert len(topics.closed) == len(set(topics.closed))
    statuses = [status.split()[0] for answer in answers.values() for status in answer.status.values()]
    blocks, outcomes, closed = len(topics.blocks), len(topics.outcomes), len(topics.closed)
    print(f"{len(statuses)} labels, {outcomes} outcomes, {blocks} error blocks, {closed} windows closed")
    return statuses


def test_online_figures_are_the_oracles_whatever_dies(world: Callable[..., World]) -> None:
    """F30, I13: labels of every kind, observers and router killed, a disk lost: figures equal those of the oracle."""
    seed = Random().randrange(10_000)
    print(f"seed {seed}")
    rig = Rig(world(monitoring=MONITORING), Random(seed))
    w, size = rig.world, RECORDS // BURSTS
    w.start(1)
    w.supervisor.start(*rig.programs())
    w.send("labels", rig.labels(0, 30))  # before their predictions
    for burst in range(BURSTS):
        first = burst * size
        w.send("records", [at(i) for i in range(first, first + size)])
        until(lambda n=first: w.account().predictions > n, "the first predictions of a burst", 90)  # type: ignore[misc]
        w.send("labels", rig.labels(max(first - size, 0), first))
        if burst == 3:
            w.send("labels", rig.labels(0, 40))  # too late
        rig.kill(("observer", "observer-1", "labels", "observer", "observer-1", "observer")[burst], disk=burst != 4)
    w.send("labels", rig.labels(RECORDS - size, RECORDS))
    rig.settle(RECORDS)
    statuses = compare(rig)
    print({status: statuses.count(status) for status in sorted(set(statuses))})
    assert {"matched", "corrected", "late", "orphaned", "duplicate", "conflicting"} <= set(statuses)
    letters = w.headers("labels.dlq")
    assert {"unknown_class"} == {letter["tailrace-reason"] for letter in letters}
    assert sum(1 for _ in rig.read("labels")) == len(letters) + len(statuses)
    for turn, source in enumerate(("disk", "checkpoint", "journal")):
        known = len(recovered(rig))
        rig.restart(source)
        first = RECORDS + turn * MORE
        w.send("records", [at(i) for i in range(first, first + MORE)])
        w.send("labels", rig.labels(first - MORE, first))
        rig.settle(first + MORE)
        compare(rig)
        told = recovered(rig)[known:]
        print([(one["source"], one["records"], one["seconds"]) for one in told])
        # What the other worker had on its own disk, this one does not.
        assert {source} == {one["source"] for one in told} - ({"checkpoint"} if source == "disk" else set())
