"""Reads the topics of a monitor's proof back, once nothing writes to them any more."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.ranges import RangeReader
from shared.core.deadletter import REASON
from shared.core.ports import Message
from shared.core.topics import TopicName, topic
from tailrace.proof.monitor_checks import Published

TIMEOUT_S = 60.0


class Reading:
    """A read_committed reader of whole topics.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str) -> None:
        self._conf, self._pipeline, self._admin = conf, pipeline, KafkaAdmin(conf)

    def messages(self, name: TopicName) -> Iterator[Message]:
        """Everything committed, partition by partition in offset order."""
        full = topic(self._pipeline, name)
        count = self._admin.topics([full])[full].partitions
        ranges = RangeReader(self._conf, full, TIMEOUT_S)
        for partition, end in sorted(self._admin.offsets(full, range(count), "stable").items()):
            for chunk in ranges.read(partition, 0, end) if end else ():
                yield from chunk

    def published(self) -> Published:
        """The topics that the checks are of."""
        found = Published()
        for message in self.messages("scorecards"):
            if value := message.value():
                found.take_card(message.key() or b"", value)
        for value in self.values("outcomes"):
            found.take_outcome(value)
        for value in self.values("errors"):
            found.suspect(value)
        for message in self.messages("labels.dlq"):
            found.letters[_header(message, REASON)] += 1
        found.labels = sum(1 for _ in self.messages("labels"))
        return found

    def values(self, name: TopicName) -> Iterator[bytes]:
        """Every value of a topic."""
        return (value for message in self.messages(name) if (value := message.value()))


def _header(message: Message, name: str) -> str:
    return next((value.decode() for key, value in message.headers() or () if key == name and value), "")
