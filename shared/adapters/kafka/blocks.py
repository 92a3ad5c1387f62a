"""Pieces of a topic, here and there, by one client: for a search that jumps."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.kafka.reasons import FORBIDDEN, RIGHTS, Reasons
from shared.core.errors import Unavailable, UserError
from shared.core.ports import Message as Record

_CHUNK = 2_000  # records a call
_MOMENT = 0.02  # s; the last chunk of a piece waits for it in vain


class BlockReader:
    """Reads any range of offsets of a topic, committed records only, without a group.

    Args:
        conf: connection settings of the client.
        topic: must exist.
        timeout: s within which something more must have come.

    Raises:
        UserError: the topic does not exist or may not be read, or the broker cannot be reached.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str, timeout: float) -> None:
        self._topic, self._timeout = topic, timeout
        own = {
            "group.id": "tailrace-blocks",  # the client wants one; it is never joined and nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",  # a start that retention takes meanwhile
            "enable.partition.eof": True,  # a piece may end in markers, which are never given as messages
            "fetch.wait.max.ms": 20,
            "queued.min.messages": 10_000,  # what is fetched beyond a piece is for nothing, unless the next one follows
            "fetch.queue.backoff.ms": 10,  # by default a queue that was full is not looked at again for a whole second
            "log_level": 2,
        }
        self._next: tuple[int, int] | None = None  # partition and offset that come without a jump
        self._over: list[Message] = []  # what came beyond the last piece
        reasons = Reasons(conf)
        self._consumer = Consumer({**own, **conf, "error_cb": reasons.heard})
        try:
            known = self._consumer.list_topics(topic, timeout=timeout).topics[topic]
        except KafkaException as error:
            self._consumer.poll(0)  # serves the callback, which knows why
            raise reasons.error(error.args[0].str(), error.args[0].code(), timeout) from None
        if known.error is not None and known.error.code() in FORBIDDEN:
            raise UserError(f"topic {topic}: {known.error.str()}", remedy=RIGHTS)
        if known.error is not None or not known.partitions:
            raise UserError(f"topic {topic} does not exist", remedy="run `tailrace topics apply PIPELINE`")
        self._partitions = sorted(known.partitions)

    def marks(self) -> dict[int, tuple[int, int]]:
        """The first offset that the log has of each partition, and the one after its last.

        Raises:
            Unavailable: no answer in time.
        """
        return {partition: self._marks(partition) for partition in self._partitions}

    def block(self, partition: int, start: int, end: int) -> Sequence[Record]:
        """The records of `[start, end)` that are committed by now, in order.

        Raises:
            Unavailable: the broker gives nothing more.
        """
        try:
            taken = self._take(partition, start, end)
        except KafkaException as error:
            self._next = None
            raise Unavailable(f"kafka: {self._topic}: {error.args[0].str()}") from error
        self._over = [m for m in taken if _offset(m) >= end]
        return cast("list[Record]", taken[: len(taken) - len(self._over)])  # the client's stubs allow str for bytes

    def _take(self, partition: int, start: int, end: int) -> list[Message]:
        """The records from `start` on, up to `end` or a little beyond; a piece that follows the last one is no jump."""
        if self._next != (partition, start):
            self._over = []
            self._consumer.assign([TopicPartition(self._topic, partition, start)])
        taken, at, deadline = self._over, start, time.monotonic() + self._timeout
        if taken:
            at = _offset(taken[-1]) + 1
        self._next = (partition, end)
        while at < end:
            messages = self._consumer.consume(min(end - at, _CHUNK), _MOMENT)
            taken += [m for m in messages if m.error() is None]
            if any(_is_end(m) for m in messages):
                self._next = None  # what is written meanwhile is not waited for
                break
            (place,) = self._consumer.position([TopicPartition(self._topic, partition)])
            if place.offset > at:  # it passes over markers too
                at, deadline = place.offset, time.monotonic() + self._timeout
            elif time.monotonic() > deadline:
                self._next = None
                raise Unavailable(f"kafka: {self._topic}[{partition}] could not be read beyond offset {at}")
        return taken

    def close(self) -> None:
        """Let the client go."""
        self._consumer.close()

    def _marks(self, partition: int) -> tuple[int, int]:
        try:
            found = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=self._timeout, cached=False
            )
        except KafkaException as error:
            raise Unavailable(f"kafka: {self._topic}: {error.args[0].str()}") from error
        if not found:
            raise Unavailable(f"kafka: no answer about {self._topic}[{partition}]")
        return found


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - public by documentation


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset
