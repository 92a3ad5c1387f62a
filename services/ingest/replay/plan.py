"""What is published when: records, feature updates and labels as one sequence in event time. Pure.

The sequence is a function of the files and the selection alone, so "the first n of each kind are out" is all
that has to be remembered to go on after an interruption.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import merge as merge_sorted
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple


class Kind(IntEnum):
    """What an item is; at one moment features come first and labels last."""

    FEATURE = 0
    RECORD = 1
    LABEL = 2


class Item(NamedTuple):
    """One message. `due` orders: its event time, less the lead for features. `time` is its own event time (ms)."""

    due: int
    kind: Kind
    time: int
    key: bytes | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of the history is replayed.

    Records with `start <= event time < end` (ms; None: no bound), at most `limit` of them, and the labels of
    exactly those; feature updates `lead_ms` ahead of their time.
    """

    start: int | None = None
    end: int | None = None
    limit: int | None = None
    labels: bool = True
    lead_ms: int = 0

    def holds(self, time: int) -> bool:
        """Whether a record of this event time is wanted."""
        return (self.start is None or time >= self.start) and (self.end is None or time < self.end)

    @property
    def partial(self) -> bool:
        """Whether some records are left out."""
        return (self.start, self.end, self.limit) != (None, None, None)


@dataclass(slots=True)
class Slice:
    """All items due in one span `[start, end)` of event time: features apart, since they go first."""

    start: int
    end: int
    features: list[Item] = field(default_factory=list)
    others: list[Item] = field(default_factory=list)

    @property
    def has_records(self) -> bool:
        """Whether there is anything to score in it."""
        return any(item.kind is Kind.RECORD for item in self.others)


def merge(*streams: Iterable[Item]) -> Iterator[Item]:
    """One sequence of streams that are each ordered by `due`; equal moments keep the order of a stream."""
    return merge_sorted(*streams, key=itemgetter(0, 1))


def slices(items: Iterable[Item], width_ms: int) -> Iterator[Slice]:
    """Cut an ordered sequence into spans of `width_ms`; empty spans are left out."""
    for number, members in groupby(items, key=lambda item: item.due // width_ms):
        part = Slice(number * width_ms, (number + 1) * width_ms)
        for item in members:
            (part.features if item.kind is Kind.FEATURE else part.others).append(item)
        yield part


def chunks(items: Iterable[Item], size: int, span_ms: float) -> Iterator[list[Item]]:
    """Cut into lists of at most `size` items within `span_ms` of event time, to be sent between looks at the clock."""
    chunk: list[Item] = []
    for item in items:
        if chunk and (len(chunk) >= size or item.due - chunk[0].due >= span_ms):
            yield chunk
            chunk = []
        chunk.append(item)
    if chunk:
        yield chunk
