"""The output side of the loop on a real Kafka: a producer with or without transactions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from shared.adapters.kafka.errors import classify
from shared.core.errors import Fatal, Indefinite, Retriable
from shared.core.ports import Block, Clock
from shared.core.records import Committed

FULL_QUEUE_WAIT = 0.05  # s to serve delivery reports when the local queue is full


def producer_config(conf: Mapping[str, Any], *, transactional_id: str, transaction_timeout: float) -> dict[str, Any]:
    """The client's settings, as measured in docs/delivery.md.

    Without `retry.backoff.ms` of a few milliseconds (the default is 100) every small transaction takes 100 ms, since
    the broker answers CONCURRENT_TRANSACTIONS while the last commit's markers are still being written.
    """
    timeout_ms = int(transaction_timeout * 1000)
    own: dict[str, Any] = {
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # Java's; librdkafka's default would put keys elsewhere
        "compression.type": "lz4",
        "linger.ms": 5,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 500_000,
        "retry.backoff.ms": 1,
        "retry.backoff.max.ms": 20,
        "message.timeout.ms": timeout_ms,  # never above the transaction's
    }
    if transactional_id:
        own |= {"transactional.id": transactional_id, "transaction.timeout.ms": timeout_ms}
    return {**own, **conf}


class KafkaSink:
    """Implements `Sink`. With a transactional id every delivery is one transaction.

    Args:
        conf: connection settings of the client.
        transactional_id: stable a worker slot, unique among live workers; empty: no transactions.
        transaction_timeout: s after which the broker aborts what a dead worker left open.
        call_timeout: s that one call may take before it is tried again.
        clock: for the budget of retries.
        turn: called between retries, so that a worker that waits for its broker still counts as alive.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        *,
        transactional_id: str,
        transaction_timeout: float,
        call_timeout: float,
        clock: Clock,
        turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._conf = producer_config(conf, transactional_id=transactional_id, transaction_timeout=transaction_timeout)
        self._transactional = bool(transactional_id)
        self._budget, self._call, self._clock, self._turn = transaction_timeout, call_timeout, clock, turn
        self._failed = ""
        self._producer = self._new()

    def _new(self) -> Producer:
        producer = Producer(self._conf)
        if self._transactional:
            self._again(lambda: producer.init_transactions(self._call))
        return producer

    def begin(self) -> None:
        """Begin a transaction."""
        if self._transactional:
            self._again(self._producer.begin_transaction)

    def produce(self, block: Block) -> None:
        """Hand a block to the client's queue; waits where the queue is full."""
        n = len(block.values)
        headers: Sequence[Any] = block.headers or [None] * n
        partitions = block.partitions or [-1] * n
        report = None if self._transactional else self._report
        produce, topic = self._producer.produce, block.topic
        for value, key, header, partition in zip(block.values, block.keys, headers, partitions, strict=True):
            try:
                produce(topic, value, key, partition, report, None, 0, header)  # by name costs half as much again
            except BufferError:
                self._produce_when_free((topic, value, key, partition, report, None, 0, header))
            except KafkaException as error:
                raise classify(error) from error

    def _produce_when_free(self, message: Sequence[Any]) -> None:
        while True:
            self._wait(self._producer.poll, FULL_QUEUE_WAIT)
            try:
                self._producer.produce(*message)
            except BufferError:
                continue
            except KafkaException as error:
                raise classify(error) from error
            return

    def flush(self) -> None:
        """Wait until every message is acknowledged, within the transaction's time-out."""
        deadline = self._clock.monotonic() + self._budget
        while self._wait(self._producer.flush, self._call):
            if self._clock.monotonic() > deadline:
                raise Fatal("messages were not acknowledged in time", transient=True)
        if self._failed:
            said, self._failed = self._failed, ""
            raise Fatal(said, transient=True)

    def send_offsets(self, offsets: Mapping[int, Committed], token: object) -> None:
        """Add the offsets, with their notes, to the transaction. `token` is (topic, the batch's group metadata)."""
        topic, metadata = cast("tuple[str, object]", token)  # what KafkaSource made
        listed = [TopicPartition(topic, p, c.offset, encode_note(c)) for p, c in offsets.items()]
        self._again(lambda: self._producer.send_offsets_to_transaction(listed, metadata, self._call))

    def commit(self) -> None:
        """Commit. A call that timed out is still in progress: only the same call may follow.

        Raises:
            Indefinite: the end is unknown; this producer must not begin again.
        """
        if not self._transactional:
            return
        try:
            self._again(lambda: self._producer.commit_transaction(self._call))
        except Retriable as error:
            raise Indefinite(str(error), transient=True) from error

    def abort(self) -> None:
        """Abort; raises `Indefinite` where its end is unknown."""
        if not self._transactional:
            return
        try:
            self._again(lambda: self._producer.abort_transaction(self._call))
        except Retriable as error:
            raise Indefinite(str(error), transient=True) from error

    def renew(self) -> None:
        """A new producer with the same id: fences the old one and ends its transaction.

        Raises:
            LogError: the broker does not answer within the budget; may be called again.
        """
        self._producer.purge()
        self._failed = ""
        self._producer = self._new()

    def close(self) -> None:
        """Let the client go; what is still queued is dropped, an open transaction is aborted by the broker or here."""
        if self._transactional:
            with suppress(KafkaException):  # none open, or the broker is gone: its time-out ends it
                self._producer.abort_transaction(self._call)
        self._producer.purge()
        with suppress(KafkaException):  # what ended this producer, once more: whoever closes it has heard of it
            self._producer.flush(0)

    def _wait(self, call: Callable[[float], int], seconds: float) -> int:
        """Serve the client's queues; a producer that was fenced meanwhile is told here as well."""
        try:
            return call(seconds)
        except KafkaException as error:
            raise classify(error) from error

    def _again(self, call: Callable[[], Any]) -> None:
        """Call until it succeeds: a retriable error means the same call with the same arguments, within the budget."""
        deadline = self._clock.monotonic() + self._budget
        while True:
            try:
                call()
            except KafkaException as error:
                failure = classify(error)
                if not isinstance(failure, Retriable) or self._clock.monotonic() > deadline:
                    raise failure from error
                self._turn()
            else:
                return

    def _report(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed = f"{error.name()}: {error.str()}"


def encode_note(committed: Committed) -> str:
    """The note as the offset's metadata."""
    return msgspec.json.encode(committed.note).decode()
