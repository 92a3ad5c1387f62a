"""A topic read from an offset to its end as of now: committed values, in order, each once, and none waited for."""

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Producer

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.log import LogReader
from shared.core.errors import Unavailable
from shared.core.topics import WantedTopic

pytestmark = pytest.mark.system


def _values(reader: LogReader, offset: int = 0) -> list[tuple[int, bytes]]:
    return [(at, value) for piece in reader.since(offset) for at, _, value in piece]


def test_what_is_committed_is_given_and_nothing_is_waited_for(kafka: str, unique: Callable[[str], str]) -> None:
    """Markers and aborted values are passed over; what an open transaction wrote is not there until it is committed."""
    name, conf = unique("log"), {"bootstrap.servers": kafka}
    KafkaAdmin(conf).create([WantedTopic(name, 1, 1)])
    sender = Producer({**conf, "transactional.id": name})
    sender.init_transactions(10)

    def send(value: bytes, *, commit: bool | None) -> None:
        sender.begin_transaction()
        sender.produce(name, value, b"k")
        assert sender.flush(10) == 0
        if commit is not None:
            (sender.commit_transaction if commit else sender.abort_transaction)(10)

    with closing(LogReader(conf, name, 20)) as reader:
        assert _values(reader) == []
        for n in range(4):
            send(b"%d" % n, commit=n % 2 == 0)
        send(b"open", commit=None)
        assert _values(reader) == [(0, b"0"), (4, b"2")]
        assert _values(reader, 1) == [(4, b"2")]
        assert _values(reader, 5) == []
        sender.commit_transaction(10)
        assert _values(reader, 5) == [(8, b"open")]
        assert _values(reader, 5) == [(8, b"open")]
        assert list(reader.since(8)) == [[(8, b"k", b"open")]]


def test_a_topic_of_many_pieces_comes_whole_however_often_it_is_asked_for(
    kafka: str, unique: Callable[[str], str]
) -> None:
    """A reader that stopped half-way, or is asked for a place before, gives all from there, in order."""
    name, conf = unique("log"), {"bootstrap.servers": kafka}
    KafkaAdmin(conf).create([WantedTopic(name, 1, 1)])
    producer = Producer(conf)
    for n in range(5_000):
        producer.produce(name, b"%d" % n)
    assert producer.flush(20) == 0
    with closing(LogReader(conf, name, 20)) as reader:
        next(iter(reader.since(10)))
        for first in (3_000, 0, 4_999):
            assert _values(reader, first) == [(n, b"%d" % n) for n in range(first, 5_000)]


def test_a_topic_that_is_not_there_is_said(kafka: str, unique: Callable[[str], str]) -> None:
    """Its name and the command that makes it, well before the time-out; a broker that is away is named, too."""
    missing = LogReader({"bootstrap.servers": kafka}, unique("none"), 12)
    with closing(missing), pytest.raises(Unavailable, match=r"none.*topics apply"):
        list(missing.since(0))
    nowhere = LogReader({"bootstrap.servers": "127.0.0.1:1"}, "t", 1)
    with closing(nowhere), pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        list(nowhere.since(0))
