"""How far a consumer group is on a topic, seen from outside: it is asked, never joined."""

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shared.adapters.kafka.reasons import FORBIDDEN, RIGHTS, Reasons
from shared.core.errors import Unavailable, UserError

_BACK = 8  # offsets: behind the last message there are seldom more than a marker or two


class GroupPositions:
    """Committed offsets and watermarks of one group on one topic.

    Args:
        conf: connection settings of the client.
        group: its name; it need not exist.
        topic: must exist.
        timeout: seconds that the broker has for an answer.

    Raises:
        UserError: the topic does not exist, or the broker cannot be reached.
    """

    def __init__(self, conf: Mapping[str, Any], group: str, topic: str, timeout: float = 10.0) -> None:
        self._timeout, self._conf = timeout, conf
        # Under read_committed the broker answers only once no transaction has offsets pending, which an
        # exactly-once group nearly always has.
        own = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_uncommitted", "log_level": 2}
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
        self.partitions = len(known.partitions)
        self._all = [TopicPartition(topic, number) for number in sorted(known.partitions)]

    def committed(self) -> dict[int, int]:
        """The next offset a partition that the group will read; partitions without a commit are left out.

        Raises:
            Unavailable: no answer in time.
        """
        try:
            answer = self._consumer.committed(self._all, timeout=self._timeout)
        except KafkaException as error:
            raise Unavailable(error.args[0].str()) from error
        return {entry.partition: entry.offset for entry in answer if entry.error is None and entry.offset >= 0}

    def ends(self) -> dict[int, int]:
        """The high watermark of each partition.

        Raises:
            Unavailable: no answer in time.
        """
        return {partition: marks[1] for partition, marks in self._marks().items()}

    def starts(self) -> dict[int, int]:
        """The first offset of each partition.

        Raises:
            Unavailable: no answer in time.
        """
        return {partition: marks[0] for partition, marks in self._marks().items()}

    def readable(self) -> dict[int, int]:
        """The offset after the last message of each partition that a consumer can get: it commits no more than that.

        What a transaction leaves behind it, a marker, counts in `ends` and is never given to anybody.

        Raises:
            Unavailable: no answer in time.
        """
        own = {"group.id": "tailrace-readable", "enable.auto.commit": False, "isolation.level": "read_committed"}
        asked = {"enable.partition.eof": True, "fetch.wait.max.ms": 10, "log_level": 2}
        with closing(Consumer({**own, **asked, **self._conf})) as consumer:
            return {partition: self._last(consumer, partition, marks) for partition, marks in self._marks().items()}

    def _last(self, consumer: Consumer, partition: int, marks: tuple[int, int]) -> int:
        start, end = marks
        back = _BACK
        while end > start:
            at = max(start, end - back)
            consumer.assign([TopicPartition(self._all[0].topic, partition, at)])
            if (found := self._to_end(consumer)) or at == start:
                return found or start
            back *= _BACK
        return end

    def _to_end(self, consumer: Consumer) -> int:
        """The offset after the last message from where it stands; 0 where there is none."""
        last, deadline = 0, time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            for message in consumer.consume(100, 0.1):
                error, offset = message.error(), message.offset()
                if error is None and offset is not None:
                    last = offset + 1
                elif error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    return last
        raise Unavailable(f"{self._all[0].topic} could not be read to its end in {self._timeout:g} s")

    def close(self) -> None:
        """Let the client go."""
        self._consumer.close()

    def _marks(self) -> dict[int, tuple[int, int]]:
        marks = {}
        for entry in self._all:
            try:
                answer = self._consumer.get_watermark_offsets(entry, timeout=self._timeout, cached=False)
            except KafkaException as error:
                raise Unavailable(error.args[0].str()) from error
            if answer is None:
                raise Unavailable(f"no answer about {entry.topic}[{entry.partition}]")
            marks[entry.partition] = answer
        return marks
