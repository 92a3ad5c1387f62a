"""Compacted topics as tables: `models` followed by every worker, `rollouts` and `workers` read when asked for."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from shared.adapters.kafka.reasons import FORBIDDEN, RIGHTS, Reasons
from shared.core.errors import Unavailable


def _consumer(conf: Mapping[str, Any]) -> Consumer:
    return Consumer(
        {
            "group.id": "tailrace-table",  # the client wants one; it is never joined and nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
            "fetch.wait.max.ms": 50,
            **conf,
        }
    )


TRIES = 4  # within the time-out: between them it is seen whether the broker refuses us for good
RETRY = 0.1  # s between tries while the topic's leader is not known


class TableReader:
    """Reads a whole topic, and then what is new, without a group.

    Args:
        conf: connection settings of the client.
        topic: the topic.
        timeout: s within which the broker must answer.
        bad: told of errors of the client; the reader goes on.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        topic: str,
        timeout: float,
        bad: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._topic, self._timeout, self._bad = topic, timeout, bad
        self._reasons = Reasons(conf)
        self._consumer = _consumer({**conf, "error_cb": self._reasons.heard})
        self._at: dict[int, int] = {}

    def fresh(self) -> Iterator[bytes]:
        """Values that have already arrived, without waiting; the whole topic at the first call."""
        if not self._at:
            yield from self.to_end()
            return
        yield from self._take(self._consumer.consume(1_000, 0))

    def to_end(self) -> Iterator[bytes]:
        """Values up to the end of the topic as of this call.

        Raises:
            Unavailable: the broker does not answer in time, or the topic does not exist.
        """
        deadline = time.monotonic() + self._timeout
        ends: dict[int, int] = {}
        while not ends:
            try:
                if not self._at:
                    self._assign()
                ends = {p: self._end(p) for p in self._at}
            except KafkaException as error:  # a topic just made, or a broker just back: its leader is not known yet
                self._wait(deadline, error)
        self._reasons.forget()
        while any(self._at[p] < end for p, end in ends.items()):
            if time.monotonic() > deadline:
                raise Unavailable(f"kafka: {self._topic} could not be read to its end in {self._timeout:g} s")
            yield from self._take(self._consumer.consume(1_000, 0.05))
            try:
                self._at.update({p.partition: max(p.offset, self._at[p.partition]) for p in self._positions()})
            except KafkaException as error:
                self._wait(deadline, error)

    def _wait(self, deadline: float, error: KafkaException) -> None:
        if not self._at:
            self._consumer.poll(0)  # serves the callback, which knows why; nothing is assigned that it could take
        if self._reasons.hopeless() or time.monotonic() > deadline:
            cause = error.args[0]
            said = f"{self._topic}: {cause.str()}"
            if self._reasons.explains(cause.code()):
                raise Unavailable(str(self._reasons.error(said, cause.code(), self._timeout))) from error
            raise Unavailable(f"kafka: {said}") from error
        time.sleep(RETRY)

    def close(self) -> None:
        """Let the client go."""
        self._consumer.close()

    def _assign(self) -> None:
        known = self._consumer.list_topics(self._topic, timeout=self._timeout / TRIES).topics[self._topic]
        if known.error is not None and known.error.retriable():
            raise KafkaException(known.error)
        if known.error is not None and known.error.code() in FORBIDDEN:
            raise Unavailable(f"topic {self._topic}: {known.error.str()}; {RIGHTS}")
        if known.error is not None:
            raise Unavailable(f"topic {self._topic}: {known.error.str()}; run `tailrace topics apply PIPELINE`")
        self._at = dict.fromkeys(known.partitions, 0)
        self._consumer.assign([TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in self._at])

    def _end(self, partition: int) -> int:
        marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=self._timeout)
        if not marks:
            raise Unavailable(f"kafka: no answer about the end of {self._topic}")
        return marks[1] if marks[1] > marks[0] else 0

    def _positions(self) -> list[TopicPartition]:
        """Positions pass over transaction markers and compacted offsets, which are never given as messages."""
        return self._consumer.position([TopicPartition(self._topic, p) for p in self._at])

    def _take(self, messages: list[Message]) -> Iterator[bytes]:
        for message in messages:
            if message.error():
                self._bad(str(message.error()))
                continue
            partition, offset = message.partition(), message.offset()
            if partition is not None and offset is not None:
                self._at[partition] = offset + 1
            value = message.value()
            if value is not None:  # a tombstone deletes a key that nobody asks for any more
                yield bytes(value) if isinstance(value, bytes) else str(value).encode()
