"""The input side of the loop on a real Kafka: one topic, as a member of a consumer group."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.kafka.errors import classify
from shared.adapters.kafka.headers import make_readable
from shared.adapters.kafka.offsets import decode_note, start
from shared.core.errors import Abortable, Fatal, Unavailable, UserError
from shared.core.ports import Batch, Listener
from shared.core.records import Committed
from shared.core.refill import NoRefill, Refill

STATISTICS_MS = 5_000
LOOK = 0.5  # s that a broker has to say where a partition ends
DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - public by documentation
    }
)
GONE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001 - the same


def consumer_config(
    conf: Mapping[str, Any], *, group: str, group_protocol: str, session_timeout: float, max_poll_interval: float
) -> dict[str, Any]:
    """The client's settings, for the classic (cooperative-sticky) or the consumer (KIP-848) rebalance protocol."""
    own: dict[str, Any] = {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",  # positions are always given by us; one that is gone is a gap to report
        "max.poll.interval.ms": int(max_poll_interval * 1000),
        "queued.min.messages": 50_000,
        "queued.max.messages.kbytes": 32_768,  # bounds memory; pause() would throw prefetched records away
        "fetch.message.max.bytes": 4_000_000,
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 20,  # by default a full local queue is not looked at again for a whole second
    }
    if group_protocol == "consumer":
        own["group.protocol"] = "consumer"
    else:
        own["partition.assignment.strategy"] = "cooperative-sticky"
        own["session.timeout.ms"] = int(session_timeout * 1000)
        # Members hear of a rebalance at their next heartbeat, and a partition that moves takes two: it waits for both.
        own["heartbeat.interval.ms"] = max(int(session_timeout * 1000 / 20), 200)
    return {**own, **conf}


class KafkaSource:
    """Implements `Source`. Callbacks of the client run inside `poll`, in the caller's thread.

    Args:
        conf: what `consumer_config` made.
        topic: the input topic.
        listener: told of the assignment.
        call_timeout: s that one request may take.
        gap: told of (partition, from, to) where retention deleted records before they were read.
        marks: told of (partition, high watermark, last stable offset) every few seconds.
        refill: says which partitions start at their beginning, whatever is committed.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        *,
        topic: str,
        listener: Listener,
        call_timeout: float,
        gap: Callable[[int, int, int], None],
        marks: Callable[[int, int, int], None] = lambda *_: None,
        refill: Refill | None = None,
    ) -> None:
        self._topic, self._listener, self._call, self._gap = topic, listener, call_timeout, gap
        self._marks, self._refill = marks, refill or NoRefill()
        self._next: dict[int, int] = {}  # partition -> next offset to take; -1: its beginning
        self._stopped: set[int] = set()
        self._gone: set[int] = set()  # dropped while a batch was gathered
        self._dirty = False  # the assignment or a position changed: the next batch may hold records of before
        self.generation = 0
        self._consumer = Consumer({**conf, "stats_cb": self._on_statistics, "statistics.interval.ms": STATISTICS_MS})
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def poll(self, limit: int, gather: float, idle: float) -> Batch:
        """See `Source.poll`. `consume(n, t)` waits for n or the whole t, hence one record first, then the rest."""
        if self._refill.due(self._next):
            self.rewind()
        try:
            messages: list[Message] = self._consumer.consume(1, idle)
            if messages and limit > 1:
                self._gone.clear()
                more = self._consumer.consume(limit - 1, gather)
                if self._gone:  # taken away and perhaps given back meanwhile: the first record would come twice
                    messages = [m for m in messages if m.partition() not in self._gone]
                messages += more
        except KafkaException as error:
            raise Unavailable(f"kafka: {error.args[0].str()}") from error
        token = (self._topic, self._consumer.consumer_group_metadata())  # travels with the batch
        if [m for m in messages if m.error() is not None]:  # a third of any(...)'s cost
            messages = [m for m in messages if not self._is_error(m)]
        make_readable(messages)
        if self._dirty or self._stopped:
            messages = self._current(messages)
            self._dirty = False
        partitions = [m.partition() for m in messages]
        for partition, m in dict(zip(partitions, messages, strict=True)).items():  # the last of each
            self._next[partition] = m.offset() + 1  # type: ignore[index,operator] # a record has both
        return Batch(messages, token, self.generation)  # type: ignore[arg-type] # the client's stubs allow str for bytes

    def rewind(self) -> None:
        """See `Source.rewind`."""
        owned = sorted(self._next)
        if not owned:
            return
        positions = self._committed(owned)
        try:
            for partition, committed in positions.items():
                self._consumer.seek(TopicPartition(self._topic, partition, start(committed)))
        except KafkaException as error:
            raise Unavailable(f"kafka: cannot seek: {error.args[0].str()}") from error
        self._take(positions)
        self._listener.assigned(positions)

    def commit(self, offsets: Mapping[int, Committed]) -> None:
        """See `Source.commit`. Raises `Abortable`: transient unless the note itself is at fault."""
        listed = [
            TopicPartition(self._topic, p, c.offset, msgspec.json.encode(c.note).decode()) for p, c in offsets.items()
        ]
        try:
            answers = self._consumer.commit(offsets=listed, asynchronous=False)
        except KafkaException as error:
            transient = error.args[0].code() != KafkaError.OFFSET_METADATA_TOO_LARGE
            raise Abortable(str(classify(error)), transient=transient) from error
        for answer in answers or ():
            if answer.error is not None:
                transient = answer.error.code() != KafkaError.OFFSET_METADATA_TOO_LARGE
                raise Abortable(f"offset of partition {answer.partition}: {answer.error.str()}", transient=transient)
        self._refill.committed(offsets)

    def lag(self) -> int:
        """See `Source.lag`; from the last fetch's high watermarks."""
        total = 0
        for partition, position in self._next.items():
            if partition in self._stopped:
                continue
            marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            if marks and marks[1] > 0:
                total += max(marks[1] - max(position, marks[0], 0), 0)
        return total

    def behind(self, partition: int) -> int:
        """Records that wait in an owned partition, as last known; -1 before the first fetch. Markers do not count."""
        where = TopicPartition(self._topic, partition)
        return self._beyond(where, self._consumer.get_watermark_offsets(where, cached=True))

    def look(self, partition: int) -> int:
        """The same as the broker knows it now; -1 where it does not answer soon."""
        where = TopicPartition(self._topic, partition)
        try:
            return self._beyond(where, self._consumer.get_watermark_offsets(where, timeout=LOOK, cached=False))
        except KafkaException:
            return -1

    def _beyond(self, where: TopicPartition, marks: tuple[int, int] | None) -> int:
        if not marks or marks[1] < 0:
            return -1
        (position,) = self._consumer.position([where])  # passes over markers, which are never given as records
        return max(marks[1] - max(position.offset, self._next.get(where.partition, 0), marks[0], 0), 0)

    def stop(self, partition: int) -> None:
        """See `Source.stop`."""
        self._stopped.add(partition)
        with suppress(KafkaException):  # not owned any more: its records are dropped anyhow
            self._consumer.pause([TopicPartition(self._topic, partition)])

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        positions = self._committed([p.partition for p in partitions])
        consumer.incremental_assign([TopicPartition(self._topic, p, start(c)) for p, c in positions.items()])
        self._wake()
        self._take(positions)
        self._listener.assigned(positions)

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._drop(partitions)
        self._listener.revoked([p.partition for p in partitions])  # it ends what is under way, and only then
        consumer.incremental_unassign(list(partitions))  # may another member have them
        self._wake()

    def _on_lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._drop(partitions)
        self._listener.lost([p.partition for p in partitions])
        consumer.incremental_unassign(list(partitions))

    def _wake(self) -> None:
        """Go on at once with the partitions that stay.

        While a rebalance is told, the client holds the fetching of all. A thread of its own, one a broker, that finds
        nothing to fetch then sleeps for up to 1 s and is not woken when they are let go on; a question wakes it.
        """
        staying = [TopicPartition(self._topic, p, OFFSET_END) for p in self._next.keys() - self._stopped]
        if staying:
            with suppress(KafkaException):  # no answer: they go on within that second
                self._consumer.offsets_for_times(staying, LOOK)

    def _on_statistics(self, text: str) -> None:
        """The last stable offset is told here only; a pinned one would look like no lag at all."""
        known = msgspec.json.decode(text).get("topics", {}).get(self._topic, {}).get("partitions", {})
        for name, of in known.items():
            if int(name) in self._next and of["hi_offset"] >= 0:
                self._marks(int(name), of["hi_offset"], of["ls_offset"])

    def _take(self, positions: Mapping[int, Committed]) -> None:
        self._next.update({p: c.offset for p, c in positions.items()})
        self._dirty = True

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        self.generation += 1
        self._dirty = True
        for p in partitions:
            self._next.pop(p.partition, None)
            self._stopped.discard(p.partition)
            self._gone.add(p.partition)

    def _committed(self, partitions: Sequence[int]) -> dict[int, Committed]:
        """Offset and note from one answer, so that they belong together."""
        asked = [TopicPartition(self._topic, p) for p in partitions]
        try:
            answers = self._consumer.committed(asked, timeout=self._call)
        except KafkaException as error:
            raise Unavailable(f"kafka: committed offsets: {error.args[0].str()}") from error
        for answer in answers:
            if answer.error is not None:
                raise Unavailable(f"kafka: committed offset of partition {answer.partition}: {answer.error.str()}")
        again = self._refill.begin(partitions)
        return {
            a.partition: Committed(-1 if a.partition in again else max(a.offset, -1), decode_note(a.metadata))
            for a in answers
        }

    def _current(self, messages: Sequence[Message]) -> list[Message]:
        """Only records of owned, running partitions, from their positions on."""
        kept: list[Message] = []
        expected = dict(self._next)
        for m in messages:
            partition, offset = m.partition(), m.offset()
            if partition is None or offset is None or partition in self._stopped:
                continue
            if offset >= expected.get(partition, 1 << 63):
                expected[partition] = offset + 1
                kept.append(m)
        return kept

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        partition = message.partition()
        if error.code() == KafkaError._AUTO_OFFSET_RESET and partition in self._next:  # noqa: SLF001 - public by documentation
            self._skip_gap(partition)
        elif error.code() in DENIED:
            raise UserError(f"kafka: {error.str()}", remedy="ask for read access to the topic and the group")
        elif error.code() in GONE:  # it may still come: no reason to give up for good
            raise Unavailable(f"topic {self._topic} does not exist; run `tailrace topics apply PIPELINE`")
        elif error.fatal():
            raise Fatal(f"{error.name()}: {error.str()}")
        return True

    def _skip_gap(self, partition: int) -> None:
        """Go on at the log's start. A position beyond its end is no gap: which records are new is not ours to guess."""
        where, position = TopicPartition(self._topic, partition), self._next[partition]
        try:
            marks = self._consumer.get_watermark_offsets(where, timeout=self._call)
            if not marks:
                raise Unavailable(f"kafka: no answer about the start of partition {partition}")
            if position > marks[1]:
                raise UserError(
                    f"{self._topic}: offset {position} of partition {partition} is beyond the log's end {marks[1]}",
                    remedy="the topic was recreated or cut: reset the group's offsets, then start again",
                )
            self._consumer.incremental_unassign([where])  # its fetcher ended with the error: a seek is refused
            self._consumer.incremental_assign([TopicPartition(self._topic, partition, marks[0])])
        except KafkaException as error:
            raise Unavailable(f"kafka: cannot pass a gap: {error.args[0].str()}") from error
        if marks[0] > position:
            self._gap(partition, max(position, 0), marks[0])
        self._next[partition] = marks[0]
        self._dirty = True
