"""What a replay waits for, so that a year in a minute scores as a year would: its features, and the scorer."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from services.ingest.replay.plan import Slice
from shared.core.errors import Unavailable

Offsets = Mapping[int, int]


class Group(Protocol):
    """A consumer group on a topic, seen from outside. Each call asks the broker and may raise `Unavailable`."""

    def committed(self) -> Offsets:
        """The next offset a partition to be read; partitions without a commit are left out."""

    def ends(self) -> Offsets:
        """The high watermark of each partition."""

    def starts(self) -> Offsets:
        """The first offset of each partition."""

    def readable(self) -> Offsets:
        """The offset after the last message of each partition that a consumer is ever given."""


class Gate(Protocol):
    """Something to wait for."""

    def reason(self) -> str:
        """Why not to go on now, in words; empty: go on."""


class Asking:
    """A gate made of one question."""

    def __init__(self, question: Callable[[], str]) -> None:
        self._question = question

    def reason(self) -> str:
        """Its answer."""
        return self._question()


class Receipt:
    """Which of a slice's features are acknowledged: all of them are once `complete`.

    Args:
        first: event time of the oldest of them (ms).
        count: how many there are.
    """

    def __init__(self, first: int, count: int) -> None:
        self.first, self._missing = first, count
        self.ends: dict[int, int] = {}

    def acknowledged(self, partition: int, offset: int) -> None:
        """One message is in the log."""
        self._missing -= 1
        self.ends[partition] = max(offset + 1, self.ends.get(partition, 0))

    @property
    def complete(self) -> bool:
        """Whether the newest offset of each partition is known."""
        return self._missing <= 0


class FeatureGate:
    """Records of a span wait until the feature writer has committed beyond the features that they may look up."""

    def __init__(self, group: Group, name: str) -> None:
        self._group, self._name = group, name
        self._open: deque[Receipt] = deque()
        self._needed: dict[int, int] = {}
        self._committed: Offsets = {}

    def begin(self) -> str:
        """What an earlier replay or another producer left in the topic has to be written as well.

        Returns:
            Why that cannot be known now; empty: it is known.
        """
        try:
            starts, ends = self._group.starts(), self._group.readable()
        except Unavailable as error:
            return f"the end of the features cannot be read ({error})"
        self._needed = {p: end for p, end in ends.items() if end > starts.get(p, 0)}
        return ""

    def sending(self, part: Slice) -> Receipt:
        """What is to be told of each acknowledged feature of a slice."""
        receipt = Receipt(min((item.time for item in part.features), default=0), len(part.features))
        if part.features:
            self._open.append(receipt)
        return receipt

    def need(self, before: int) -> bool:
        """From now on, features with a time before this (ms) must have been written.

        Returns:
            Whether all of them are acknowledged; if not, flush and call again.
        """
        while self._open and self._open[0].first < before:
            if not self._open[0].complete:
                return False
            for partition, offset in self._open.popleft().ends.items():
                self._needed[partition] = max(offset, self._needed.get(partition, 0))
        return True

    def reason(self) -> str:
        """Why the records of a slice must wait."""
        # The writer is ahead by most of the lead, so one answer of the broker does for many slices.
        if not self._behind():
            return ""
        try:
            self._committed = self._group.committed()
        except Unavailable as error:
            return f"the feature writer's offsets cannot be read ({error})"
        behind = self._behind()
        return f"group {self._name} has {behind:,} feature messages still to write" if behind else ""

    def _behind(self) -> int:
        done = self._committed
        self._needed = {p: offset for p, offset in self._needed.items() if done.get(p, 0) < offset}
        return sum(offset - done.get(p, 0) for p, offset in self._needed.items())


class LagGate:
    """Pauses while more than `limit` records wait for the scorer; 0: no limit.

    Between two questions to the broker the lag is bounded by the last answer plus what was sent since.
    """

    def __init__(self, group: Group, name: str, limit: int) -> None:
        self._group, self._name, self._limit = group, name, limit
        self._since = limit + 1
        self.lag = 0

    def sent(self, count: int) -> None:
        """So many more records were sent."""
        self._since += count

    def ask(self) -> int:
        """The lag now, in records."""
        # The group's offsets first: records that come in between make the lag look larger, never smaller.
        committed, ends = self._group.committed(), self._group.ends()
        starts = self._group.starts() if ends.keys() - committed.keys() else {}
        self.lag = sum(max(0, end - committed.get(p, starts.get(p, 0))) for p, end in ends.items())
        self._since = 0
        return self.lag

    def reason(self) -> str:
        """Why the next chunk must wait."""
        if not self._limit or self.lag + self._since <= self._limit:
            return ""
        try:
            lag = self.ask()
        except Unavailable as error:
            return f"the scorer's lag cannot be read ({error})"
        return "" if lag <= self._limit else f"group {self._name} lags by {lag:,} records, more than {self._limit:,}"
