"""A producer outside any transaction: idempotent, acknowledged by all replicas, keys placed as Java places them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shared.core.errors import Unavailable
from shared.core.records import Headers

Acknowledged = Callable[[int, int], None]
_FULL = 0.05  # seconds to wait for room in the client's queue


class KafkaPublisher:
    """Publishes messages in order a partition, without gaps: after the first failure nothing more is taken.

    Args:
        conf: connection settings of the client.
        timeout: seconds after which a message that the broker did not acknowledge has failed.
    """

    def __init__(self, conf: Mapping[str, Any], timeout: float = 120.0) -> None:
        self._producer = Producer(
            {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                # Failures are raised with their reason; librdkafka would print each attempt besides.
                "log_level": 2,
                "queue.buffering.max.messages": 100_000,
                "message.timeout.ms": int(timeout * 1000),
                **conf,
            }
        )
        self._failure = ""
        self._report = self._acknowledged

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers | None, done: Acknowledged | None
    ) -> None:
        """Hand over one message.

        Args:
            topic: where to.
            key: decides the partition (murmur2); None: any.
            value: the bytes; None for a record without a value.
            headers: None for none.
            done: told partition and offset once the message is acknowledged.

        Raises:
            Unavailable: this or an earlier message could not be delivered.
        """
        given: Any = headers  # the client's types ask for a list of a wider union, and lists are invariant
        report = self._report if done is None else partial(self._acknowledged, done=done)
        while True:
            if self._failure:
                raise Unavailable(self._failure)
            try:
                self._producer.produce(topic, value, key, headers=given, on_delivery=report)
            except BufferError:
                self._producer.poll(_FULL)
            except KafkaException as error:
                raise Unavailable(error.args[0].str()) from error
            else:
                self._producer.poll(0)
                return

    def flush(self, timeout: float) -> None:
        """Wait until every message is acknowledged.

        Raises:
            Unavailable: one was not, or not within `timeout` seconds.
        """
        left = self._producer.flush(timeout)
        if self._failure or left:
            raise Unavailable(self._failure or f"{left} messages are not acknowledged after {timeout:g} s")

    def _acknowledged(self, error: KafkaError | None, message: Message, done: Acknowledged | None = None) -> None:
        if error is not None:
            self._failure = self._failure or f"{message.topic()}: {error.str()}"
        elif done is not None:
            partition, offset = message.partition(), message.offset()
            if partition is not None and offset is not None:
                done(partition, offset)
