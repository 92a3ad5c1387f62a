"""Reading a part of a partition again, on a real broker: what was committed, and neither more nor for ever."""

from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from shared.adapters.kafka.blocks import BlockReader
from shared.adapters.kafka.ranges import RangeReader
from shared.core.errors import Unavailable, UserError
from tests.support.wait import until

pytestmark = pytest.mark.system


@pytest.fixture
def topic(kafka: str, unique: Callable[[str], str]) -> str:
    """A topic of one partition."""
    name = unique("ranges")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
    return name


def transaction(kafka: str, topic: str, values: list[bytes], *, commit: bool) -> None:
    """Write these in one transaction; an aborted one is in the log all the same."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{topic}-{values[0]!r}"})
    producer.init_transactions(20)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(20)
    producer.commit_transaction(20) if commit else producer.abort_transaction(20)


def read(reader: RangeReader, start: int, end: int) -> list[tuple[int | None, bytes | None]]:
    """Offsets and values of a range."""
    return [(m.offset(), m.value()) for chunk in reader.read(0, start, end) for m in chunk]


def test_a_broker_that_is_away_is_unavailable(topic: str) -> None:
    """Neither call waits for ever."""
    reader = RangeReader({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, topic, 0.5)
    with pytest.raises(Unavailable):
        reader.start(0)
    with pytest.raises(Unavailable, match="could not be read beyond offset 3"):
        read(reader, 3, 5)


def test_only_what_was_committed_up_to_the_end(kafka: str, topic: str) -> None:
    """Aborted records and markers are passed over, within the range and at its end; beyond it nothing is given."""
    transaction(kafka, topic, [b"a", b"b"], commit=True)  # 0, 1, marker 2
    transaction(kafka, topic, [b"x", b"y"], commit=False)  # 3, 4, marker 5
    transaction(kafka, topic, [b"c"], commit=True)  # 6, marker 7
    transaction(kafka, topic, [b"z"], commit=False)  # 8, marker 9
    reader = RangeReader({"bootstrap.servers": kafka}, topic, 20)
    assert [(0, b"a"), (1, b"b"), (6, b"c")] == read(reader, 0, 10)
    assert [(1, b"b")] == read(reader, 1, 6)
    assert [] == read(reader, 8, 10)
    assert 0 == reader.start(0)


def test_the_start_follows_retention(kafka: str, topic: str) -> None:
    """What the broker has deleted is no part of a range any more, and the first offset says so."""
    transaction(kafka, topic, [b"a", b"b", b"c"], commit=True)
    reader = RangeReader({"bootstrap.servers": kafka}, topic, 20)
    delete(kafka, topic, 2)
    until(lambda: reader.start(0) == 2, "the deletion", 20)
    assert [(2, b"c")] == read(reader, 2, 4)


def delete(kafka: str, topic: str, before: int) -> None:
    """Delete records, as retention does."""
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(20)


def test_pieces_are_the_same_with_and_without_a_jump(kafka: str, topic: str) -> None:
    """Any piece, one after the other or in any order, gives what was committed in it, once; a missing topic is told."""
    transaction(kafka, topic, [b"a", b"b"], commit=True)  # 0, 1, marker 2
    transaction(kafka, topic, [b"x", b"y"], commit=False)  # 3, 4, marker 5
    transaction(kafka, topic, [b"c", b"d", b"e"], commit=True)  # 6, 7, 8, marker 9
    blocks = BlockReader({"bootstrap.servers": kafka}, topic, 20)
    assert {0: (0, 10)} == blocks.marks()
    wanted = {(0, 1): [b"a"], (1, 3): [b"b"], (3, 6): [], (6, 7): [b"c"], (7, 10): [b"d", b"e"], (9, 10): []}
    for order in (sorted(wanted), sorted(wanted, reverse=True), [(1, 3), (0, 1), (3, 6), (3, 6), (7, 10), (6, 7)]):
        for start, end in order:
            assert wanted[start, end] == [m.value() for m in blocks.block(0, start, end)], (order, start)
    blocks.close()
    with pytest.raises(UserError, match="does not exist"):
        BlockReader({"bootstrap.servers": kafka}, f"{topic}-not", 20)
