"""A memory over the log: read again where it must be, never used half, and a gap is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from shared.core.errors import Unavailable
from shared.core.ports import Message
from shared.core.records import Committed, Note, Position
from shared.runtime.rebuild import Rebuilding
from shared.testing.log import MemoryMessage


@dataclass
class Seen:
    """A memory of offsets."""

    known: dict[int, list[int]] = field(default_factory=dict)
    at: dict[int, int] = field(default_factory=dict)

    def next(self, partition: int) -> int:
        """See `Memory`."""
        return self.at.get(partition, -1)

    def low(self, partition: int) -> int:
        """The first offset that is known."""
        return self.known[partition][0] if self.known[partition] else -1

    def begin(self, partition: int, offset: int) -> None:
        """See `Memory`."""
        self.known[partition], self.at[partition] = [], offset

    def refill(self, messages: Sequence[Message]) -> None:
        """Remember them."""
        for m in messages:
            self.known[m.partition()].append(m.offset())
            self.at[m.partition()] = m.offset() + 1

    def forget(self, partitions: Iterable[int]) -> None:
        """See `Memory`."""
        for partition in partitions:
            self.known.pop(partition, None)
            self.at.pop(partition, None)


@dataclass
class Past:
    """A log of a hundred records whose first ones are gone; fails after so many chunks."""

    first: int = 0
    fails_after: int = 1_000
    asked: list[tuple[int, int, int]] = field(default_factory=list)

    def start(self, partition: int) -> int:
        """See `Ranges`."""
        del partition
        return self.first

    def read(self, partition: int, start: int, end: int) -> Iterable[Sequence[MemoryMessage]]:
        """Five records a chunk."""
        self.asked.append((partition, start, end))
        for number, offset in enumerate(range(start, end, 5)):
            if number == self.fails_after:
                raise Unavailable("planted")
            yield batch(*range(offset, min(offset + 5, end)), partition=partition)


def batch(*offsets: int, partition: int = 0) -> list[MemoryMessage]:
    """Records at these offsets."""
    return [MemoryMessage(Position("in", partition, offset), None, b"") for offset in offsets]


@dataclass
class Rig:
    """The controls over a memory and a past."""

    memory: Seen = field(default_factory=Seen)
    past: Past = field(default_factory=Past)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    turns: int = 0

    def __post_init__(self) -> None:
        """Put them together."""
        self.controls = Rebuilding(self.memory, self.past, lambda *where: self.gaps.append(where), self.turn)

    def turn(self) -> None:
        """Count the signs of life."""
        self.turns += 1

    def assign(self, offset: int, low: int = -1) -> None:
        """Partition 0 came, or was rewound, with this committed offset."""
        self.notes = self.controls.notes({0: Committed(offset, Note(low=low))})


def test_half_a_memory_is_no_memory() -> None:
    """A past that cannot be read to its end is read again from its beginning, before any record is processed."""
    rig = Rig(past=Past(fails_after=2))
    rig.assign(40, low=20)
    with pytest.raises(Unavailable):
        rig.controls.split(batch(40), rig.notes)
    assert -1 == rig.memory.next(0)
    rig.past.fails_after = 1_000
    rig.controls.split(batch(40), rig.notes)
    assert (list(range(20, 40)), 40) == (rig.memory.known[0], rig.memory.next(0))


def test_a_gap_is_told_and_the_rest_is_read() -> None:
    """What retention took of the needed past is named; what is left of it counts."""
    rig = Rig(past=Past(first=30))
    rig.assign(40, low=20)
    rig.controls.split(batch(40), rig.notes)
    assert ([(0, 20, 30)], list(range(30, 40))) == (rig.gaps, rig.memory.known[0])


def test_the_past_is_read_before_the_first_record_and_no_sooner() -> None:
    """An assignment alone reads nothing; the first batch does, up to its own first record, with signs of life."""
    rig = Rig()
    rig.assign(40, low=20)
    assert [] == rig.past.asked
    cut = rig.controls.split(batch(42, 43), rig.notes)
    assert [(0, 20, 42)] == rig.past.asked
    assert rig.turns == 5
    assert ([0], {0: Note(low=20)}) == ([part.epoch for part in cut.parts], cut.notes)


def test_nothing_was_committed_nothing_is_read() -> None:
    """A partition without a committed offset has no past; its first offset is what it then needs."""
    rig = Rig()
    rig.assign(-1)
    cut = rig.controls.split(batch(7), rig.notes)
    assert ([], {0: Note(low=7)}) == (rig.past.asked, cut.notes)


def test_a_note_that_an_operator_reset_means_all_there_is() -> None:
    """An offset without its note: everything before it is read, and nobody can say that something is missing."""
    rig = Rig(past=Past(first=10))
    rig.assign(40)
    rig.controls.split(batch(40), rig.notes)
    assert ([(0, 10, 40)], []) == (rig.past.asked, rig.gaps)


def test_a_memory_that_ran_ahead_is_thrown_away() -> None:
    """After a rewind, and for a batch that comes again without one, the past ends where the batch begins."""
    rig = Rig()
    rig.assign(-1)
    rig.controls.split(batch(0, 1, 2), rig.notes)
    rig.memory.refill(batch(0, 1, 2))
    cut = rig.controls.split(batch(1, 2), {0: Note(low=0)})
    assert ([(0, 0, 1)], [0]) == (rig.past.asked, rig.memory.known[0])
    rig.memory.refill(batch(1, 2))
    rig.assign(3, low=cut.notes[0].low)
    rig.controls.split(batch(3), rig.notes)
    assert 1 == len(rig.past.asked), "it stands where the group does"
    rig.assign(2, low=0)
    rig.controls.split(batch(2), rig.notes)
    assert (0, 0, 2) == rig.past.asked[-1]


def test_what_goes_to_another_worker_is_forgotten() -> None:
    """It may come back with another's progress in between."""
    rig = Rig()
    rig.assign(-1)
    rig.controls.split(batch(0), rig.notes)
    rig.controls.dropped([0])
    assert -1 == rig.memory.next(0)
