"""One face for the log in memory and a real Kafka, so that one body of tests can hold both to the same duties."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # public by documentation

from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.sink import KafkaSink
from shared.adapters.kafka.source import KafkaSource, consumer_config
from shared.adapters.kafka.table import TableReader
from shared.core.ports import Listener, Message, Sink, Source
from shared.core.records import Committed
from shared.core.refill import Refill
from shared.runtime.aligned import AlignedSource
from shared.runtime.clock import SystemClock
from shared.testing.clock import ManualClock
from shared.testing.log import Log
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource
from tests.support.wait import until

PARTITIONS = 2
EVICTED_AFTER = 6.0  # s without a poll; the least that a broker's defaults allow
CALL = 5.0  # s


@dataclass
class Heard:
    """A listener that keeps what it is told, in order."""

    told: list[tuple[str, list[int]]] = field(default_factory=list)
    positions: dict[int, Committed] = field(default_factory=dict)

    def assigned(self, positions: Mapping[int, Committed]) -> None:
        """Keep it."""
        self.told.append(("assigned", sorted(positions)))
        self.positions.update(positions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Keep it."""
        self._gone("revoked", partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Keep it."""
        self._gone("lost", partitions)

    def _gone(self, event: str, partitions: Sequence[int]) -> None:
        self.told.append((event, sorted(partitions)))
        for partition in partitions:
            del self.positions[partition]


class Rig(Protocol):
    """A log with the topics `in` and `out`, of two partitions each, and one consumer group."""

    def source(self, name: str = "a", topic: str = "in", refill: Refill | None = None) -> tuple[Source, Heard]:
        """A member of the topic's group."""

    def sink(self, transactional_id: str = "") -> Sink:
        """A producer; empty: without transactions."""

    def topic(self, name: str) -> str:
        """The full name of `in` or `out`."""

    def send(self, *values: bytes, partition: int = 0) -> None:
        """Put records into the input, outside any transaction."""

    def seen(self) -> list[bytes]:
        """What a read_committed reader sees of the output now, in order within a partition."""

    def throw_out(self, source: Source) -> None:
        """End the only member's membership behind its back. Not for `consumer`: there a silent member stays one."""

    def close(self) -> None:
        """Let everything go."""


class MemoryRig:
    """The log in memory."""

    def __init__(self) -> None:
        self.log = Log({"in": PARTITIONS, "out": PARTITIONS}, ManualClock())

    def source(self, name: str = "a", topic: str = "in", refill: Refill | None = None) -> tuple[MemorySource, Heard]:
        """See `Rig`."""
        heard = Heard()
        made = MemorySource(self.log, group=f"of-{topic}", topic=topic, listener=heard, name=name, refill=refill)
        return made, heard

    def sink(self, transactional_id: str = "") -> MemorySink:
        """See `Rig`."""
        return MemorySink(self.log, transactional_id)

    def topic(self, name: str) -> str:
        """See `Rig`."""
        return name

    def send(self, *values: bytes, partition: int = 0) -> None:
        """See `Rig`."""
        for value in values:
            self.log.append("in", partition, b"k", value)

    def seen(self) -> list[bytes]:
        """See `Rig`."""
        return [m.value() or b"" for m in self.log.read("out")]

    def throw_out(self, source: Source) -> None:
        """See `Rig`."""
        assert isinstance(source, MemorySource)
        self.log.group("of-in").remove(source.member)

    def close(self) -> None:
        """See `Rig`."""


class KafkaRig:
    """A real broker, with topics of this rig's own.

    Args:
        kafka: bootstrap servers.
        prefix: of all names.
        protocol: the rebalance protocol, `classic` or `consumer`.
    """

    def __init__(self, kafka: str, prefix: str, protocol: str) -> None:
        self._prefix, self._protocol = prefix, protocol
        self.conf: dict[str, Any] = {"bootstrap.servers": kafka, "log_level": 2}
        self._announcer = Announcer(self.conf, CALL)
        self._closing: list[Callable[[], None]] = [self._announcer.close]
        self._admin = AdminClient(self.conf)
        made = self._admin.create_topics([NewTopic(self.topic(name), PARTITIONS, 1) for name in ("in", "out")])
        for future in made.values():
            future.result(CALL)

    def topic(self, name: str) -> str:
        """See `Rig`."""
        return f"{self._prefix}.{name}"

    def group(self, topic: str = "in") -> str:
        """The group that reads a topic."""
        return f"{self._prefix}.of-{topic}"

    def source(self, name: str = "a", topic: str = "in", refill: Refill | None = None) -> tuple[Source, Heard]:
        """See `Rig`."""
        heard = Heard()
        source = self.make(heard, name, topic, refill)
        self._closing.append(source.close)
        return source, heard

    def make(self, listener: Listener, name: str, topic: str, refill: Refill | None) -> Source:
        """A source that tells this listener."""
        return self.plain(listener, name, topic, refill)

    def plain(self, listener: Listener, name: str, topic: str, refill: Refill | None) -> KafkaSource:
        """The client's own source."""
        conf = consumer_config(
            self.conf | {"client.id": f"{self._prefix}-{name}"},
            group=self.group(topic),
            group_protocol=self._protocol,
            session_timeout=EVICTED_AFTER,
            max_poll_interval=EVICTED_AFTER,
        )
        return KafkaSource(
            conf,
            topic=self.topic(topic),
            listener=listener,
            call_timeout=CALL,
            gap=lambda *where: print("gap", where),
            refill=refill,
        )

    def sink(self, transactional_id: str = "") -> KafkaSink:
        """See `Rig`."""
        own = f"{self._prefix}.{transactional_id}" if transactional_id else ""
        sink = KafkaSink(
            self.conf, transactional_id=own, transaction_timeout=10.0, call_timeout=CALL, clock=SystemClock()
        )
        self._closing.append(sink.close)
        return sink

    def send(self, *values: bytes, partition: int = 0) -> None:
        """See `Rig`."""
        for value in values:
            self._announcer.send(self.topic("in"), b"k", value, partitions=[partition])

    def seen(self) -> list[bytes]:
        """See `Rig`."""
        reader = TableReader(self.conf, self.topic("out"), CALL)
        try:
            return list(reader.to_end())
        finally:
            reader.close()

    def throw_out(self, source: Source) -> None:
        """See `Rig`: it is not polled for too long, as a worker that hangs."""
        del source  # the only member
        until(lambda: not self.members(), "the member's end", EVICTED_AFTER * 3)

    def members(self) -> int:
        """How many the group has."""
        group = self.group()
        return len(self._admin.describe_consumer_groups([group])[group].result(CALL).members)

    def write_metadata(self, partition: int, offset: int, metadata: str) -> None:
        """Commit an offset with any metadata, as a foreign tool may; the group must have no members."""
        consumer = Consumer({**self.conf, "group.id": self.group(), "enable.auto.commit": False})
        where = TopicPartition(self.topic("in"), partition, offset, metadata)
        try:
            consumer.commit(offsets=[where], asynchronous=False)
        finally:
            consumer.close()

    def close(self) -> None:
        """See `Rig`."""
        for close in reversed(self._closing):
            close()


class AlignedRig(KafkaRig):
    """A real broker, its partitions read side by side in event time."""

    def make(self, listener: Listener, name: str, topic: str, refill: Refill | None) -> Source:
        """See `KafkaRig`; the event time is the append time."""
        return AlignedSource(
            lambda front: self.plain(front, name, topic, refill), listener, lambda m: m.timestamp()[1], SystemClock()
        )


def poll(
    *sources: Source, until: Callable[[list[Message]], object], limit: int = 100, seconds: float = 15.0
) -> list[Message]:
    """Poll these, in turn, until the records of all together satisfy the condition; fail when they do not in time."""
    messages: list[Message] = []
    end = time.monotonic() + seconds
    while not until(messages):
        assert time.monotonic() < end, (
            f"not within {seconds:g} s; got {[(m.partition(), m.offset()) for m in messages]}"
        )
        for source in sources:
            messages += source.poll(limit, 0.003, 0.05).messages
    return messages
