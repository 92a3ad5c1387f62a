"""Topics of one partition each, read by one member of a group at a time, from where it says it was.

Whoever has the partitions works; the others wait for it to go. Offsets are not committed here: who works keeps them
with what it made of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.core.errors import Unavailable

_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Taken:
    """One committed value."""

    topic: str
    offset: int
    value: bytes


class OwnedReader:
    """A member of the group.

    Args:
        conf: connection settings of the client.
        group: the group.
        topics: of one partition each.
        begin: the partitions were won: gives the offset of each topic to read from. Where it raises, it is asked again.
        gone: they were taken away, or lost.
        session_timeout: s after which a member that is silent loses them.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        group: str,
        topics: Sequence[str],
        *,
        begin: Callable[[], Mapping[str, int]],
        gone: Callable[[], None],
        session_timeout: float,
    ) -> None:
        self._topics, self._begin, self._gone = tuple(topics), begin, gone
        self._won = self._reading = False
        self._ends: set[str] = set()
        own: dict[str, Any] = {
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "partition.assignment.strategy": "range",  # the only partition of each goes to the same member
            "session.timeout.ms": round(session_timeout * 1_000),
            "fetch.wait.max.ms": 50,
        }
        self._consumer = Consumer({**own, **conf})
        self._consumer.subscribe(
            list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    @property
    def owns(self) -> bool:
        """Whether this member works."""
        return self._reading

    @property
    def whole(self) -> bool:
        """Whether everything there was has been given."""
        return self._reading and self._ends.issuperset(self._topics)

    def poll(self, seconds: float) -> list[Taken]:
        """What has come, waiting so long for the first of it.

        Raises:
            Unavailable: the broker lets us not in, or a topic is missing.
            LogError: of `begin`.
        """
        if self._won and not self._reading:
            starts = self._begin()
            self._consumer.assign([TopicPartition(name, 0, starts.get(name, 0)) for name in self._topics])
            self._ends.clear()
            self._reading = True
        try:
            messages = self._consumer.consume(_CHUNK, seconds)
        except KafkaException as error:
            raise Unavailable(f"kafka: {error.args[0].str()}") from error
        return [taken for message in messages if (taken := self._taken(message)) is not None]

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _taken(self, message: Message) -> Taken | None:
        topic, offset, value, error = message.topic() or "", message.offset(), message.value(), message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                self._ends.add(topic)
            elif not error.retriable():
                raise Unavailable(f"kafka: {error.str()}")
            return None
        self._ends.discard(topic)
        if not self._reading or value is None or offset is None:
            return None
        return Taken(topic, offset, value if isinstance(value, bytes) else str(value).encode())

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """What is read is decided outside the callback, where it may fail."""
        self._won, self._reading = {p.topic for p in partitions} == set(self._topics), False
        consumer.assign([])

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        if self._reading:
            self._gone()
        self._won = self._reading = False
        consumer.unassign()
