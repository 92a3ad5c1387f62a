"""For services with a memory: the log is the state, and a memory of it can be thrown away at any time.

A committed offset's note says the oldest offset that the memory still needs (`low`). Whoever comes to own a partition
reads `[low, committed)` again, silently, before its first new record. So does a worker whose memory ran ahead of the
log, because a batch that it had folded in was not committed: nothing is ever undone in memory.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from shared.core.errors import TailraceError
from shared.core.ports import Block, Message, Part
from shared.core.records import Application, Committed, Note
from shared.core.rollout import Split
from shared.runtime.logs import get_logger


class Memory(Protocol):
    """What a step remembers of each partition: a function of the partition's records in offset order."""

    def next(self, partition: int) -> int:
        """The offset after the last record that it knows; -1 where it remembers nothing of the partition."""

    def low(self, partition: int) -> int:
        """The oldest offset that it still needs, all before `next` being committed; -1: none."""

    def begin(self, partition: int, offset: int) -> None:
        """Start anew, empty; the records to come are those from this offset on."""

    def refill(self, messages: Sequence[Message]) -> None:
        """Take in records that were processed before, without any result."""

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop what it knows of these partitions."""


class Ranges(Protocol):
    """Reads a part of one partition; `shared.adapters.kafka.ranges.RangeReader`. Both raise Unavailable."""

    def start(self, partition: int) -> int:
        """The first offset that the log still has."""

    def read(self, partition: int, start: int, end: int) -> Iterable[Sequence[Message]]:
        """The committed records of `[start, end)`, in order, in chunks."""


class Rebuilding:
    """Implements `Controls` for a step with a memory. The input carries no barriers: one part, no epoch.

    Args:
        memory: the step's.
        ranges: reads the input topic again.
        gap: told of (partition, from, to) where retention took records that the memory needs.
        turn: called between chunks: a worker that reads its past is alive.
    """

    def __init__(
        self, memory: Memory, ranges: Ranges, gap: Callable[[int, int, int], None], turn: Callable[[], None]
    ) -> None:
        self._memory, self._ranges, self._gap, self._turn = memory, ranges, gap, turn
        self._log = get_logger("rebuild")

    def refresh(self) -> None:
        """Nothing to follow."""

    def notes(self, positions: Mapping[int, Committed]) -> dict[int, Note]:
        """The notes as committed. What the memory knows beyond them, or short of them, it must not use."""
        for partition, committed in positions.items():
            if committed.offset < 0:  # nothing was ever committed, so there is no past
                self._memory.begin(partition, 0)
            elif self._memory.next(partition) != committed.offset:
                self._memory.forget([partition])
        return {p: c.note for p, c in positions.items()}

    def dropped(self, partitions: Sequence[int]) -> None:
        """They are another worker's: it reads their past itself."""
        self._memory.forget(partitions)

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """The whole batch as one part, once the memory of each of its partitions is at its first record.

        Raises:
            Unavailable: the past cannot be read now.
        """
        firsts: dict[int, int] = {}
        for message in messages:
            firsts.setdefault(message.partition(), message.offset())
        after: dict[int, Note] = {}
        for partition, offset in firsts.items():
            if not 0 <= self._memory.next(partition) <= offset:
                self._rebuild(partition, notes[partition].low, offset)
            low = self._memory.low(partition)
            after[partition] = msgspec.structs.replace(notes[partition], low=low if low >= 0 else offset)
        return Split(parts=[Part(messages, [m.headers() for m in messages], 0)], notes=after)

    def blocks(self, applications: Sequence[Application]) -> list[Block]:
        """Nothing."""
        del applications
        return []

    def _rebuild(self, partition: int, low: int, end: int) -> None:
        began, records = time.monotonic(), 0
        self._memory.begin(partition, max(low, 0))
        if low >= end:
            return
        try:
            start = self._ranges.start(partition)
            if 0 <= low < start:
                self._gap(partition, low, min(start, end))
            for chunk in self._ranges.read(partition, max(start, low), end):
                self._memory.refill(chunk)
                self._turn()
                records += len(chunk)
        except TailraceError:
            self._memory.forget([partition])  # half a memory would pass for a whole one
            raise
        seconds = round(time.monotonic() - began, 3)
        self._log.info("memory rebuilt", partition=partition, first=low, last=end - 1, records=records, seconds=seconds)
