"""Observers over a log in memory: workers that crash, lose their disks and come back, and what they published."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from services.monitor.observer.checkpoints import Checkpoints
from services.monitor.observer.recover import Recovering, Saving
from services.monitor.observer.step import ObserverStep
from shared.core.deadletter import dead_letters
from shared.core.monitor_records import Account, ErrorBlock, Outcome, Scorecard
from shared.core.pacing import Pacer
from shared.core.pipeline import DeadLetterLimit, PipelineSpec
from shared.runtime.delivery import ExactlyOnce
from shared.runtime.health import Health
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.runtime.watchdog import Watchdog
from shared.testing.clock import ManualClock
from shared.testing.log import Log, MemoryMessage, Transaction
from shared.testing.metrics import RecordingMetrics
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource
from shared.testing.store import MemoryStore
from tests.support.journals import Entry, rules_of
from tests.support.loops import NoTracer

GROUP, PARTITIONS = "observers", 3
TOPICS = ("outcomes", "scorecards", "errors")


@dataclass
class JournalRanges:
    """Reads `journal` again; counts what it read. Retention took everything before `kept`."""

    log: Log
    kept: int = 0
    read_again: int = 0

    def start(self, partition: int) -> int:
        """See `Ranges`."""
        del partition
        return self.kept

    def read(self, partition: int, start: int, end: int) -> Iterable[Sequence[MemoryMessage]]:
        """See `Ranges`; three records a chunk."""
        while start < end:
            chunk = [m for m in self.log.fetch("journal", partition, start, 3) if m.offset() < end]
            if not chunk:
                return
            self.read_again += len(chunk)
            yield chunk
            start = chunk[-1].offset() + 1


@dataclass
class Observer:
    """One worker."""

    loop: Loop
    source: MemorySource
    sink: MemorySink
    step: ObserverStep
    metrics: RecordingMetrics


@dataclass
class ObserverWorld:
    """A log with a journal and the observer's topics, workers between them, and their disks."""

    spec: PipelineSpec
    max_batch: int = 20
    checkpoints: Path | None = None
    clock: ManualClock = field(default_factory=ManualClock)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    disks: dict[tuple[int, int], MemoryStore] = field(default_factory=dict)
    sent: dict[int, list[tuple[int, Entry]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the topics."""
        self.log = Log(
            {"journal": PARTITIONS, "outcomes": PARTITIONS, "scorecards": 1, "errors": 1, "dlq": 1}, self.clock
        )
        self.group = self.log.group(GROUP, "journal")
        self.ranges = JournalRanges(self.log)

    def observer(self, slot: int = 0, mark: Callable[[str], None] = lambda _: None) -> Observer:
        """Start a worker; one that had this slot before is fenced. What was on its disk is there."""
        metrics, health = RecordingMetrics(), Health(self.clock, max_turn_age=60.0, checks=("assignment",))
        step = ObserverStep(
            rules_of(self.spec), TOPICS, lambda p: self.disks.setdefault((slot, p), MemoryStore()), metrics
        )
        made: list[tuple[MemorySource, MemorySink]] = []

        def connect(loop: Loop) -> tuple[MemorySource, ExactlyOnce]:
            source = MemorySource(self.log, group=GROUP, topic="journal", listener=loop, name=f"o{slot}.{id(loop)}")
            sink = MemorySink(self.log, f"observer.{slot}")
            made.append((source, sink))
            return source, ExactlyOnce(sink, Watchdog(self.clock, 1e9), self.clock, mark)

        folder = self.checkpoints
        saving = Saving(None if folder is None else lambda p: Checkpoints(folder / str(p)), 0.0)
        loop = Loop(
            connect=connect,
            step=step,
            controls=Recovering(step, self.ranges, saving, lambda *gone: self.gaps.append(gone), lambda: None),
            letters=lambda rejects: dead_letters("dlq", "journal", rejects),
            pacer=Pacer(max_batch=self.max_batch, latency_target=0.1, gather=0.003),
            limit=DeadLetterLimit(),
            probe=Probe(
                pipeline="p", topic="journal", metrics=metrics, health=health, tracer=NoTracer(), clock=self.clock,
                outcome="folded",
            ),
            clock=self.clock,
            pause=self.clock.advance,
        )  # fmt: skip
        return Observer(loop, *made[0], step, metrics)

    def send(self, entry: Entry, dice: Random) -> None:
        """Append an entry where its id belongs, and now and then one that was aborted."""
        name = entry["time"] if entry["type"] == "tick" else None
        partition = int(name or _identity(entry)[1:]) % PARTITIONS
        value = msgspec.json.encode(entry)
        if dice.random() < 0.3:
            aborted = Transaction("scorer", 0.0, state="aborted")
            self.log.append("journal", partition, b"k", value, None, aborted)
        offset = self.log.append("journal", partition, b"k", value)
        self.sent.setdefault(partition, []).append((offset, entry))

    def read(self) -> "Topics":
        """What a reader of committed data knows."""
        found = Topics()
        for message in self.log.read("scorecards"):
            found.take(message.key() or b"", msgspec.json.decode(message.value() or b"", type=Scorecard | Account))
        found.outcomes = [
            (m.partition(), msgspec.json.decode(m.value() or b"", type=Outcome)) for m in self.log.read("outcomes")
        ]
        found.blocks = [msgspec.json.decode(m.value() or b"", type=ErrorBlock) for m in self.log.read("errors")]
        return found

    def drain(self, *observers: Observer, turns: int = 600) -> None:
        """Turn them until nothing is left."""
        idle = 0
        for _ in range(turns):
            for one in observers:
                one.loop.turn()
            idle = idle + 1 if not any(one.source.lag() for one in observers) else 0
            if idle == 3:
                return
        raise AssertionError(f"still {[one.source.lag() for one in observers]} entries behind")


@dataclass
class Topics:
    """The last scorecard and account of each key, how often each was closed, and the other two topics whole."""

    cards: dict[bytes, Scorecard] = field(default_factory=dict)
    accounts: dict[bytes, Account] = field(default_factory=dict)
    closed: list[bytes] = field(default_factory=list)
    told: int = 0
    outcomes: list[tuple[int, Outcome]] = field(default_factory=list)
    blocks: list[ErrorBlock] = field(default_factory=list)

    def take(self, key: bytes, value: Scorecard | Account) -> None:
        """The next message."""
        assert key not in self.closed, f"{key!r} was closed"
        self.told += 1
        if value.closed:
            self.closed.append(key)
        if isinstance(value, Scorecard):
            self.cards[key] = value
        else:
            self.accounts[key] = value

    def of(self, partition: int) -> dict[str, Any]:
        """One partition's scorecards and accounts, outcomes and blocks."""
        return {
            "cards": {(c.version, c.shadow, c.window): c.sums for c in self.cards.values() if c.partition == partition},
            "accounts": {a.window: a.sums for a in self.accounts.values() if a.partition == partition},
            "outcomes": [
                (one.status, one.label.id, one.label.revision, one.label.value)
                for where, one in self.outcomes
                if where == partition
            ],
            "blocks": [block for block in self.blocks if block.partition == partition],
        }


def _identity(entry: Entry) -> str:
    found: str = entry["label"]["id"] if entry["type"] == "label" else entry["prediction"]["id"]
    return found
