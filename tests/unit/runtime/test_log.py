"""The log in memory keeps what Kafka keeps: whatever is proved on it stands on these."""

import pytest
from aiokafka.partitioner import murmur2 as reference  # type: ignore[import-untyped]

from shared.core.errors import Abortable, Fatal, Fenced, Unavailable
from shared.core.partitioning import murmur2
from shared.core.ports import Block
from shared.core.records import Committed, Note
from shared.testing.clock import ManualClock
from shared.testing.faults import MisuseError
from shared.testing.log import Log, positions
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def assigned(self, positions: dict[int, Committed]) -> None:
        """Keep it."""
        self.told.append(("assigned", sorted(positions)))

    def revoked(self, partitions: list[int]) -> None:
        """Keep it."""
        self.told.append(("revoked", sorted(partitions)))

    def lost(self, partitions: list[int]) -> None:
        """Keep it."""
        self.told.append(("lost", sorted(partitions)))


def fixture(partitions: int = 2) -> tuple[Log, ManualClock]:
    """A log with an input and an output."""
    clock = ManualClock()
    return Log({"in": partitions, "out": partitions}, clock), clock


def member(log: Log, name: str = "a") -> tuple[MemorySource, Heard]:
    """A member of the group `g`."""
    heard = Heard()
    return MemorySource(log, group="g", topic="in", listener=heard, name=name), heard  # type: ignore[arg-type] # a dict and a list are what it is given


def block(*values: bytes) -> Block:
    """Values for partition 0 of the output."""
    return Block("out", [b"k"] * len(values), list(values), None, [0] * len(values))


def values(log: Log) -> list[bytes | None]:
    """What a reader sees of the output."""
    return [m.value() for m in log.read("out")]


def test_open_transaction_hides_everything_after_its_first_record() -> None:
    """A read_committed reader stops at the first open transaction, also before records outside of any."""
    log, _ = fixture()
    sink = MemorySink(log, "t")
    sink.begin()
    sink.produce(block(b"1"))
    sink.flush()
    log.append("out", 0, b"k", b"2")
    assert values(log) == []
    sink.commit()
    assert values(log) == [b"1", b"2"]
    assert [m.offset() for m in log.read("out")] == [0, 1]
    assert log.append("out", 0, b"k", b"3") == 3, "the marker takes offset 2"


def test_aborted_transaction_is_never_seen() -> None:
    """What was aborted keeps its offsets and is shown to nobody."""
    log, _ = fixture()
    sink = MemorySink(log, "t")
    sink.begin()
    sink.produce(block(b"1"))
    sink.flush()
    sink.abort()
    assert values(log) == []
    assert len(log.everything("out")) == 1


def test_newer_producer_fences_the_older_and_aborts_what_it_left_open() -> None:
    """The older producer of a transactional id can write nothing more."""
    log, _ = fixture()
    old = MemorySink(log, "t")
    old.begin()
    old.produce(block(b"old"))
    old.flush()
    MemorySink(log, "t")
    with pytest.raises(Fenced):
        old.commit()
    assert values(log) == []


def test_transaction_that_is_open_too_long_is_aborted_and_its_owner_fenced() -> None:
    """The broker's time-out frees the partition and fences the sleeper."""
    log, clock = fixture()
    sink = MemorySink(log, "t")
    sink.begin()
    sink.produce(block(b"1"))
    sink.flush()
    clock.advance(11)
    with pytest.raises(Fenced):
        sink.commit()


def test_offsets_belong_to_their_transaction() -> None:
    """Offsets sent in a transaction hold after its commit only, and have no answer while it is open."""
    log, _ = fixture()
    source, _ = member(log)
    log.append("in", 0, b"k", b"x")
    batch = source.poll(10, 0, 0)
    sink = MemorySink(log, "t")
    sink.begin()
    sink.send_offsets({0: Committed(1, Note(1, 1))}, batch.token)
    with pytest.raises(Unavailable):
        source.rewind()
    sink.abort()
    assert log.group("g").committed([0])[0].offset == -1
    sink.begin()
    sink.send_offsets({0: Committed(1, Note(1, 1))}, batch.token)
    sink.commit()
    assert log.group("g").committed([0])[0] == Committed(1, Note(1, 1))


def test_stale_token_is_refused_and_a_fresh_one_is_taken() -> None:
    """A member that was thrown out commits nothing by its old metadata; by its new one it may."""
    log, _ = fixture()
    source, heard = member(log)
    batch = source.poll(10, 0, 0)
    log.group("g").remove(source.member)
    source.rejoin()
    sink = MemorySink(log, "t")
    sink.begin()
    with pytest.raises(Abortable):
        sink.send_offsets({0: Committed(1, Note())}, batch.token)
    sink.abort()
    sink.begin()
    sink.send_offsets({0: Committed(1, Note())}, source.token())
    source_events = list(heard.told)
    source.poll(10, 0, 0)
    assert source_events == [("assigned", [0, 1])]
    assert heard.told[1:] == [("lost", [0, 1]), ("assigned", [1])], "partition 0 has an offset pending"


def test_partition_is_given_only_after_its_holder_gave_it_up() -> None:
    """A partition moves in two polls: its holder's, then the new owner's."""
    log, _ = fixture()
    a, heard_a = member(log, "a")
    a.poll(10, 0, 0)
    b, heard_b = member(log, "b")
    b.poll(10, 0, 0)
    assert (a.owned, b.owned) == ({0, 1}, set())
    a.poll(10, 0, 0)
    b.poll(10, 0, 0)
    assert (a.owned, b.owned) == ({0}, {1})
    assert (heard_a.told[1:], heard_b.told) == ([("revoked", [1])], [("assigned", [1])])
    b.close()
    a.poll(10, 0, 0)
    assert a.owned == {0, 1}


def test_calls_that_the_client_would_not_survive_are_misuse() -> None:
    """A begin after an end that is unknown, or within a transaction, fails the test that did it."""
    log, _ = fixture()
    sink = MemorySink(log, "t")
    sink.begin()
    with pytest.raises(MisuseError):
        sink.begin()
    sink = MemorySink(log, "t")
    sink.faults.add("commit", Fatal("gone"))
    sink.begin()
    with pytest.raises(Fatal):
        sink.commit()
    with pytest.raises(MisuseError):
        sink.begin()
    with pytest.raises(MisuseError):
        sink.abort()


def test_too_long_a_note_is_abortable() -> None:
    """The broker takes 4,095 bytes of metadata and no more."""
    log, _ = fixture()
    source, _ = member(log)
    source.poll(1, 0, 0)
    with pytest.raises(Abortable):
        source.commit({0: Committed(1, Note(10**4200, 1))})


def test_rewind_reads_again_and_stop_lasts_until_the_next_assignment() -> None:
    """After a rewind the same records come again; a stopped partition stays silent until it is assigned anew."""
    log, _ = fixture(1)
    log.append("in", 0, b"k", b"x")
    source, _ = member(log)
    first = source.poll(10, 0, 0).messages
    assert source.lag() == 0
    source.rewind()
    assert positions(source.poll(10, 0, 0).messages) == positions(first)  # type: ignore[arg-type] # they are the log's own
    source.rewind()
    source.stop(0)
    assert (len(source.poll(10, 0, 0).messages), source.lag()) == (0, 0)
    log.group("g").remove(source.member)
    assert len(source.poll(10, 0, 0).messages) == 1


def test_keys_go_where_java_puts_them() -> None:
    """The partition of a key is murmur2's."""
    for key in (b"", b"a", b"ab", b"abc", b"abcd", b"tail-number", bytes(range(256))):
        assert murmur2(key) == reference(key) & 0x7FFFFFFF
