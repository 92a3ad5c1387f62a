"""Reads what the monitor's topics have to say, and then what is new: committed values only, and without a group."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.ranges import RangeReader
from shared.core.errors import UserError
from shared.core.topics import TopicName, topic
from tailrace.monitor.known import SOURCES, Known

Say = Callable[[str], None]
NEEDED: tuple[TopicName, ...] = ("journal", "models", "scorecards", "errors", "verdicts")
_EACH = 2.0  # s between two lines of progress


class Topics:
    """Fills a `Known`.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        timeout: s within which the broker has to give something.
        say: told how far a long reading is.

    Raises:
        UserError: a topic does not exist, or the broker cannot be reached.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str, timeout: float, say: Say) -> None:
        self._pipeline, self._timeout, self._say = pipeline, timeout, say
        self._admin = KafkaAdmin(conf, timeout=timeout)
        found = self._admin.topics([topic(pipeline, name) for name in ("journal", *SOURCES)])
        for name in NEEDED:
            if topic(pipeline, name) not in found:
                raise UserError(
                    f"topic {topic(pipeline, name)} does not exist", remedy=f"run `tailrace topics apply {pipeline}`"
                )
        there: list[TopicName] = [name for name in SOURCES if topic(pipeline, name) in found]
        self._at = {name: dict.fromkeys(range(found[topic(pipeline, name)].partitions), 0) for name in there}
        self._ranges = {name: RangeReader(conf, topic(pipeline, name), timeout) for name in there}
        self._journal = range(found[topic(pipeline, "journal")].partitions)
        self.known = Known(lacking=tuple(name for name in SOURCES if name not in there))

    def refresh(self) -> Known:
        """Everything that is committed by now.

        Raises:
            UserError: the broker cannot be reached.
            Unavailable: it stops to answer.
        """
        for name, positions in self._at.items():
            ends = self._admin.offsets(topic(self._pipeline, name), list(positions), "stable")
            for partition, end in ends.items():
                if end > positions[partition]:
                    self._read(name, partition, end)
        return self.known

    def ends(self) -> dict[int, int]:
        """The offset after the last committed entry of each partition of `journal`.

        Raises:
            UserError: the broker cannot be reached.
        """
        return self._admin.offsets(topic(self._pipeline, "journal"), self._journal, "stable")

    def _read(self, name: TopicName, partition: int, end: int) -> None:
        full, told, ranges = topic(self._pipeline, name), time.monotonic(), self._ranges[name]
        start = max(self._at[name][partition], ranges.start(partition))
        for chunk in ranges.read(partition, start, end) if start < end else ():
            for message in chunk:
                self.known.take(name, message)
            if time.monotonic() - told > _EACH:
                told = time.monotonic()
                self._say(f"reading {full}: at {chunk[-1].offset():,} of {end:,}")
        self._at[name][partition] = end
