"""Single messages outside any transaction: heartbeats, announcements, barriers."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from shared.adapters.kafka.sink import producer_config
from shared.core.errors import Unavailable
from shared.core.records import Headers


class Announcer:
    """An idempotent producer for few messages.

    Args:
        conf: connection settings of the client.
        timeout: s within which the broker must acknowledge.
    """

    def __init__(self, conf: Mapping[str, Any], timeout: float) -> None:
        self._timeout = timeout
        made = producer_config(conf, transactional_id="", transaction_timeout=timeout)
        self._producer = Producer({"log_level": 3, **made, "linger.ms": 0})
        self._failed = ""

    def send(
        self, topic: str, key: bytes, value: bytes, *, headers: Headers | None = None, partitions: Sequence[int] = ()
    ) -> None:
        """Send one message, or the same one to each of these partitions, and wait until it is acknowledged.

        Raises:
            Unavailable: it was not acknowledged in time; it may still arrive (all we announce is idempotent).
        """
        given: Any = headers
        try:
            for partition in partitions or (-1,):
                self._producer.produce(topic, value, key, partition, self._report, headers=given)
            left = self._producer.flush(self._timeout)
        except (KafkaException, BufferError) as error:
            raise Unavailable(f"kafka: {topic}: {error}") from error
        if left or self._failed:
            why, self._failed = self._failed or "not acknowledged in time", ""
            self._producer.purge()
            raise Unavailable(f"kafka: {topic}: {why}")

    def post(self, topic: str, key: bytes, value: bytes) -> None:
        """Send one message and do not wait: the next one says the same better."""
        try:
            self._producer.produce(topic, value, key)
            self._producer.poll(0)
        except (KafkaException, BufferError):
            self._producer.purge()

    def close(self) -> None:
        """Let the client go."""
        self._producer.flush(1.0)

    def _report(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = error.str()
