"""The broker dies while transactions are open: each is ended soon after its return, whether its producer lives or not.

Some brokers forget to (KAFKA-20734): they take a transaction for ended whose partitions never heard of it, and readers
under read_committed see nothing of those any more.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.sink import KafkaSink
from shared.core.errors import LogError
from shared.core.ports import Block
from shared.core.topics import WantedTopic
from shared.runtime.clock import SystemClock
from tailrace.stack.stack import Stack
from tests.support.wait import until

pytestmark = pytest.mark.system
PRODUCERS = 6  # each writes to a partition of its own
TIMEOUT = 2.0  # s that a transaction may be open: over before the broker is back
BOUND = 30.0  # s after its return; the sweep is every second
TOPIC = "outputs"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A broker of its own, with the topic."""
    with Stack(tmp_path / "stack", parts=("kafka",)) as made:
        KafkaAdmin({"bootstrap.servers": made.endpoints.kafka}).create([WantedTopic(TOPIC, PRODUCERS, 1)])
        yield made


def producer(stack: Stack, slot: int) -> KafkaSink:
    """The producer of a slot."""
    return KafkaSink(
        {"bootstrap.servers": stack.endpoints.kafka, "log_level": 0},
        transactional_id=f"outputs.{slot}",
        transaction_timeout=TIMEOUT,
        call_timeout=TIMEOUT,
        clock=SystemClock(),
    )


def write(sink: KafkaSink, slot: int, value: bytes) -> None:
    """Begin, and write one message, acknowledged."""
    sink.begin()
    sink.produce(Block(TOPIC, keys=[None], values=[value], partitions=[slot]))
    sink.flush()


def hidden(stack: Stack) -> list[int]:
    """Partitions that readers under read_committed do not see whole; asked anew, since leaders change."""
    admin, parts = KafkaAdmin({"bootstrap.servers": stack.endpoints.kafka}), range(PRODUCERS)
    ends, stable = admin.offsets(TOPIC, parts, "end"), admin.offsets(TOPIC, parts, "stable")
    return [p for p in parts if stable[p] < ends[p]]


def visible(stack: Stack) -> dict[int, list[bytes]]:
    """What can be read under read_committed, by partition."""
    conf = {"bootstrap.servers": stack.endpoints.kafka, "group.id": "reader", "enable.partition.eof": True}
    consumer = Consumer({**conf, "isolation.level": "read_committed", "auto.offset.reset": "earliest"})
    found: dict[int, list[bytes]] = {p: [] for p in range(PRODUCERS)}
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PRODUCERS)])
    ends = 0
    while ends < PRODUCERS:
        for message in consumer.consume(100, 0.2):
            if message.error() is None:
                found[message.partition() or 0].append(message.value() or b"")
            else:
                ends += 1
    consumer.close()
    return found


def kill_broker(stack: Stack) -> None:
    """SIGKILL; returns once it is back."""
    pid = stack.supervisor.pid("kafka")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: stack.supervisor.pid("kafka") not in {pid, None}, "the broker's restart", 30)
    stack.supervisor.wait_ready("kafka", 60, through_restarts=True)


def test_transactions_that_were_open_at_the_broker_s_death_are_ended(stack: Stack) -> None:
    """Written, then one half never goes on and the other does: all can be read, nothing that was aborted.

    The time-out of the open transactions is over while the broker starts (F8, F15).
    """
    sinks = [producer(stack, slot) for slot in range(PRODUCERS)]
    for slot, sink in enumerate(sinks):
        write(sink, slot, b"first")
        sink.commit()
        write(sink, slot, b"open at the death")
    kill_broker(stack)
    until(lambda: not hidden(stack), "every partition to be readable to its end", BOUND)
    alive = range(0, PRODUCERS, 2)
    for slot in alive:
        with suppress(LogError):
            sinks[slot].abort()
        sinks[slot].renew()
        write(sinks[slot], slot, b"again")
        sinks[slot].commit()
    until(lambda: not hidden(stack), "what was written afterwards", BOUND)
    assert visible(stack) == {p: [b"first", b"again"] if p in alive else [b"first"] for p in range(PRODUCERS)}
