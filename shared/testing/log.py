"""A log in memory: topics, transactions and consumer groups as Kafka keeps them, without threads and without a clock.

Faithful where promises about delivery depend on it: offsets with gaps where markers stand, `read_committed` up to the
first open transaction, transactional ids that fence their older producers, offsets that belong to a transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shared.core.errors import Fatal, Fenced
from shared.core.partitioning import murmur2
from shared.core.ports import Clock
from shared.core.records import Committed, Headers, Position
from shared.testing.group import Group

LOG_APPEND_TIME = 2


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction: where it wrote first in each partition, and the offsets that it would commit, by group."""

    owner: str
    began: float
    epoch: int = 0  # of its producer
    state: Literal["open", "committed", "aborted"] = "open"
    first: dict[tuple[str, int], int] = field(default_factory=dict)
    offsets: dict[str, dict[int, Committed]] = field(default_factory=dict)


class MemoryMessage:
    """One record, in the shape of `ports.Message`; `transaction` is None where it was written outside of any."""

    __slots__ = ("_headers", "_key", "_time", "_value", "marker", "position", "transaction")

    def __init__(
        self,
        position: Position,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        time: int = 0,
        transaction: Transaction | None = None,
        *,
        marker: bool = False,
    ) -> None:
        self.position, self._key, self._value, self._headers, self._time = position, key, value, headers, time
        self.transaction, self.marker = transaction, marker

    def partition(self) -> int:
        """Its partition."""
        return self.position.partition

    def offset(self) -> int:
        """Its offset."""
        return self.position.offset

    def key(self) -> bytes | None:
        """Its key."""
        return self._key

    def value(self) -> bytes | None:
        """Its value."""
        return self._value

    def headers(self) -> Headers | None:
        """Its headers; None where there are none."""
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        """(LogAppendTime, ms since 1970)."""
        return LOG_APPEND_TIME, self._time

    @property
    def visible(self) -> bool:
        """Whether a read_committed reader that got this far is shown it."""
        return not self.marker and (self.transaction is None or self.transaction.state == "committed")


class Log:
    """The broker.

    Args:
        topics: partitions of each topic.
        clock: append times, and the age of open transactions.
        transaction_timeout: s after which an open transaction is aborted and its producer fenced.
    """

    def __init__(self, topics: Mapping[str, int], clock: Clock, *, transaction_timeout: float = 10.0) -> None:
        self._entries: dict[tuple[str, int], list[MemoryMessage]] = {
            (topic, partition): [] for topic, count in topics.items() for partition in range(count)
        }
        self.topics, self._clock, self._timeout = dict(topics), clock, transaction_timeout
        self._epochs: dict[str, int] = {}
        self._open: dict[str, Transaction] = {}
        self._groups: dict[str, Group] = {}

    def group(self, name: str, topic: str = "") -> Group:
        """The consumer group; made where it does not exist."""
        if name not in self._groups:
            self._groups[name] = Group(self.topics[topic])
        return self._groups[name]

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        transaction: Transaction | None = None,
    ) -> int:
        """Append one record; its offset. A partition below 0 is chosen by the key."""
        if partition < 0:
            partition = murmur2(key or b"") % self.topics[topic]
        where = topic, partition
        entries = self._entries[where]
        position = Position(topic, partition, len(entries))
        time = int(self._clock.time() * 1000)
        entries.append(MemoryMessage(position, key, value, headers, time, transaction))
        if transaction is not None:
            transaction.first.setdefault(where, position.offset)
        return position.offset

    def stable(self, topic: str, partition: int) -> int:
        """The last stable offset: a read_committed reader gets up to here."""
        where = topic, partition
        end = len(self._entries[where])
        return min((t.first[where] for t in self._open.values() if where in t.first), default=end)

    def fetch(self, topic: str, partition: int, start: int, limit: int) -> list[MemoryMessage]:
        """At most `limit` records from `start` on, as a read_committed reader gets them."""
        found: list[MemoryMessage] = []
        entries = self._entries[topic, partition]
        for offset in range(start, self.stable(topic, partition)):
            if len(found) == limit:
                break
            if entries[offset].visible:
                found.append(entries[offset])
        return found

    def read(self, topic: str) -> list[MemoryMessage]:
        """All that a read_committed reader sees now, by partition and offset."""
        return [m for p in range(self.topics[topic]) for m in self.fetch(topic, p, 0, len(self._entries[topic, p]))]

    def everything(self, topic: str) -> list[MemoryMessage]:
        """All records, whatever became of their transactions; no markers."""
        return [m for p in range(self.topics[topic]) for m in self._entries[topic, p] if not m.marker]

    def init(self, owner: str) -> int:
        """A new producer of this transactional id: what the older one left open is aborted; the new epoch."""
        self._epochs[owner] = self._epochs.get(owner, -1) + 1
        if owner in self._open:
            self._end(self._open[owner], "aborted")
        return self._epochs[owner]

    def begin(self, owner: str, epoch: int) -> Transaction:
        """Begin a transaction. Raises `Fenced` for a producer that is not the newest of its id."""
        self.check(owner, epoch)
        self._open[owner] = Transaction(owner, self._clock.monotonic(), epoch)
        return self._open[owner]

    def end(self, transaction: Transaction, epoch: int, state: Literal["committed", "aborted"]) -> None:
        """Commit or abort: markers into every partition, offsets into their groups. Raises `Fenced`."""
        self.check(transaction.owner, epoch)
        if transaction.state == "open":
            self._end(transaction, state)
        elif transaction.state != state:  # the same end once more is only answered again
            raise Fatal(f"INVALID_TXN_STATE: {transaction.state}", transient=True)

    def epoch(self, owner: str) -> int:
        """The epoch of the newest producer of this transactional id; -1 where there is none."""
        return self._epochs.get(owner, -1)

    def open(self) -> list[Transaction]:
        """The transactions without an end."""
        return list(self._open.values())

    def size(self, topic: str, partition: int) -> int:
        """The offset of the next entry: one more than the last record's or marker's."""
        return len(self._entries[topic, partition])

    def written(self, transaction: Transaction) -> list[MemoryMessage]:
        """All records of a transaction, whatever became of it."""
        return [
            m for where, first in transaction.first.items() for m in self._entries[where][first:]
            if m.transaction is transaction and not m.marker
        ]  # fmt: skip

    def check(self, owner: str, epoch: int) -> None:
        """Raises `Fenced` for a producer that is not the newest of its id."""
        self.expire()
        if self._epochs.get(owner) != epoch:
            raise Fenced(f"{owner}: a newer producer has this transactional id", transient=True)

    def expire(self) -> None:
        """Abort what is open for too long, and fence its producer."""
        if not self._open:
            return
        now = self._clock.monotonic()
        for owner in [t.owner for t in self._open.values() if now - t.began > self._timeout]:
            self.init(owner)

    def pending(self, group: str) -> set[int]:
        """Partitions whose offset an open transaction may still change; `committed` has no answer for them."""
        self.expire()
        return {p for t in self._open.values() for p in t.offsets.get(group, ())}

    def _end(self, transaction: Transaction, state: Literal["committed", "aborted"]) -> None:
        transaction.state = state
        if self._open.get(transaction.owner) is transaction:
            del self._open[transaction.owner]
        for topic, partition in transaction.first:
            entries = self._entries[topic, partition]
            position = Position(topic, partition, len(entries))
            entries.append(MemoryMessage(position, None, None, None, 0, transaction, marker=True))
        if state == "committed":
            for name, offsets in transaction.offsets.items():
                self._groups[name].offsets.update(offsets)


def positions(messages: Sequence[MemoryMessage]) -> list[Position]:
    """Where these records stand."""
    return [m.position for m in messages]
