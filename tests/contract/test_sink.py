"""What every `Sink` owes to the delivery: one body of tests over the log in memory and a real Kafka."""

import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]

from shared.core.errors import Fenced, Unavailable
from shared.core.ports import Block, Sink
from shared.core.records import Committed, Note
from tests.support.logs import PARTITIONS, Rig, poll

KEYS = [b"%d" % i for i in range(8)]


def write(rig: Rig, sink: Sink, *values: bytes, partition: int = 0) -> None:
    """Begin a transaction and bring these into the output."""
    sink.begin()
    n = len(values)
    sink.produce(Block(rig.topic("out"), [b"k"] * n, list(values), None, [partition] * n))
    sink.flush()


def test_transaction_is_visible_as_a_whole_or_not_at_all(rig: Rig) -> None:
    """A read_committed reader sees nothing of an open transaction, and all of it in order once it is committed."""
    sink = rig.sink("t")
    write(rig, sink, b"1", b"2")
    sink.produce(Block(rig.topic("out"), [b"k"], [b"3"], None, [1]))
    sink.flush()
    assert rig.seen() == []
    sink.commit()
    assert sorted(rig.seen()) == [b"1", b"2", b"3"]


def test_aborted_transaction_leaves_nothing(rig: Rig) -> None:
    """Neither records nor offsets of an aborted transaction hold, and the same producer goes on."""
    rig.send(b"x")
    source, heard = rig.source()
    poll(source, until=len)
    token = source.poll(1, 0.0, 0.0).token
    sink = rig.sink("t")
    write(rig, sink, b"1")
    sink.send_offsets({0: Committed(1, Note(1, 1))}, token)
    sink.abort()
    source.rewind()
    assert Committed(-1, Note()) == heard.positions[0]
    write(rig, sink, b"2")
    sink.send_offsets({0: Committed(1, Note(2, 2))}, token)
    sink.commit()
    source.rewind()
    assert Committed(1, Note(2, 2)) == heard.positions[0]
    assert rig.seen() == [b"2"]


@pytest.mark.parametrize("rig", ["memory", pytest.param("classic", marks=pytest.mark.system)], indirect=True)
def test_pending_offsets_have_no_answer_yet(rig: Rig) -> None:
    """While a transaction with a partition's offset is open nobody is told a position that it may still change."""
    source, heard = rig.source()
    poll(source, until=lambda _: heard.positions)
    sink = rig.sink("t")
    sink.begin()
    sink.send_offsets({0: Committed(0, Note(1, 1))}, source.poll(1, 0.0, 0.0).token)
    with pytest.raises(Unavailable):
        source.rewind()
    assert Committed(-1, Note()) == heard.positions[0]
    sink.commit()
    source.rewind()
    assert Committed(0, Note(1, 1)) == heard.positions[0]


def test_older_producer_of_an_id_is_fenced(rig: Rig) -> None:
    """A second producer with the same id ends the first one's transaction; the first cannot commit any more."""
    old = rig.sink("t")
    write(rig, old, b"old")
    new = rig.sink("t")
    with pytest.raises(Fenced) as refused:
        old.commit()
    assert refused.value.transient
    write(rig, new, b"new")
    new.commit()
    assert rig.seen() == [b"new"]


def test_fencing_shows_at_the_latest_with_the_commit(rig: Rig) -> None:
    """A producer that was fenced before its records left raises `Fenced`, no foreign error, and can still be closed."""
    old = rig.sink("t")
    old.begin()
    rig.sink("t")
    old.produce(Block(rig.topic("out"), [b"k"], [b"1"]))
    with pytest.raises(Fenced):  # noqa: PT012 - which of the two finds out is the log's own business
        old.flush()
        old.commit()
    old.close()
    assert rig.seen() == []


def test_renewed_producer_ends_its_own_open_transaction(rig: Rig) -> None:
    """After a renewal nothing of the open transaction is left, and it hides nothing that comes behind it."""
    sink = rig.sink("t")
    write(rig, sink, b"1")
    sink.renew()
    write(rig, sink, b"2")
    sink.commit()
    assert rig.seen() == [b"2"]


def test_open_transaction_hides_what_stands_behind_it(rig: Rig) -> None:
    """A reader stops at the first open transaction of a partition, also before others that are committed."""
    slow, quick = rig.sink("slow"), rig.sink("quick")
    write(rig, slow, b"1")
    write(rig, quick, b"2")
    quick.commit()
    write(rig, quick, b"3", partition=1)
    quick.commit()
    assert rig.seen() == [b"3"]
    slow.commit()
    assert sorted(rig.seen()) == [b"1", b"2", b"3"]


def test_without_transactions_a_flush_is_enough(rig: Rig) -> None:
    """At least once: begin and commit do nothing, what is flushed is visible, and a renewed producer goes on."""
    sink = rig.sink()
    write(rig, sink, b"1")
    assert rig.seen() == [b"1"]
    sink.commit()
    sink.renew()
    write(rig, sink, b"2")
    sink.abort()
    assert rig.seen() == [b"1", b"2"]


def test_messages_arrive_as_they_were_produced(rig: Rig) -> None:
    """Keys, values and headers come back, absent ones as None; a key decides its partition as Java's clients do."""
    rows = [
        (b"abc", b"1", [("h", b"x"), ("h", None), ("g", b"")]),
        (b"tail-number", None, None),
        (None, b"2", None),
        (b"", b"", None),
    ]
    sink = rig.sink()
    keys, values, headers = [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    sink.produce(Block(rig.topic("out"), keys, values, headers, [0] * len(rows)))
    sink.produce(Block(rig.topic("out"), KEYS, [b"keyed"] * len(KEYS)))
    sink.flush()
    source, _ = rig.source(topic="out")
    got = poll(source, until=lambda got: len(got) == len(rows) + len(KEYS))
    given = [(m.key(), m.value(), m.headers()) for m in got if m.value() != b"keyed"]
    assert rows == given
    assert {m.partition() for m in got if m.value() != b"keyed"} == {0}
    placed = {m.key(): m.partition() for m in got if m.value() == b"keyed"}
    assert {key: (murmur2(key) & 0x7FFFFFFF) % PARTITIONS for key in KEYS} == placed
