"""Labels wait for the scorer, which may be weeks of event time behind in a replay: nobody knows them before their time.

A monitor that heard a label of March while January is being scored would take January's predictions for too late.
"""

from collections import deque
from collections.abc import Iterator

from services.ingest.replay.gates import Group, Offsets
from services.ingest.replay.plan import Item
from shared.core.errors import Unavailable
from shared.core.partitioning import partition_of
from shared.core.ports import Clock

_ASK_EVERY = 0.05  # s between two questions to the broker
_PATIENCE = 15.0  # s without a single record scored, after which it is not running: labels need not wait for it


class LabelGate:
    """Holds each label until the scorer has committed what went to its partition before it. Labels keep their order.

    Args:
        group: the scorer's, on `records`.
        name: of the group.
        partitions: of `records`.
        clock: for how often it asks, and how long it waits for a scorer that does nothing.
    """

    def __init__(self, group: Group, name: str, partitions: int, clock: Clock) -> None:
        self._group, self._name, self._clock = group, name, clock
        self._next = dict.fromkeys(range(partitions), 0)  # the offset after what was sent, a partition
        self._held: deque[tuple[Offsets, Item]] = deque()
        self._done: Offsets = {}
        self._asked = self._moved = clock.monotonic()

    def begin(self) -> str:
        """What is in the topic already has to be scored as well.

        Returns:
            Why that cannot be known now; empty: it is known.
        """
        try:
            self._next.update(self._group.readable())
        except Unavailable as error:
            return f"the end of the records cannot be read ({error})"
        self._moved = self._clock.monotonic()
        return ""

    def sent(self, key: bytes | None, count: int) -> None:
        """So many records of a key were sent. Without a key nobody can say where it went."""
        if key is not None:
            self._next[partition_of(key, len(self._next))] += count

    def hold(self, item: Item) -> None:
        """Keep a label back."""
        at = self._next if item.key is None else [partition_of(item.key, len(self._next))]
        self._held.append(({p: self._next[p] for p in at}, item))

    def ready(self) -> Iterator[Item]:
        """The labels whose time has come, in order."""
        if self._held and self._clock.monotonic() - self._asked >= _ASK_EVERY:
            self._ask()
        while self._held and all(self._done.get(p, 0) >= end for p, end in self._held[0][0].items()):
            yield self._held.popleft()[1]

    def reason(self) -> str:
        """Why the replay is not over yet."""
        return f"{len(self._held):,} labels wait for group {self._name}" if self._held else ""

    @property
    def hopeless(self) -> bool:
        """Whether the scorer has not moved for so long that it is not running."""
        return self._clock.monotonic() - self._moved > _PATIENCE

    def give_up(self) -> Iterator[Item]:
        """All labels that are left."""
        while self._held:
            yield self._held.popleft()[1]

    def _ask(self) -> None:
        self._asked = self._clock.monotonic()
        try:
            done = self._group.committed()
        except Unavailable:
            return  # the next question may be answered
        if done != self._done:
            self._done, self._moved = done, self._asked
