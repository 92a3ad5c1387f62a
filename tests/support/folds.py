"""Folds over a log in memory: workers that crash, are thrown out and come back, and what they made of the events."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from services.ingest.aggregates.fold.step import FoldStep
from shared.core.deadletter import dead_letters
from shared.core.pacing import Pacer
from shared.core.pipeline import DeadLetterLimit, PipelineSpec
from shared.core.records import EntityEvent, FeatureUpdate
from shared.runtime.delivery import ExactlyOnce
from shared.runtime.health import Health
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.runtime.rebuild import Rebuilding
from shared.runtime.watchdog import Watchdog
from shared.testing.clock import ManualClock
from shared.testing.log import Log, MemoryMessage
from shared.testing.metrics import RecordingMetrics
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource
from tests.support.loops import NoTracer

GROUP, PARTITIONS = "folds", 3


@dataclass
class MemoryRanges:
    """Reads `entities` again; counts what it read. Retention took everything before `kept`."""

    log: Log
    kept: int = 0
    read_again: int = 0

    def start(self, partition: int) -> int:
        """See `Ranges`."""
        del partition
        return self.kept

    def read(self, partition: int, start: int, end: int) -> Iterable[Sequence[MemoryMessage]]:
        """See `Ranges`; two records a chunk."""
        while start < end:
            chunk = [m for m in self.log.fetch("entities", partition, start, 2) if m.offset() < end]
            if not chunk:
                return
            self.read_again += len(chunk)
            yield chunk
            start = chunk[-1].offset() + 1


@dataclass
class Fold:
    """One worker."""

    loop: Loop
    source: MemorySource
    sink: MemorySink
    step: FoldStep
    metrics: RecordingMetrics


@dataclass
class FoldWorld:
    """A log with `entities` and `features`, and workers between them."""

    spec: PipelineSpec
    max_batch: int = 5
    clock: ManualClock = field(default_factory=ManualClock)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the topics."""
        self.log = Log({"entities": PARTITIONS, "features": PARTITIONS, "dlq": 1}, self.clock)
        self.group = self.log.group(GROUP, "entities")
        self.ranges = MemoryRanges(self.log)

    def fold(self, slot: int = 0, mark: Callable[[str], None] = lambda _: None) -> Fold:
        """Start a worker; one that had this slot before is fenced."""
        metrics, health = RecordingMetrics(), Health(self.clock, max_turn_age=60.0, checks=("assignment",))
        step = FoldStep(self.spec, "features", metrics)
        made: list[tuple[MemorySource, MemorySink]] = []

        def connect(loop: Loop) -> tuple[MemorySource, ExactlyOnce]:
            source = MemorySource(self.log, group=GROUP, topic="entities", listener=loop, name=f"f{slot}.{id(loop)}")
            sink = MemorySink(self.log, f"fold.{slot}")
            made.append((source, sink))
            return source, ExactlyOnce(sink, Watchdog(self.clock, 1e9), self.clock, mark)

        loop = Loop(
            connect=connect,
            step=step,
            controls=Rebuilding(step, self.ranges, lambda *where: self.gaps.append(where), lambda: None),
            letters=lambda rejects: dead_letters("dlq", "entities", rejects),
            pacer=Pacer(max_batch=self.max_batch, latency_target=0.1, gather=0.003),
            limit=DeadLetterLimit(),
            probe=Probe(
                pipeline="p", topic="entities", metrics=metrics, health=health, tracer=NoTracer(), clock=self.clock,
                outcome="folded",
            ),
            clock=self.clock,
            pause=self.clock.advance,
        )  # fmt: skip
        return Fold(loop, *made[0], step, metrics)

    def send(self, event: EntityEvent) -> None:
        """Append an event where its key belongs."""
        self.log.append("entities", -1, f"{event.group}:{event.entity}".encode(), msgspec.json.encode(event))

    def updates(self) -> list[FeatureUpdate]:
        """All versions that were committed, in log order."""
        return [msgspec.json.decode(m.value() or b"", type=FeatureUpdate) for m in self.log.read("features")]

    def drain(self, *folds: Fold, turns: int = 400) -> None:
        """Turn them until nothing is left."""
        idle = 0
        for _ in range(turns):
            for fold in folds:
                fold.loop.turn()
            idle = idle + 1 if not any(fold.source.lag() for fold in folds) else 0
            if idle == 3:
                return
        raise AssertionError(f"still {[fold.source.lag() for fold in folds]} events behind")
