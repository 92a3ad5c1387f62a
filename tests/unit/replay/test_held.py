"""Labels of a replay wait until the scorer has come to their time."""

from services.ingest.replay.held import LabelGate, Reader
from services.ingest.replay.pacing import Pacer
from services.ingest.replay.plan import Item, Kind
from services.ingest.replay.replayer import Replayer
from services.ingest.replay.terms import Gates
from shared.core.errors import Unavailable
from shared.core.partitioning import partition_of
from shared.testing.clock import ManualClock
from tests.support.replay import Broker

PARTITIONS = 4
KEYS = {partition_of(b"k%d" % i, PARTITIONS): b"k%d" % i for i in range(40)}  # one key a partition


class Somebody:
    """A group that has committed what its test says."""

    def __init__(self, **there: int) -> None:
        self.done: dict[int, int] = {}
        self.there = {int(name[1:]): end for name, end in there.items()}
        self.down = False
        self.asked = 0

    def committed(self) -> dict[int, int]:
        """How far it is."""
        self.asked += 1
        if self.down:
            raise Unavailable("no answer")
        return dict(self.done)

    def readable(self) -> dict[int, int]:
        """What was in the topic before."""
        if self.down:
            raise Unavailable("no answer")
        return dict.fromkeys(range(PARTITIONS), 0) | self.there

    ends = starts = readable


def label(partition: int, name: str, time: int = 0) -> Item:
    """A label of the key of a partition."""
    return Item(time, Kind.LABEL, time, KEYS[partition], name.encode())


def gate(scorer: Somebody, clock: ManualClock, router: Somebody | None = None) -> LabelGate:
    """A gate that has begun; records may go 100 ms of event time ahead."""
    readers = Reader(scorer, "g", PARTITIONS), Reader(router or Somebody(), "r", PARTITIONS)
    made = LabelGate(*readers, 100, clock)
    assert made.begin() == ""
    return made


def values(held: LabelGate, clock: ManualClock) -> list[bytes]:
    """The labels whose time has come, a while later."""
    clock.advance(0.1)
    return [item.value for item in held.ready()]


def test_a_label_waits_for_the_records_of_its_partition() -> None:
    """Three records went before it: two scored are not enough, and another partition does not matter."""
    scorer, clock = Somebody(), ManualClock()
    held = gate(scorer, clock)
    held.sent(KEYS[1], 3)
    held.sent(KEYS[2], 100)
    held.hold(label(1, "a"))
    scorer.done = {1: 2}
    assert values(held, clock) == []
    assert held.reason() == "1 labels wait for group g"
    scorer.done = {1: 3}
    assert (values(held, clock), held.reason()) == ([b"a"], "")


def test_what_was_in_the_topic_before_counts() -> None:
    """A partition with ten records of another day is scored up to them first."""
    scorer, clock = Somebody(p2=10), ManualClock()
    held = gate(scorer, clock)
    held.sent(KEYS[2], 1)
    held.hold(label(2, "a"))
    scorer.done = {2: 10}
    assert values(held, clock) == []
    scorer.done = {2: 11}
    assert values(held, clock) == [b"a"]


def test_labels_keep_their_order() -> None:
    """A label that could go waits behind one that cannot: "the first n are out" is all that is remembered."""
    scorer, clock = Somebody(), ManualClock()
    held = gate(scorer, clock)
    held.sent(KEYS[0], 5)
    held.hold(label(0, "slow"))
    held.hold(label(3, "free"))
    assert values(held, clock) == []
    scorer.done = {0: 5}
    assert values(held, clock) == [b"slow", b"free"]


def test_a_label_without_a_key_waits_for_all() -> None:
    """Nobody knows its partition, so each has to be as far."""
    scorer, clock = Somebody(), ManualClock()
    held = gate(scorer, clock)
    held.sent(KEYS[0], 1)
    held.sent(KEYS[1], 1)
    held.hold(Item(0, Kind.LABEL, 0, None, b"a"))
    scorer.done = {0: 1}
    assert values(held, clock) == []
    scorer.done = {0: 1, 1: 1}
    assert values(held, clock) == [b"a"]


def test_the_broker_is_asked_seldom_and_may_be_away() -> None:
    """Twenty times a second at most; no answer is no reason to let a label go, nor to end."""
    scorer, clock = Somebody(), ManualClock()
    held = gate(scorer, clock)
    held.sent(KEYS[0], 1)
    held.hold(label(0, "a"))
    scorer.done, scorer.down = {0: 1}, True
    assert values(held, clock) == []
    asked = scorer.asked
    assert [list(held.ready()) for _ in range(10)] == [[]] * 10
    assert scorer.asked == asked
    scorer.down = False
    assert values(held, clock) == [b"a"]
    scorer.down = True
    assert held.begin() == "the end of records or labels cannot be read (no answer)"


def test_records_wait_for_labels_of_their_time() -> None:
    """They may go 100 ms ahead of the oldest label that was not passed on: held, or with the router."""
    scorer, router, clock = Somebody(), Somebody(), ManualClock()
    held = gate(scorer, clock, router)
    assert held.shut(10**9) == ""  # no label is known of
    held.sent(KEYS[1], 1)
    held.hold(label(1, "a", 1_000))
    held.hold(label(2, "b", 1_050))
    assert [held.shut(1_100), held.shut(1_101)] == ["", "2 labels wait for group g"]
    scorer.done = {1: 1}
    assert values(held, clock) == [b"a", b"b"]
    assert [held.shut(1_100), held.shut(1_101)] == ["", "group r has 2 labels still to pass on"]
    router.done = {1: 1}
    assert values(held, clock) == []
    assert [held.shut(1_150), held.shut(1_151)] == ["", "group r has 1 labels still to pass on"]
    router.done = {1: 1, 2: 1}
    assert (values(held, clock), held.shut(10**9)) == ([], "")


def test_nobody_waits_for_who_is_not_there() -> None:
    """A reader that does nothing for 15 s is not waited for, until it does something; the other one is."""
    scorer, router, clock = Somebody(), Somebody(), ManualClock()
    held = gate(scorer, clock, router)
    held.sent(KEYS[1], 1)
    held.hold(label(1, "a", 1_000))
    clock.advance(14)
    assert values(held, clock) == []
    clock.advance(1)
    assert values(held, clock) == [b"a"]  # no scorer
    assert held.shut(2_000) == "group r has 1 labels still to pass on"
    clock.advance(15)
    assert (values(held, clock), held.shut(2_000)) == ([], "")  # no router
    held.sent(KEYS[1], 1)
    held.hold(label(1, "b", 3_000))
    assert (values(held, clock), held.shut(4_000)) == ([b"b"], "")  # neither has come
    scorer.done = {1: 1}
    assert values(held, clock) == []
    held.sent(KEYS[1], 1)
    held.hold(label(1, "c", 5_000))
    assert (values(held, clock), held.shut(6_000)) == ([], "1 labels wait for group g")  # it is there again


def test_a_replay_ends_with_its_labels_where_no_scorer_runs() -> None:
    """It waits a while for the first record to be scored, and then sends what is left, in order."""
    clock, broker = ManualClock(), Broker()
    began = clock.monotonic()
    items = [
        Item(0, Kind.RECORD, 0, KEYS[0], b"r"), Item(1, Kind.LABEL, 1, KEYS[0], b"l1"),
        Item(2, Kind.LABEL, 2, KEYS[1], b"l2"), Item(3, Kind.LABEL, 3, KEYS[0], b"l3"),
    ]  # fmt: skip

    def pause(seconds: float) -> bool:
        clock.advance(max(seconds, 0.01))
        return False

    gates = Gates(labels=gate(Somebody(), clock))
    report = Replayer("shop", broker, clock=clock, pause=pause, pacer=Pacer(clock), gates=gates).run(items)
    assert [m.value for m in broker.messages] == [b"r", b"l1", b"l2", b"l3"]
    assert (report.records, report.labels, clock.monotonic() - began >= 15.0) == (1, 3, True)
