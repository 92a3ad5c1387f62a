"""Reading partitions side by side: in event time, as far as can be known, and never held up for long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.core.ports import Batch, Message
from shared.core.records import Committed, Note, Position
from shared.runtime.aligned import LINGER, MOST, PATIENCE, AlignedSource
from shared.testing.clock import ManualClock
from shared.testing.log import MemoryMessage
from tests.support.logs import Heard


@dataclass
class Fetched:
    """A source that gives what it was fed, a feed a poll; `waiting` is what it says of each partition."""

    listener: AlignedSource
    feeds: list[list[MemoryMessage]] = field(default_factory=list)
    waiting: dict[int, int] = field(default_factory=dict)
    unknown: dict[int, int] = field(default_factory=dict)
    generation: int = 0
    told: list[object] = field(default_factory=list)

    def poll(self, limit: int, gather: float, idle: float) -> Batch:
        """The next feed."""
        self.told.append((limit, gather, idle))
        return Batch(self.feeds.pop(0) if self.feeds else [], "token", self.generation)

    def behind(self, partition: int) -> int:
        """As told."""
        return self.waiting.get(partition, 0)

    def look(self, partition: int) -> int:
        """As told, and what is only known to the broker."""
        return self.unknown.get(partition, self.behind(partition))

    def rewind(self) -> None:
        """All start again."""
        self.listener.assigned({0: Committed(0, Note()), 1: Committed(0, Note())})

    def commit(self, offsets: Mapping[int, Committed]) -> None:
        """Keep it."""
        self.told.append(offsets)

    def lag(self) -> int:
        """All that waits."""
        return sum(self.waiting.values())

    def stop(self, partition: int) -> None:
        """Keep it."""
        self.told.append(partition)

    def close(self) -> None:
        """Nothing."""


class Rig:
    """An aligned source over two partitions."""

    def __init__(self, partitions: int = 2) -> None:
        self.clock, self.heard = ManualClock(), Heard()
        self.source = AlignedSource(self._connect, self.heard, time_of, self.clock)
        self.source.assigned({p: Committed(0, Note()) for p in range(partitions)})

    def _connect(self, listener: object) -> Fetched:
        assert isinstance(listener, AlignedSource)
        self.inner = Fetched(listener)
        return self.inner

    def poll(self, *feed: MemoryMessage, limit: int = 100) -> list[int]:
        """The event times of what one poll gives, and another one after the linger."""
        first = self.once(*feed, limit=limit)
        self.clock.advance(2 * LINGER)
        return first + self.once(limit=limit)

    def once(self, *feed: MemoryMessage, limit: int = 100) -> list[int]:
        """The event times of what one poll gives."""
        self.inner.feeds.append(list(feed))
        return [int(m.value() or b"0") for m in self.source.poll(limit, 0.0, 1.0).messages]


def time_of(message: Message) -> int | None:
    """The event time is the value; a barrier has none."""
    return None if message.headers() else int(message.value() or b"")


def run(partition: int, times: Sequence[int], start: int = 0) -> list[MemoryMessage]:
    """Records of one partition."""
    return [MemoryMessage(Position("in", partition, start + i), None, b"%d" % t) for i, t in enumerate(times)]


def test_partitions_at_their_ends_are_handed_on_in_event_time() -> None:
    """Nothing more waits anywhere: what all have reached goes at once, the rest when it has lingered."""
    rig = Rig()
    assert [1, 2, 3] == rig.once(*run(0, [1, 4, 9]), *run(1, [2, 3]))
    assert [] == rig.once()
    rig.clock.advance(2 * LINGER)
    assert [4, 9] == rig.once()


def test_records_of_the_next_fetch_are_still_in_time() -> None:
    """A partition that has nothing now may get an earlier record in the next moment: it goes first."""
    rig = Rig()
    assert [] == rig.once(*run(0, [4, 9]))
    assert [3] == rig.once(*run(1, [3]))


def test_the_broker_is_asked_before_a_partition_is_believed_to_have_nothing() -> None:
    """The last fetch is old news: what has come to the broker since is waited for."""
    rig = Rig()
    rig.inner.unknown = {1: 1}
    assert [] == rig.poll(*run(0, [4, 9]))
    rig.inner.unknown = {}
    assert [3, 4, 9] == rig.once(*run(1, [3])), "now it has nothing, and they were read some time ago"


def test_one_partition_never_lingers() -> None:
    """There is nothing to be aligned with."""
    assert [1, 2] == Rig(partitions=1).once(*run(0, [1, 2]))


def test_what_a_partition_has_still_to_give_is_waited_for() -> None:
    """A fetch that holds only one partition is held until the other one's records are there."""
    rig = Rig()
    rig.inner.waiting = {0: 0, 1: 2}
    assert [] == rig.poll(*run(0, [10, 20, 30]))
    assert 5 == rig.source.lag()
    rig.inner.waiting = {}
    assert [5, 10, 20, 25, 30] == rig.poll(*run(1, [5, 25]))
    assert 0 == rig.source.lag()


def test_no_record_goes_before_an_earlier_one_that_may_come() -> None:
    """While a partition has more, the others go only as far as it has got."""
    rig = Rig()
    rig.inner.waiting = {1: 5}
    assert [1, 2, 3] == rig.poll(*run(0, [1, 2, 9]), *run(1, [3]))
    assert [4, 5] == rig.poll(*run(1, [4, 5], 1))


def test_an_unknown_end_counts_as_more() -> None:
    """Before the first fetch of a partition nobody knows what it has."""
    rig = Rig()
    rig.inner.waiting = {1: -1}
    assert [] == rig.poll(*run(0, [1]))


def test_a_partition_that_never_speaks_is_passed_over_after_a_while() -> None:
    """An open transaction looks like more to come: after the patience the others go on, until it speaks again."""
    rig = Rig()
    rig.inner.waiting = {1: 1}
    assert [] == rig.poll(*run(0, [10]))
    rig.clock.advance(PATIENCE)
    assert [10] == rig.poll()
    assert [11] == rig.poll(*run(0, [11], 1))
    assert [2] == rig.poll(*run(1, [2]))
    assert [] == rig.poll(*run(0, [12], 2)), "it spoke, so it is waited for again"


def test_memory_is_bounded() -> None:
    """Too much held goes on as it is; and while it does, next to nothing more is asked for."""
    rig = Rig()
    rig.inner.waiting = {1: 1}
    assert 7 == len(rig.poll(*run(0, range(MOST + 7)), limit=1_000))
    assert MOST == rig.source.lag() - 1
    rig.poll()
    assert (1, 0.0, LINGER) == rig.inner.told[-1]


def test_order_within_a_partition_is_never_changed() -> None:
    """Records out of order stay in the order of their offsets, and a barrier goes with the record before it."""
    rig = Rig()
    barrier = MemoryMessage(Position("in", 0, 3), None, b"7", [("tailrace-control", b"x")])
    given = rig.poll(*run(0, [5, 1, 9]), barrier, *run(1, [2, 8, 10]))
    assert [2, 5, 1, 8, 9, 7, 10] == given


def test_a_batch_is_no_larger_than_asked_for_and_the_rest_follows() -> None:
    """What does not fit stays held, and the next poll does not wait for new records."""
    rig = Rig()
    rig.once(*run(0, [1, 2, 3]))
    rig.clock.advance(2 * LINGER)
    assert [1, 2] == rig.once(limit=2)
    assert [3] == rig.once()
    assert (100, 0.0, 0.0) == rig.inner.told[-1]


def test_what_is_held_is_dropped_with_its_partition() -> None:
    """Lost, revoked, stopped or rewound: it will come again, to whoever owns it then."""
    for end in ("lost", "revoked", "stop", "rewind"):
        rig = Rig()
        rig.inner.waiting = {1: 1}
        rig.poll(*run(0, [1, 2]))
        if end == "rewind":
            rig.source.rewind()
        elif end == "stop":
            rig.source.stop(0)
        else:
            getattr(rig.source, end)([0])
        rig.inner.waiting = {}
        assert [] == rig.poll(), end


def test_the_loop_hears_of_the_assignment() -> None:
    """The listener behind is told what the source in front was told."""
    rig = Rig()
    rig.source.revoked([1])
    rig.source.lost([0])
    assert [("assigned", [0, 1]), ("revoked", [1]), ("lost", [0])] == rig.heard.told
