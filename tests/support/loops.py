"""A world for the loop: a log in memory, workers with a step that says which epoch scored what, and what came of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import msgspec

from shared.core.deadletter import SOURCE, dead_letters
from shared.core.pacing import Pacer
from shared.core.pipeline import DeadLetterLimit
from shared.core.ports import Batch, Block, Message, Part, Reject, Result, Step
from shared.core.records import (
    CONTROL_HEADER,
    Application,
    Barrier,
    BundleRef,
    Note,
    Position,
    Rollout,
    RolloutState,
)
from shared.core.rollout import RolloutTable
from shared.runtime.controls import Barriers
from shared.runtime.delivery import AtLeastOnce, Delivery, ExactlyOnce
from shared.runtime.follow import application_block
from shared.runtime.health import Health
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.runtime.under_way import Later
from shared.runtime.watchdog import Watchdog
from shared.testing.clock import ManualClock
from shared.testing.log import Log, MemoryMessage
from shared.testing.metrics import RecordingMetrics
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource

GROUP = "scorers"
EXACTLY, AT_LEAST = "exactly_once", "at_least_once"
MARKS = {
    EXACTLY: ("begun", "produced", "flushed", "offsets_sent", "committed"),
    AT_LEAST: ("produced", "flushed", "committed"),
}


class NoTracer:
    """Spans that nobody sees."""

    def batch(
        self, name: str, *, destination: str, links: Sequence[str], attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[None]:
        """Nothing."""
        del name, destination, links, attributes
        return nullcontext()

    def passes(self, traceparent: bytes) -> bool:
        """Always."""
        del traceparent
        return True

    def pass_all(self, traceparents: Sequence[bytes | None]) -> bool:
        """Always."""
        del traceparents
        return True

    def carry(self, traceparent: str | None) -> str | None:
        """The same."""
        return traceparent


def rollout(epoch: int, state: RolloutState = "active", version: str = "") -> Rollout:
    """The rollout of `v<epoch>`."""
    return Rollout("shop", epoch, BundleRef(version or f"v{epoch}", "file:///x", "0" * 64), state)


def score(part: Part) -> Result:
    """One line a record: partition, offset, epoch. Bodies `bad...` are rejects, `poison...` breaks the step."""
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    partitions: list[int] = []
    rejects: list[Reject] = []
    for m in part.messages:
        body = m.value() or b""
        if body.startswith(b"poison"):
            raise ValueError(body)
        if body.startswith(b"bad"):
            rejects.append(Reject(m, "wrong_type"))
            continue
        values.append(b"%d %d %d" % (m.partition(), m.offset(), part.epoch))
        keys.append(m.key())
        partitions.append(m.partition())
    return Result([Block("out", keys, values, None, partitions)] if values else [], rejects)


class FreshToken(Loop):
    """The planted bug: the group's metadata is taken at the delivery, not with the batch."""

    def _deliver(
        self,
        blocks: Sequence[Block],
        last: Mapping[int, Message],
        notes: Mapping[int, Note],
        batch: Batch,
        *,
        ahead: bool,
    ) -> Later:
        fresh = Batch(batch.messages, self._source.token(), batch.generation)  # type: ignore[attr-defined] # the log's own source
        return super()._deliver(blocks, last, notes, fresh, ahead=ahead)


@dataclass
class Node:
    """One worker, and the parts of it that tests reach for."""

    slot: int
    loop: Loop
    source: MemorySource
    sink: MemorySink
    probe: Probe
    metrics: RecordingMetrics


@dataclass
class World:
    """A log with its topics, a rollout table, and workers over it."""

    partitions: int = 2
    guarantee: str = EXACTLY
    max_batch: int = 100
    limit: DeadLetterLimit = field(default_factory=DeadLetterLimit)
    clock: ManualClock = field(default_factory=ManualClock)
    table: RolloutTable = field(default_factory=lambda: RolloutTable([rollout(1)]))
    local: bool = False
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the topics."""
        sizes = {"in": self.partitions, "out": self.partitions, "dlq": 1, "rollouts": 1}
        self.log = Log(sizes, self.clock)
        self.group = self.log.group(GROUP, "in")

    def pause(self, seconds: float) -> None:
        """What waiting does here: the clock goes on."""
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def node(
        self,
        slot: int = 0,
        *,
        step: Step = score,
        mark: Callable[[str], None] = lambda _: None,
        kind: type[Loop] = Loop,
    ) -> Node:
        """Start a worker; one that had this slot before is fenced."""
        metrics, health = RecordingMetrics(), Health(self.clock, max_turn_age=60.0, checks=("assignment",))
        probe = Probe(pipeline="shop", topic="in", metrics=metrics, health=health, tracer=NoTracer(), clock=self.clock)
        watchdog = Watchdog(self.clock, 1e9)
        made: list[tuple[MemorySource, MemorySink]] = []

        def connect(loop: Loop) -> tuple[MemorySource, Delivery]:
            source = MemorySource(self.log, group=GROUP, topic="in", listener=loop, name=f"w{slot}.{id(loop)}")
            exactly = self.guarantee == EXACTLY
            sink = MemorySink(self.log, f"shop.{slot}" if exactly else "")
            made.append((source, sink))
            if exactly:
                return source, ExactlyOnce(sink, watchdog, self.clock, mark)
            return source, AtLeastOnce(sink, source, watchdog, mark)

        loop = kind(
            connect=connect,
            step=step,
            controls=Barriers(lambda _: self.table, self.applications, application_block("rollouts"), local=self.local),
            letters=lambda rejects: dead_letters("dlq", "in", rejects),
            pacer=Pacer(max_batch=self.max_batch, latency_target=0.1, gather=0.003),
            limit=self.limit,
            probe=probe,
            clock=self.clock,
            pause=self.pause,
        )
        return Node(slot, loop, *made[0], probe, metrics)

    def send(self, *bodies: bytes, partition: int = 0, key: bytes = b"k") -> list[int]:
        """Append records to the input; their offsets."""
        return [self.log.append("in", partition, key, body) for body in bodies]

    def barrier(self, epoch: int, partitions: Sequence[int] | None = None) -> dict[int, int]:
        """Append a barrier to each partition; the offset of each."""
        value = msgspec.json.encode(Barrier(epoch))
        where = range(self.partitions) if partitions is None else partitions
        return {p: self.log.append("in", p, b"c", value, [(CONTROL_HEADER, b"rollout")]) for p in where}

    def applications(self) -> list[Application]:
        """The `rollouts` topic."""
        return [msgspec.json.decode(m.value() or b"", type=Application) for m in self.log.read("rollouts")]

    def predictions(self) -> list[tuple[int, int, int]]:
        """(partition, offset, epoch) of each committed prediction, in the order of the output."""
        lines = [(m.value() or b"").split() for m in self.log.read("out")]
        return [(int(p), int(o), int(e)) for p, o, e in lines]

    def letters(self) -> list[Position]:
        """The input position of each committed dead letter."""
        return [_position(m) for m in self.log.read("dlq")]

    def outcomes(self) -> Counter[tuple[int, int]]:
        """How many outcomes each input position has."""
        counts = Counter((p, o) for p, o, _ in self.predictions())
        counts.update((at.partition, at.offset) for at in self.letters())
        return counts

    def inputs(self) -> set[tuple[int, int]]:
        """The positions of all records that need an outcome."""
        return {(m.partition(), m.offset()) for m in self.log.read("in") if not m.headers()}

    def offset(self, partition: int = 0) -> int:
        """The committed offset of a partition; -1 where there is none."""
        return self.group.committed([partition])[partition].offset

    def note(self, partition: int = 0) -> Note:
        """The committed note of a partition."""
        return self.group.committed([partition])[partition].note


def drain(*nodes: Node, turns: int = 50) -> None:
    """Turn these workers, in turn, until none has anything left (twice over, for what a rebalance brings)."""
    idle = 0
    for _ in range(turns):
        for node in nodes:
            node.loop.turn()
        idle = idle + 1 if not any(node.source.lag() for node in nodes) else 0
        if idle == 3:
            return
    raise AssertionError(f"still {[node.source.lag() for node in nodes]} records behind after {turns} turns")


def _position(letter: MemoryMessage) -> Position:
    text = dict(letter.headers() or ())[SOURCE] or b""
    topic, _, rest = text.decode().partition("[")
    partition, _, offset = rest.partition("]@")
    return Position(topic, int(partition), int(offset))
