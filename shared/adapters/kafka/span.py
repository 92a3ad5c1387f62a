"""A topic read once, from its start to its end as of now, without a group: whole messages, committed ones only."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.kafka.reasons import RIGHTS
from shared.core.errors import Unavailable, UserError

_CHUNK = 1_000
_IDLE = 0.05  # s; the last chunk waits for it in vain


class SpanReader:
    """Reads spans of one topic under read_committed.

    Args:
        conf: connection settings of the client.
        topic: must exist.
        silence: s after which a broker that gives nothing more counts as away. An open transaction holds readers up for
            as long as its time-out, so it must be longer than that.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str, silence: float = 60.0) -> None:
        self._topic, self._silence = topic, silence
        own = {
            "group.id": "tailrace-span",  # the client wants one; it is never joined and nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",  # a start that retention takes meanwhile
            "fetch.wait.max.ms": 20,
            "log_level": 2,
        }
        self._consumer = Consumer({**own, **conf})

    def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Message]:
        """The messages of each partition from its start up to (not with) its end; in order a partition.

        Raises:
            Unavailable: the broker gives nothing more.
            UserError: the topic may not be read.
        """
        at = {p: starts.get(p, 0) for p, end in ends.items() if starts.get(p, 0) < end}
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in at.items()])
        last = time.monotonic()
        while at:
            messages = self._take()
            for message in messages:
                partition, offset = message.partition(), message.offset()
                if partition is not None and offset is not None and offset < ends[partition]:
                    yield message
            moved = self._move(at, ends)
            if messages or moved:
                last = time.monotonic()
            elif time.monotonic() - last > self._silence:
                raise Unavailable(f"kafka: {self._topic} could not be read to its end: nothing came")

    def close(self) -> None:
        """Let the client go."""
        self._consumer.close()

    def _take(self) -> list[Message]:
        try:
            messages = self._consumer.consume(_CHUNK, _IDLE)
        except KafkaException as error:
            raise Unavailable(f"kafka: {self._topic}: {error.args[0].str()}") from error
        for message in messages:
            self._check(message.error())
        return [m for m in messages if m.error() is None]

    def _check(self, error: KafkaError | None) -> None:
        """A refusal is for good; whatever else is wrong may pass, or ends in silence.

        That the group is refused does not matter: the client asks for it, and it is never joined.
        """
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise UserError(f"topic {self._topic}: {error.str()}", remedy=RIGHTS)

    def _move(self, at: dict[int, int], ends: Mapping[int, int]) -> bool:
        """Note how far each partition is; positions pass over transaction markers, which never come as messages."""
        moved = False
        for place in self._consumer.position([TopicPartition(self._topic, p) for p in at]):
            if place.offset > at[place.partition]:
                at[place.partition], moved = place.offset, True
        for partition in [p for p, offset in at.items() if offset >= ends[p]]:
            del at[partition]
        return moved
