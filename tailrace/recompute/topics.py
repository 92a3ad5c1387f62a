"""The topics as they stand: how far the observers are, what they read, and what they published up to there."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.ranges import RangeReader
from shared.core.errors import Unavailable, UserError
from shared.core.ports import Message
from shared.core.topics import TopicName, topic

Say = Callable[[str], None]
OUTPUTS: tuple[TopicName, ...] = ("scorecards", "errors", "outcomes")
SETTLE = 75.0  # s: a worker that died holds its transaction open for a minute at most
_EACH = 5.0  # s between two lines of progress


class Topics:
    """Reads what is committed, and joins no group.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        timeout: s that the broker has for an answer.
        say: told how far the reading is.

    Raises:
        UserError: a topic does not exist, or the broker cannot be reached.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str, timeout: float, say: Say) -> None:
        self._conf, self._pipeline, self._timeout, self._say = conf, pipeline, timeout, say
        self._admin = KafkaAdmin(conf, timeout=timeout)
        names = [topic(pipeline, name) for name in ("journal", "models", *OUTPUTS)]
        found = self._admin.topics(names)
        for name in names:
            if name not in found:
                raise UserError(f"topic {name} does not exist", remedy=f"run `tailrace topics apply {pipeline}`")
        self._partitions = {name: found[topic(pipeline, name)].partitions for name in ("journal", *OUTPUTS)}

    def committed(self) -> dict[int, int]:
        """The offset of `journal` that the observers have committed, by partition; none where it is 0.

        Raises:
            UserError: they have committed nothing at all.
            Unavailable: nobody answers for the group in time.
        """
        group, name = f"tailrace.{self._pipeline}.observer", topic(self._pipeline, "journal")
        with closing(GroupPositions(self._conf, group, name, self._timeout)) as asked:
            found = self._patiently(asked.committed)
        if not any(found.values()):
            raise UserError(
                f"the observers of {self._pipeline} (group {group}) have committed nothing, so nothing can be compared",
                remedy=f"start one (`tailrace up --services observer:{self._pipeline}`) and let it read",
            )
        return {partition: offset for partition, offset in sorted(found.items()) if offset > 0}

    def _patiently(self, ask: Callable[[], dict[int, int]]) -> dict[int, int]:
        """An answer about a group: a broker that has just started, or taken a group over, gives none for a moment."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return ask()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def starts(self, name: TopicName) -> dict[int, int]:
        """The first offset of each partition that the log still has."""
        return self._admin.offsets(topic(self._pipeline, name), range(self._partitions[name]), "start")

    def settled(self) -> dict[TopicName, dict[int, int]]:
        """The ends of the output topics, once every transaction in them is over.

        Raises:
            Unavailable: one stays open for longer than any may.
        """
        ends = {name: self._ends(name, "end") for name in OUTPUTS}
        deadline = time.monotonic() + SETTLE
        for name, wanted in ends.items():
            while any(self._ends(name, "stable")[p] < end for p, end in wanted.items()):
                if time.monotonic() > deadline:
                    raise Unavailable(f"a transaction on {topic(self._pipeline, name)} stays open")
                time.sleep(0.1)
        return ends

    def _ends(self, name: TopicName, at: Any) -> dict[int, int]:
        return self._admin.offsets(topic(self._pipeline, name), range(self._partitions[name]), at)

    def read(self, name: TopicName, partition: int, end: int) -> Iterator[Message]:
        """Everything committed in a partition before an offset.

        Raises:
            Unavailable: the broker gives nothing more.
        """
        full, told, read = topic(self._pipeline, name), time.monotonic(), 0
        ranges = RangeReader(self._conf, full, self._timeout)
        start = ranges.start(partition)
        chunks: Iterator[Sequence[Message]] = ranges.read(partition, start, end) if start < end else iter(())
        for chunk in chunks:
            yield from chunk
            read += len(chunk)
            if time.monotonic() - told > _EACH:
                told = time.monotonic()
                self._say(f"{full}[{partition}]: {read:,} read, at {chunk[-1].offset():,} of {end:,}")
