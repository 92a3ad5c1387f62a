"""What every `Source` owes to the loop: one body of tests over the log in memory and a real Kafka."""

from collections.abc import Callable, Collection

import msgspec
import pytest

from shared.core.errors import Abortable
from shared.core.ports import Block, Message
from shared.core.records import Committed, Note
from tests.support.logs import KafkaRig, Rig, poll

LONGEST = Note(10 ** (4_095 - len('{"epoch":}') - 1), 0)


def test_positions_and_notes_are_told_together_before_any_record(rig: Rig) -> None:
    """A new owner is told each partition's offset with the note committed beside it, -1 where there is none."""
    rig.send(b"0", b"1", b"2")
    first, heard = rig.source()
    poll(first, until=lambda got: len(got) == 3)
    assert {0: Committed(-1, Note()), 1: Committed(-1, Note())} == heard.positions
    first.commit({0: Committed(2, Note(3, 2, 1))})
    first.close()
    second, heard = rig.source("b")
    (last,) = poll(second, until=len)
    assert {0: Committed(2, Note(3, 2, 1)), 1: Committed(-1, Note())} == heard.positions
    assert (0, 2) == (last.partition(), last.offset())


def test_rewind_goes_back_to_what_is_committed_and_tells_it(rig: Rig) -> None:
    """After a rewind the listener holds the committed positions, and exactly what is not committed comes again."""
    rig.send(b"0", b"1", b"2")
    rig.send(b"3", partition=1)
    source, heard = rig.source()
    poll(source, until=lambda got: len(got) == 4)
    source.commit({0: Committed(1, Note(7, 7))})
    before = source.generation
    source.rewind()
    assert ("assigned", [0, 1]) == heard.told[-1]
    assert {0: Committed(1, Note(7, 7)), 1: Committed(-1, Note())} == heard.positions
    again = poll(source, until=lambda got: len(got) == 3)
    assert [(0, 1), (0, 2), (1, 0)] == sorted((m.partition(), m.offset()) for m in again)
    assert before == source.generation, "a rewind takes nothing away"


def test_records_come_in_order_and_once_within_the_limit(rig: Rig) -> None:
    """Each partition's records come in the order of the log, each once, never more at once than was asked for."""
    for partition in (0, 1):
        rig.send(*(b"%d" % i for i in range(20)), partition=partition)
    source, _ = rig.source()
    sizes: list[int] = []

    def enough(got: list[Message]) -> bool:
        sizes.append(len(got) - sum(sizes))
        return len(got) >= 40

    got = poll(source, until=enough, limit=7)
    for partition in (0, 1):
        assert [b"%d" % i for i in range(20)] == [m.value() for m in got if m.partition() == partition]
    assert max(sizes) <= 7
    assert source.lag() == 0


def test_stopped_partition_is_silent_and_the_others_go_on(rig: Rig) -> None:
    """Of a stopped partition nothing more comes, not after a rewind either, until it is assigned anew."""
    rig.send(b"a")
    source, _ = rig.source()
    poll(source, until=len)
    source.stop(0)
    source.rewind()
    rig.send(b"b")
    rig.send(b"c", partition=1)
    assert [b"c"] == [m.value() for m in poll(source, until=len)]
    assert source.lag() == 0, "what is stopped is no work that waits"
    source.close()
    other, _ = rig.source("b")
    assert 3 == len(poll(other, until=lambda got: len(got) == 3))


def test_revocation_takes_a_partition_and_its_records_away(rig: Rig) -> None:
    """When a second member comes the generation rises, and what is not owned any more is never given."""
    first, heard = rig.source()
    rig.send(b"x")
    poll(first, until=len)
    first.commit({0: Committed(1, Note())})
    before = first.generation
    second, others = rig.source("b")
    poll(first, second, until=lambda _: len(heard.positions) == len(others.positions) == 1)
    assert first.generation > before
    assert ["revoked"] == [event for event, _ in heard.told if event != "assigned"]
    assert {0, 1} == set(heard.positions) | set(others.positions)
    for partition in (0, 1):
        rig.send(b"y", b"z", partition=partition)
    for source, own in ((first, heard), (second, others)):
        got = poll(source, until=lambda got: len(got) >= 2)
        assert set(own.positions) == {m.partition() for m in got}
        assert [b"y", b"z"] == [m.value() for m in got]


@pytest.mark.parametrize("rig", ["memory", pytest.param("classic", marks=pytest.mark.system)], indirect=True)
def test_whoever_was_thrown_out_is_told_of_a_loss_and_commits_nothing(rig: Rig) -> None:
    """Its partitions are lost, not revoked; neither its offsets nor its batch's token are taken."""
    rig.send(b"x", b"y")
    source, heard = rig.source()
    poll(source, until=lambda _: heard.positions)
    batch = source.poll(1, 0.0, 5.0)
    assert batch.generation == source.generation
    rig.throw_out(source)
    with pytest.raises(Abortable) as refused:
        source.commit({0: Committed(1, Note())})
    assert refused.value.transient
    poll(source, until=lambda _: ("lost", [0, 1]) in heard.told and heard.positions)
    assert source.generation > batch.generation
    assert ["lost"] == [event for event, _ in heard.told if event != "assigned"]
    sink = rig.sink("t")
    sink.begin()
    sink.produce(Block(rig.topic("out"), [b"k"], [b"1"]))
    sink.flush()
    with pytest.raises(Abortable) as refused:
        sink.send_offsets({0: Committed(1, Note())}, batch.token)
    assert refused.value.transient
    sink.abort()
    source.rewind()
    assert Committed(-1, Note()) == heard.positions[0]
    assert rig.seen() == []


class Emptied:
    """A `Refill` that a test sets: these partitions start over, at the next chance."""

    def __init__(self) -> None:
        self.again: set[int] = set()
        self.done: list[int] = []

    def due(self, partitions: Collection[int]) -> bool:
        """See `Refill`."""
        return bool(self.again & set(partitions))

    def begin(self, partitions: Collection[int]) -> Collection[int]:
        """See `Refill`."""
        now = self.again & set(partitions)
        self.again -= now
        return now

    def committed(self, partitions: Collection[int]) -> None:
        """See `Refill`."""
        self.done += partitions


def test_partition_starts_over_when_its_store_was_emptied(rig: Rig) -> None:
    """It begins at its first record at the next poll, keeps its note, and may commit backwards; the others go on."""
    rig.send(b"0", b"1")
    rig.send(b"2", partition=1)
    refill = Emptied()
    source, heard = rig.source(refill=refill)
    poll(source, until=lambda got: len(got) == 3)
    source.commit({0: Committed(2, Note(4, 4)), 1: Committed(1, Note())})
    assert sorted(refill.done) == [0, 1]
    refill.again.add(0)
    again = poll(source, until=lambda got: len(got) == 2)
    assert [(0, 0), (0, 1)] == [(m.partition(), m.offset()) for m in again]
    assert {0: Committed(-1, Note(4, 4)), 1: Committed(1, Note())} == heard.positions
    source.commit({0: Committed(1, Note(4, 4))})
    source.close()
    refill.again.add(1)
    other, heard = rig.source("b", refill=refill)
    rest = poll(other, until=lambda got: len(got) == 2)
    assert [(0, 1), (1, 0)] == sorted((m.partition(), m.offset()) for m in rest)
    assert {0: Committed(1, Note(4, 4)), 1: Committed(-1, Note())} == heard.positions


@pytest.mark.parametrize("note", [Note(), Note(1, 1, 0), LONGEST], ids=["empty", "full", "4095 bytes"])
def test_notes_come_back_as_they_were_committed(rig: Rig, note: Note) -> None:
    """A note of up to 4,095 bytes comes back, committed by the source or in a transaction."""
    assert len(msgspec.json.encode(LONGEST)) == 4_095
    source, heard = rig.source()
    poll(source, until=lambda _: heard.positions)
    source.commit({0: Committed(0, note)})
    sink = rig.sink("t")
    sink.begin()
    sink.send_offsets({1: Committed(0, note)}, source.poll(1, 0.0, 0.0).token)
    sink.commit()
    source.rewind()
    assert {0: Committed(0, note), 1: Committed(0, note)} == heard.positions


def test_longer_note_is_refused(rig: Rig) -> None:
    """One byte more is refused, and no sign of a log that is out of reach: trying again would not help."""
    longer = {0: Committed(0, Note(LONGEST.epoch * 10))}
    source, heard = rig.source()
    poll(source, until=lambda _: heard.positions)
    with pytest.raises(Abortable) as refused:
        source.commit(longer)
    assert not refused.value.transient
    sink = rig.sink("t")
    sink.begin()
    with pytest.raises(Abortable) as refused:
        sink.send_offsets(longer, source.poll(1, 0.0, 0.0).token)
    assert not refused.value.transient
    sink.abort()
    source.rewind()
    assert Committed(-1, Note()) == heard.positions[0]


@pytest.mark.system
@pytest.mark.parametrize("metadata", ["", "garbage", '{"epoch":"x"}', "[1]", '{"epoch":1'])
def test_foreign_metadata_is_no_note(kafka: str, unique: Callable[[str], str], metadata: str) -> None:
    """An offset that an operator or a foreign tool set holds, and its metadata counts as an empty note."""
    rig = KafkaRig(kafka, unique("contract"), "classic")
    try:
        rig.send(b"0", b"1")
        rig.write_metadata(0, 1, metadata)
        source, heard = rig.source()
        (only,) = poll(source, until=len)
        assert (Committed(1, Note()), b"1") == (heard.positions[0], only.value())
    finally:
        rig.close()
