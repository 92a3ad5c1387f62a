"""Labels and records stay abreast: in a replay that plays days in a second, else neither would find the other.

A label waits until the scorer has come to its time: a monitor that heard one of March while January is being scored
would take January's predictions for too late. Records wait until labels of their time are known: else their own
event time would make the labels late, which is what they are when they come after the horizon.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from services.ingest.replay.gates import Group, Offsets
from services.ingest.replay.plan import Item
from shared.core.errors import Unavailable
from shared.core.partitioning import partition_of
from shared.core.ports import Clock

_ASK_EVERY = 0.02  # s between two questions to the broker
_PATIENCE = 15.0  # s that a reader may do nothing of what it has to do; then it is not there, and is not waited for


class Reader(NamedTuple):
    """A group, what it is called, and how many partitions its topic has."""

    group: Group
    name: str
    partitions: int


class _Counted:
    """How far a reader has to come, by what was sent; asked seldom."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self.name, self._group, self._clock = reader.name, reader.group, clock
        self._moved, self._absent = clock.monotonic(), False
        self._next = dict.fromkeys(range(reader.partitions), 0)
        self._done: Offsets = {}

    def begin(self) -> None:
        """What is in the topic already has to be read as well."""
        self._next.update(self._group.readable())

    def sent(self, key: bytes | None, count: int) -> None:
        """So many messages of a key. Without a key nobody can say where they went."""
        if key is not None:
            self._next[partition_of(key, len(self._next))] += count

    def place(self, key: bytes | None) -> Offsets:
        """Where the reader is once it has read all that was sent to the partition of a key; of all, without one."""
        return {p: self._next[p] for p in (self._next if key is None else [partition_of(key, len(self._next))])}

    def passed(self, place: Offsets) -> bool:
        """Whether it was there when it was asked, or is not running at all."""
        if all(self._done.get(p, 0) >= end for p, end in place.items()):
            return True
        self._absent = self._absent or self._clock.monotonic() - self._moved > _PATIENCE
        return self._absent

    def owes(self) -> None:
        """From now on it has something to do."""
        if not self._absent:
            self._moved = self._clock.monotonic()

    def ask(self) -> None:
        """Ask how far it is."""
        try:
            done = self._group.committed()
        except Unavailable:
            return  # the next question may be answered
        if done != self._done:
            self._done, self._moved, self._absent = done, self._clock.monotonic(), False


class LabelGate:
    """Holds each label until the scorer has committed what went to its partition before it. Labels keep their order.

    Args:
        scorer: reads `records`.
        router: reads `labels`.
        ahead_ms: how far (event time) records may go beyond the oldest label that the router has not passed on.
        clock: for how often it asks, and how long it waits for readers that do nothing.
    """

    def __init__(self, scorer: Reader, router: Reader, ahead_ms: int, clock: Clock) -> None:
        self._scorer, self._router = _Counted(scorer, clock), _Counted(router, clock)
        self._ahead, self._clock = ahead_ms, clock
        self._held: deque[tuple[Offsets, Item]] = deque()
        self._under_way: deque[tuple[Offsets, int]] = deque()
        self._asked = clock.monotonic()

    @property
    def span_ms(self) -> float:
        """How much event time may be sent between two looks at this gate."""
        return self._ahead / 4

    def begin(self) -> str:
        """Find out what is there already.

        Returns:
            Why that cannot be known now; empty: it is known.
        """
        try:
            self._scorer.begin()
            self._router.begin()
        except Unavailable as error:
            return f"the end of records or labels cannot be read ({error})"
        return ""

    def sent(self, key: bytes | None, count: int) -> None:
        """So many records of a key were sent."""
        self._scorer.sent(key, count)

    def hold(self, item: Item) -> None:
        """Keep a label back."""
        if not self._held:
            self._scorer.owes()
        self._held.append((self._scorer.place(item.key), item))

    def ready(self) -> Iterator[Item]:
        """The labels whose time has come, in order."""
        if (self._held or self._under_way) and self._clock.monotonic() - self._asked >= _ASK_EVERY:
            self._asked = self._clock.monotonic()
            self._scorer.ask()
            self._router.ask()
        while self._held and self._scorer.passed(self._held[0][0]):
            item = self._held.popleft()[1]
            if not self._under_way:
                self._router.owes()
            self._router.sent(item.key, 1)
            self._under_way.append((self._router.place(item.key), item.time))
            yield item
        while self._under_way and self._router.passed(self._under_way[0][0]):
            self._under_way.popleft()

    def shut(self, time: int) -> str:
        """Why records of this event time (ms) must wait; empty: they need not."""
        oldest = self._under_way[0][1] if self._under_way else self._held[0][1].time if self._held else time
        if time <= oldest + self._ahead:
            return ""
        return self.reason() or f"group {self._router.name} has {len(self._under_way):,} labels still to pass on"

    def reason(self) -> str:
        """Why the replay is not over yet."""
        return f"{len(self._held):,} labels wait for group {self._scorer.name}" if self._held else ""
