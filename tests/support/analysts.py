"""Analysts on a real broker: what observers would publish, in transactions of which some are aborted, and processes."""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from confluent_kafka import Producer

from services.monitor.analyst.memory import Memory, Turn, fold_blocks, turn
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms, terms_of
from services.monitor.bundles import bundle_reader
from shared.adapters.kafka.table import TableReader
from shared.core.monitor_records import (
    Account,
    ErrorBlock,
    FeatureCounts,
    RetrainRequest,
    Scorecard,
    Verdict,
    WindowFigures,
    account_key,
    scorecard_key,
)
from shared.core.topics import TopicName, topic
from shared.runtime.clock import SystemClock
from shared.runtime.fetch import Fetcher
from shared.runtime.settings import MlflowSettings
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support.looks import account, blocks, days
from tests.support.wait import until
from tests.support.world import World

VERSION = "1"
Card = Scorecard | Account


@dataclass(slots=True)
class Feed:
    """The observer's topics, written as it writes them; some transactions are aborted, with figures of their own."""

    world: World
    dice: Random
    aborts: float = 0.3
    aborted: int = 0

    def send(self, cards: Sequence[Card], found: Sequence[ErrorBlock] = (), size: int = 20) -> None:
        """Send all, in transactions of about so many."""
        told = [*(("scorecards", one) for one in cards), *(("errors", one) for one in found)]
        self.dice.shuffle(told)
        told.sort(key=lambda one: (isinstance(one[1], Account), _time(one[1])))  # an account ends a batch
        client = {"transactional.id": f"feed-{self.world.spec.name}", "compression.type": "lz4", "log_level": 3}
        producer = Producer({**self.world.conf, **client})
        producer.init_transactions(20)
        for first in range(0, len(told), size):
            part: Sequence[tuple[Any, Any]] = told[first : first + size]
            if self.dice.random() < self.aborts:
                self._transaction(producer, [(name, _forged(one)) for name, one in part])
                producer.abort_transaction(20)
                self.aborted += 1
            self._transaction(producer, part)
            producer.commit_transaction(20)

    def _transaction(self, producer: Producer, part: Sequence[tuple[TopicName, Card | ErrorBlock]]) -> None:
        producer.begin_transaction()
        for name, one in part:
            producer.produce(topic(self.world.spec.name, name), msgspec.json.encode(one), _key(one))
        producer.flush(20)


@dataclass(slots=True)
class Analysts:
    """Processes of analysts of one world, and what they say."""

    world: World
    env: Mapping[str, str]
    module: str = "services.monitor.analyst.main"

    def start(self, slot: int = 0, state: Path | None = None) -> str:
        """Start one; its address."""
        w = self.world
        endpoints = Endpoints(kafka=w.kafka, redis=w.redis)
        order = Order(w.folder, endpoints, state or w.folder / "state", 1, lambda _: free_port())
        (one,) = SERVICE_PROGRAMS["analyst"](order)
        keys = str(w.folder / "state" / "keys" / "public.pem")
        env = {**one.env, "TAILRACE_MODELS__PUBLIC_KEY_FILE": keys, "TAILRACE_WORKER__SLOT": str(slot)}
        argv = tuple(self.module if word == "services.monitor.analyst.main" else word for word in one.argv)
        program = replace(one, name=self.name(slot), argv=argv, env={**env, **w.extra_env, **self.env})
        w.supervisor.start(program)
        return program.address

    def name(self, slot: int) -> str:
        """A process's name."""
        return f"analyst-{self.world.folder.name}-{slot}"

    def signal(self, slot: int, number: signal.Signals) -> None:
        """Send a signal to one that lives."""
        until(lambda: self.world.supervisor.pid(self.name(slot)) is not None, "a living analyst", 60)
        os.kill(self.world.supervisor.pid(self.name(slot)) or 0, number)

    def kill(self, slot: int = 0) -> None:
        """Kill -9, and see it noticed; the supervisor starts it again."""
        before = self.world.supervisor.pid(self.name(slot))
        self.signal(slot, signal.SIGKILL)
        until(lambda: self.world.supervisor.pid(self.name(slot)) != before, "the kill to be noticed", 30)

    def log(self, slot: int = 0) -> str:
        """What one has logged."""
        path = self.world.folder / "state" / "logs" / f"{self.name(slot)}.log"
        return path.read_text() if path.exists() else ""

    def taken(self, slot: int = 0) -> int:
        """How often one has taken over."""
        return self.log(slot).count('"takes over"')

    def turns(self) -> int:
        """How often a memory was written."""
        with closing(TableReader(self.world.conf, topic(self.world.spec.name, "analyst.memory"), 30)) as reader:
            return sum(1 for _ in reader.to_end())

    def said(self) -> dict[str, Verdict]:
        """The last verdict of each metric."""
        return {one.metric: one for one in self._values("verdicts") if isinstance(one, Verdict)}

    def then(self) -> list[WindowFigures]:
        """All figures as known then, in the order in which they were said."""
        return [one for one in self._values("verdicts") if isinstance(one, WindowFigures)]

    def requests(self) -> list[RetrainRequest]:
        """All requests."""
        with closing(TableReader(self.world.conf, topic(self.world.spec.name, "retrain"), 30)) as reader:
            return [msgspec.json.decode(value, type=RetrainRequest) for value in reader.to_end()]

    def _values(self, name: TopicName) -> list[Verdict | WindowFigures]:
        with closing(TableReader(self.world.conf, topic(self.world.spec.name, name), 30)) as reader:
            return [msgspec.json.decode(value, type=Verdict | WindowFigures) for value in reader.to_end()]


def stream(first: int, until_: int, version: str = VERSION, **more: object) -> list[Card]:
    """Scorecards and accounts of days, without what only a matching reference could be compared with."""
    cards = [
        msgspec.structs.replace(one, sums=msgspec.structs.replace(one.sums, answers=FeatureCounts()))
        for one in days(first, until_, shares=(), version=version, **more)
    ]
    return [*cards, *(account(day, partition) for day in range(first, until_) for partition in range(2))]


def errors(first: float, until_: float, share: float, seed: int) -> list[ErrorBlock]:
    """Error blocks of the version in force."""
    return blocks(first, until_, share, seed, VERSION)


def terms(world: World) -> LookTerms:
    """How the world's pipeline is looked at."""
    return terms_of(world.spec)


def subject(world: World) -> Subject:
    """The version in force at its training, read from its bundle."""
    key = world.folder / "state" / "keys" / "public.pem"
    fetcher = Fetcher(world.folder / "cache", MlflowSettings(), SystemClock(), lambda _: None)
    manifest, reference = bundle_reader(world.spec, fetcher, key, 10)(world.versions[VERSION])
    return Subject(VERSION, reference, dict(manifest.metrics))


def at_once(world: World, cards: Sequence[Card], found: Sequence[ErrorBlock]) -> Turn:
    """What the pure code says of all of it in one turn."""
    known, by = {VERSION: subject(world)}, terms(world)
    memory = fold_blocks(Memory(), list(enumerate(found)), known, by)
    scorecards = [one for one in cards if isinstance(one, Scorecard)]
    accounts = [one for one in cards if isinstance(one, Account)]
    return turn(memory, scorecards, accounts, VERSION, known, by)


def values(said: Mapping[str, Verdict]) -> dict[str, tuple[object, ...]]:
    """What verdicts say of figures, but for what depends on when somebody looked."""
    return {name: (one.value, one.low, one.high, one.n, one.threshold) for name, one in said.items()}


def _time(one: Card | ErrorBlock) -> int:
    return one.closed if isinstance(one, ErrorBlock) else one.watermark


def _forged(one: Any) -> Any:
    if isinstance(one, ErrorBlock):
        return msgspec.structs.replace(one, errors=one.n, number=one.number + 1)
    if isinstance(one, Account):
        return msgspec.structs.replace(one, offset=one.offset + 1, sums=msgspec.structs.replace(one.sums, labels=9))
    return msgspec.structs.replace(
        one, offset=one.offset + 1, sums=msgspec.structs.replace(one.sums, errors=one.sums.n)
    )


def _key(one: Card | ErrorBlock) -> bytes:
    if isinstance(one, ErrorBlock):
        return f"{one.version}/{one.partition}".encode()
    return account_key(one) if isinstance(one, Account) else scorecard_key(one)
