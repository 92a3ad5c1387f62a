"""A part of one partition, read again: the past that a service with a memory needs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.core.errors import Unavailable
from shared.core.ports import Message as Record

CHUNK = 5_000  # records a call
WAIT = 0.2  # s


class RangeReader:
    """Reads offsets of a topic that were committed, as a read_committed reader, without a group.

    Args:
        conf: connection settings of the client.
        topic: the topic.
        timeout: s within which something more must have come.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str, timeout: float) -> None:
        self._topic, self._timeout = topic, timeout
        self._conf: dict[str, Any] = {
            "group.id": "tailrace-ranges",  # the client wants one; it is never joined and nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,  # the range may end in markers, which are never given as messages
            "fetch.wait.max.ms": 50,
            **conf,
        }

    def start(self, partition: int) -> int:
        """The first offset that the log still has.

        Raises:
            Unavailable: the broker does not answer in time.
        """
        consumer = Consumer(self._conf)
        try:
            marks = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=self._timeout)
        except KafkaException as error:
            raise Unavailable(f"kafka: {self._topic}: {error.args[0].str()}") from error
        finally:
            consumer.close()
        if not marks:
            raise Unavailable(f"kafka: no answer about the start of partition {partition} of {self._topic}")
        return int(marks[0])

    def read(self, partition: int, start: int, end: int) -> Iterator[Sequence[Record]]:
        """The records of `[start, end)`, in order, in chunks.

        Raises:
            Unavailable: the broker stopped to answer before the end.
        """
        consumer = Consumer(self._conf)
        try:
            consumer.assign([TopicPartition(self._topic, partition, start)])
            deadline, at = time.monotonic() + self._timeout, start
            while at < end:
                if time.monotonic() > deadline:
                    raise Unavailable(f"kafka: {self._topic}[{partition}] could not be read beyond offset {at}")
                messages = consumer.consume(CHUNK, WAIT)
                if any(self._is_end(m) for m in messages):
                    at = end
                taken = [m for m in messages if m.error() is None and _offset(m) < end]
                if messages and messages[-1].error() is None:
                    at = max(at, _offset(messages[-1]) + 1)
                if taken:
                    deadline = time.monotonic() + self._timeout
                    yield cast("list[Record]", taken)  # the client's stubs allow str for bytes
        except KafkaException as error:
            raise Unavailable(f"kafka: {self._topic}: {error.args[0].str()}") from error
        finally:
            consumer.close()

    def _is_end(self, message: Message) -> bool:
        """Whether all that is committed has been given; what the client mends by itself is only waited for."""
        error = message.error()
        return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - public by documentation


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset
