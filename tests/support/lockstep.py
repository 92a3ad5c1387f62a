"""A stream through the running services, one day after the other: nobody goes on before all have done their work.

A day is scored as a whole; then its labels come; then, with the last of them, event time comes to the day's end, and
the analyst looks. What it asks for is trained, judged and rolled out before the next day begins. So what is decided
does not hang on how fast anybody is, and is to be what the backtest decides.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from services.ingest.replay.plan import Item, Kind, Selection
from services.ingest.replay.source import ReplaySource
from services.monitor.analyst.ledger import Remembered, unpacked
from services.retrainer.announce import announcing
from services.retrainer.dataset import Files
from services.retrainer.main import train
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.kafka.table import TableReader
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.adapters.tables import read_rows
from shared.core.monitor_records import RetrainRequest
from shared.core.records import Application, Rollout
from shared.core.retraining import Book, Training
from shared.core.rollout import RolloutTable
from shared.core.topics import TopicName, topic
from shared.runtime.clock import SystemClock
from shared.runtime.settings import KafkaSettings, MlflowSettings, Settings
from tailrace.demo.past import wait_for
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.topics import ensure_topics
from tests.support.wait import until

SCORED: tuple[tuple[str, TopicName], ...] = (("scorer", "records"), ("observer", "journal"))
TOLD: tuple[tuple[str, TopicName], ...] = (("labels", "labels"), ("observer", "journal"))
EARLY = ("scorer", "labels", "observer", "archiver", "retrainer", "rollout")
ENV = {
    "TAILRACE_ARCHIVE__FLUSH": "0.5", "TAILRACE_MONITOR__TURN": "0.2", "OMP_NUM_THREADS": "1",
    "TAILRACE_LOOP__SESSION_TIMEOUT": "20",
}  # fmt: skip


@dataclass(slots=True)
class Topics:
    """What stands on the topics that the loop is closed by, read on at each question."""

    conf: dict[str, Any]
    pipeline: str
    stack: ExitStack
    readers: dict[str, TableReader] = field(default_factory=dict)
    seen: dict[str, list[bytes]] = field(default_factory=dict)

    def values(self, name: TopicName) -> Sequence[bytes]:
        """All committed values up to the end as of now."""
        if name not in self.readers:
            reader = TableReader(self.conf, topic(self.pipeline, name), 60)
            self.readers[name] = self.stack.enter_context(closing(reader))
        found = self.seen.setdefault(name, [])
        found += self.readers[name].to_end()
        return found

    def memory(self) -> Remembered:
        """The analyst's."""
        found = self.values("analyst.memory")
        return unpacked(found[-1]) if found else Remembered()

    def requests(self) -> list[RetrainRequest]:
        """All that was asked for."""
        return [msgspec.json.decode(one, type=RetrainRequest) for one in self.values("retrain")]

    def book(self) -> tuple[Book, dict[str, Training]]:
        """What the retrainer remembers, and its last word on each training."""
        found = [msgspec.json.decode(one, type=Book | Training) for one in self.values("trainings")]
        books = [one for one in found if isinstance(one, Book)]
        return books[-1] if books else Book(), {one.id: one for one in found if isinstance(one, Training)}

    def force(self) -> Rollout:
        """The epoch in force."""
        table = RolloutTable(msgspec.json.decode(one, type=Rollout) for one in self.values("models"))
        found = table.newest_active()
        assert found is not None
        return found

    def applications(self) -> list[Application]:
        """Where epochs began to act."""
        return [msgspec.json.decode(one, type=Application) for one in self.values("rollouts")]


@dataclass(slots=True)
class Lockstep:
    """One pipeline's services, and the one who plays its days."""

    home: Path
    kafka: str
    mlflow: str
    span: int
    stack: ExitStack
    pipeline: Pipeline = field(init=False)
    topics: Topics = field(init=False)

    def __post_init__(self) -> None:
        """Make the topics, train the first version on what the pipeline's file says, start all but the analyst."""
        self.pipeline = load_pipeline(self.home)
        spec, conf = self.pipeline.spec, {"bootstrap.servers": self.kafka}
        self.topics = Topics(conf, spec.name, self.stack)
        ensure_topics(KafkaAdmin(conf), spec)
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=self.kafka), mlflow=MlflowSettings(url=self.mlflow))
        with announcing(spec, settings, SystemClock()) as announce:
            train(
                self.pipeline, settings, lambda _: None, files=self.files, announce=announce, state=self.home / "state"
            )
        self.publisher = KafkaPublisher(conf)
        self.supervisor = self.stack.enter_context(Supervisor(self.home / "state" / "logs"))
        self.start(EARLY)

    publisher: KafkaPublisher = field(init=False)
    supervisor: Supervisor = field(init=False)

    @property
    def files(self) -> Files:
        """The history."""
        return Files(self.home / "records.csv", None, self.home / "labels.jsonl")

    def start(self, services: Iterable[str]) -> None:
        """Start services."""
        endpoints = Endpoints(kafka=self.kafka, mlflow=self.mlflow)
        order = Order(self.home, endpoints, self.home / "state", 1, lambda _: free_port())
        env = {**ENV, "PATH": os.environ["PATH"], "TAILRACE_MONITOR__LOOK": str(self.span / 1_000)}
        programs = [program for service in services for program in SERVICE_PROGRAMS[service](order)]
        self.supervisor.start(*(replace(one, env={**one.env, **env}) for one in programs))

    def play(self, first: int) -> None:
        """Every day from a moment (ms) on; the labels of the last one stay out, as nothing is scored after them."""
        spec = self.pipeline.spec
        source = ReplaySource(spec, self.files, read_rows, Selection(start=first))
        days: dict[int, list[Item]] = {}
        for item in source.items():
            days.setdefault(self._day(item), []).append(item)
        for day, items in sorted(days.items()):
            end = (day + 1) * self.span
            self._send(items, Kind.RECORD, range(end))
            wait_for(spec, self.topics.conf, SCORED)
            if day == max(days):
                return
            for moments in (range(end), range(end, end + 1)):
                self._send(items, Kind.LABEL, moments)
                wait_for(spec, self.topics.conf, TOLD)
            if end == first + self.span:
                self.start(["analyst"])  # it begins with a whole day
            self._settled(end)

    def _day(self, item: Item) -> int:
        """The day that something happened in; a label that is known at its end belongs to it."""
        return (item.time - (item.kind is Kind.LABEL)) // self.span

    def _send(self, items: Iterable[Item], kind: Kind, moments: range) -> None:
        name = topic(self.pipeline.spec.name, "records" if kind is Kind.RECORD else "labels")
        for item in items:
            if item.kind is kind and item.time in moments:
                self.publisher.send(name, item.key, item.value, None, None)
        self.publisher.flush(60)

    def _settled(self, end: int) -> None:
        """Wait until the analyst has looked, and all that comes of it is done."""
        until(lambda: self.topics.memory().memory.policy.now >= end, "the analyst's look", 60)
        until(lambda: not self._under_way(end), f"trainings and rollouts: {self._under_way(end)}", 180)

    def _under_way(self, now: int) -> str:
        topics = self.topics
        asked, (book, trainings) = len(topics.requests()), topics.book()
        if book.requests + 1 < asked:
            return "the retrainer reads"
        if book.running or book.waiting or any(fit.at <= now for fit in book.schedule.pending):
            return "a training"
        done = [one for one in trainings.values() if one.state == "done"]
        if not done:
            return ""
        newest, force = max(done, key=lambda one: one.changed).challenger, topics.force()
        if newest != force.champion or force.mode != "champion":
            return "a rollout"
        there = {one.partition for one in topics.applications() if one.epoch == force.epoch}
        if len(there) < self.pipeline.spec.partitions:
            return "a barrier"
        return "" if topics.memory().memory.policy.version == force.champion.version else "the look at a new version"
