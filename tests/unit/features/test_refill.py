"""A store that is emptied is filled again from the log, whatever else happens meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest

from shared.core.errors import Unavailable
from shared.core.pacing import Pacer
from shared.core.pipeline import DeadLetterLimit
from shared.core.ports import Block, Part, Result, Source
from shared.core.records import Committed, Note
from shared.runtime.controls import NoControls
from shared.runtime.delivery import AtLeastOnce, Delivery
from shared.runtime.health import Health
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.runtime.refill import EVERY, FILLED, MarkedRefill
from shared.runtime.watchdog import Watchdog
from shared.testing.clock import ManualClock
from shared.testing.faults import Crash
from shared.testing.log import Log
from shared.testing.metrics import RecordingMetrics
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource
from tests.support.loops import NoTracer

PARTITIONS = 2


class Store:
    """What a feature cache is: the newest offset by key, and the markers; `chaos` is called at each command."""

    def __init__(self) -> None:
        self.data: dict[bytes, int] = {}
        self.marks: dict[int, str] = {}
        self.chaos: Callable[[], None] = lambda: None

    def wipe(self) -> None:
        """Come back empty."""
        self.data.clear()
        self.marks.clear()

    def write(self, part: Part) -> Result:
        """A step that merges its part into the store."""
        for m in part.messages:
            self.chaos()
            key = m.key() or b""
            self.data[key] = max(self.data.get(key, -1), m.offset())
        self.chaos()
        return Result()

    def markers(self, partitions: Sequence[int]) -> list[str]:
        """See `Markers`."""
        self.chaos()
        return [self.marks.get(p, "") for p in partitions]

    def mark(self, partitions: Sequence[int], marker: str) -> None:
        """See `Markers`."""
        self.chaos()
        self.marks.update(dict.fromkeys(partitions, marker))
        self.chaos()

    def swap(self, partitions: Sequence[int], old: str, new: str) -> None:
        """See `Markers`."""
        for partition in partitions:
            self.chaos()
            if self.marks.get(partition) == old:
                self.marks[partition] = new


class BlindStore(Store):
    """The planted bug: the marker is set, whatever stood there."""

    def swap(self, partitions: Sequence[int], old: str, new: str) -> None:
        """Set them all."""
        del old
        self.chaos()
        self.marks.update(dict.fromkeys(partitions, new))


class Rig:
    """A log with one topic, and writers of one group over one store."""

    def __init__(self, store: Store) -> None:
        self.clock, self.store = ManualClock(), store
        self.log = Log({"in": PARTITIONS, "dlq": 1}, self.clock)
        self.expected: dict[bytes, int] = {}
        self._started = 0

    def send(self, key: str, partition: int = 0) -> None:
        """An update of a key, which belongs to its partition."""
        name = f"{partition}:{key}".encode()
        self.expected[name] = self.log.append("in", partition, name, b"x")

    def writer(self, mark: Callable[[str], None] = lambda _: None) -> tuple[Loop, MemorySource]:
        """One more worker."""
        self._started += 1
        name, watchdog = f"w{self._started}", Watchdog(self.clock, 1e9)
        made: list[MemorySource] = []

        def connect(loop: Loop) -> tuple[Source, Delivery]:
            refill = MarkedRefill(self.store, self.clock, name)
            made.append(MemorySource(self.log, group="g", topic="in", listener=loop, name=name, refill=refill))
            return made[0], AtLeastOnce(MemorySink(self.log), made[0], watchdog, mark)

        health = Health(self.clock, max_turn_age=60.0, checks=("assignment",))
        probe = Probe(
            pipeline="p", topic="in", metrics=RecordingMetrics(), health=health, tracer=NoTracer(), clock=self.clock
        )
        loop = Loop(
            connect=connect,
            step=self.store.write,
            controls=NoControls(),
            letters=lambda _: Block("dlq", [], []),
            pacer=Pacer(max_batch=5, latency_target=0.1, gather=0.003),
            limit=DeadLetterLimit(),
            probe=probe,
            clock=self.clock,
            pause=self.clock.advance,
        )
        return loop, made[0]

    def settle(self, *loops: Loop) -> None:
        """Turn them until whatever has to be noticed was noticed and done."""
        for _ in range(60):
            self.clock.advance(EVERY / 4)
            for loop in loops:
                loop.turn()

    def offsets(self) -> dict[int, Committed]:
        """What the group has committed."""
        return self.log.group("g", "in").committed(range(PARTITIONS))


def test_emptied_store_is_filled_again_without_new_updates() -> None:
    """An idle writer whose store came back empty reads all partitions again, and commits as far as before."""
    rig = Rig(Store())
    for i in range(23):
        rig.send(str(i), i % 2)
    loop, _ = rig.writer()
    rig.settle(loop)
    before = rig.offsets()
    assert rig.store.marks == dict.fromkeys(range(PARTITIONS), FILLED)
    rig.store.wipe()
    loop.turn()
    assert rig.store.data == {}, "it looks every few seconds only"
    rig.settle(loop)
    assert (rig.expected, before) == (rig.store.data, rig.offsets())
    assert rig.store.marks == dict.fromkeys(range(PARTITIONS), FILLED)


def test_lost_marker_alone_is_harmless() -> None:
    """Where only a marker was evicted its partition is read again, and no other; the values stay."""
    rig = Rig(Store())
    rig.send("a")
    rig.send("b", 1)
    loop, source = rig.writer()
    rig.settle(loop)
    told: list[dict[int, int]] = []
    assigned = loop.assigned

    def overhear(positions: Mapping[int, Committed]) -> None:
        told.append({p: c.offset for p, c in positions.items()})
        assigned(positions)

    loop.assigned = overhear  # type: ignore[method-assign] # the source asks the loop by this name
    del rig.store.marks[1]
    rig.settle(loop)
    assert [{0: 1, 1: -1}] == told
    assert (rig.expected, 0) == (rig.store.data, source.lag())


def test_filled_store_is_not_read_again() -> None:
    """A restarted writer goes on where the group was, if the marker stands."""
    rig = Rig(Store())
    rig.send("a")
    loop, _ = rig.writer()
    rig.settle(loop)
    loop.stop()
    loop.run()
    rig.store.data.clear()
    rig.send("b")
    other, _ = rig.writer()
    rig.settle(other)
    assert list(rig.store.data) == [b"0:b"]


def test_store_that_does_not_answer_changes_nothing_yet() -> None:
    """While markers cannot be read positions are those committed; a fill that had begun begins anew afterwards."""
    store, clock = Store(), ManualClock()
    refill = MarkedRefill(store, clock, "me")
    assert list(refill.begin([0, 1])) == [0, 1]

    def down() -> None:
        raise Unavailable("away")

    store.chaos = down
    assert list(refill.begin([0])) == []
    clock.advance(EVERY)
    assert not refill.due([0, 1])
    store.chaos = lambda: None
    refill.committed([0])
    assert store.marks == {0: "me", 1: "me"}, "what was committed was not read from the beginning"
    clock.advance(EVERY)
    assert refill.due([0, 1])
    assert not refill.due([0, 1]), "asked once in a while only"
    assert list(refill.begin([0])) == [0]
    refill.committed([0])
    assert store.marks == {0: FILLED, 1: "me"}


def test_note_survives_a_refill() -> None:
    """Starting over gives a partition no offset, and leaves it its note."""
    rig = Rig(Store())
    rig.log.group("g", "in").offsets[0] = Committed(5, Note(2, 2))
    loop, source = rig.writer()
    told: list[Committed] = []
    loop.assigned = lambda positions: told.append(positions[0])  # type: ignore[method-assign] # the listener, overheard
    source.poll(1, 0, 0)
    assert [Committed(-1, Note(2, 2))] == told


class Chaos:
    """Wipes and outages of a store, and crashes of its writers, by dice."""

    def __init__(self, dice: Random, store: Store) -> None:
        self.dice, self.store = dice, store
        store.chaos = self.command

    def command(self) -> None:
        """At each command of the store."""
        roll = self.dice.random()
        if roll < 0.02:
            self.store.wipe()
        elif roll < 0.04:
            raise Unavailable("away")

    def mark(self, _: str) -> None:
        """At each step of a delivery."""
        roll = self.dice.random()
        if roll < 0.05:
            self.store.wipe()
        elif roll < 0.08:
            raise Crash


def simulate(seed: int, store: Store) -> bool:
    """Whether the store ends as the log says, with all that dice can do to it and to members that come and go."""
    dice, rig = Random(seed), Rig(store)
    chaos = Chaos(dice, store)
    writers = [rig.writer(chaos.mark)]
    for _ in range(150):
        if dice.random() < 0.4:
            rig.send(str(dice.randrange(40)), dice.randrange(PARTITIONS))
        if dice.random() < 0.03 and len(writers) < 3:
            writers.append(rig.writer(chaos.mark))
        rig.clock.advance(dice.choice((0.0, 0.1, EVERY)))
        at = dice.randrange(len(writers))
        loop, source = writers[at]
        try:
            loop.turn()
        except Crash:
            rig.log.group("g").remove(source.member)
            writers[at] = rig.writer(chaos.mark)
        if dice.random() < 0.02:
            rig.log.group("g").remove(writers[at][1].member)
    store.chaos = lambda: None
    for _, source in writers:
        rig.log.group("g").remove(source.member)
    rig.settle(rig.writer()[0])
    return rig.expected == store.data


@pytest.mark.parametrize("seed", range(60))
def test_store_ends_as_the_log_says(seed: int) -> None:
    """F21: whenever the store is emptied or away, and whoever crashes when, in the end it holds every key's newest."""
    print(f"seed {seed}")
    assert simulate(seed, Store())


def test_planted_bug_is_found() -> None:
    """A marker that is set without regard to what stands there is found out by some of these seeds."""
    wrong = [seed for seed in range(60) if not simulate(seed, BlindStore())]
    print(f"found by seeds {wrong}")
    assert wrong
