"""Positions that the log does not hold any more, or never held."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # the stubs do not export it

from shared.adapters.kafka.source import KafkaSource, consumer_config
from shared.core.errors import UserError
from tests.support.logs import Heard

pytestmark = pytest.mark.system
Open = Callable[[int], KafkaSource]


@pytest.fixture
def where(kafka: str, unique: Callable[[str], str]) -> str:
    """A topic of one partition with ten records, of which retention took the first six."""
    name, admin = unique("gap"), AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result()
    producer = Producer({"bootstrap.servers": kafka})
    for i in range(10):
        producer.produce(name, b"%d" % i)
    assert producer.flush(20) == 0
    part = TopicPartition(name, 0, 6)
    next(iter(admin.delete_records([part]).values())).result()
    return name


@pytest.fixture
def gaps() -> list[tuple[int, int, int]]:
    """The gaps that were reported."""
    return []


@pytest.fixture(params=["classic", "consumer"])
def opened(request: pytest.FixtureRequest, kafka: str, where: str, gaps: list[tuple[int, int, int]]) -> Iterator[Open]:
    """Opens a source whose group has committed this offset."""
    made: list[KafkaSource] = []

    def start(committed: int) -> KafkaSource:
        conf = {"bootstrap.servers": kafka}
        plain = Consumer({**conf, "group.id": where, "enable.auto.commit": False})
        plain.commit(offsets=[TopicPartition(where, 0, committed)], asynchronous=False)
        plain.close()
        own = consumer_config(conf, group=where, group_protocol=request.param, session_timeout=6, max_poll_interval=60)
        source = KafkaSource(own, topic=where, listener=Heard(), call_timeout=5, gap=lambda *g: gaps.append(g))
        made.append(source)
        return source

    yield start
    for source in made:
        source.close()


def test_deleted_records_are_reported_and_passed_over(
    opened: Open, gaps: list[tuple[int, int, int]], until: Callable[..., None]
) -> None:
    """Retention passed the group: the missing offsets are told once, and reading goes on at the log's start (F17)."""
    source, got = opened(2), list[int | None]()

    def read() -> bool:
        got.extend(m.offset() for m in source.poll(100, 0.05, 0.2).messages)
        return len(got) >= 4

    until(read, seconds=20)
    assert [6, 7, 8, 9] == got
    assert [(0, 2, 6)] == gaps


def test_a_position_beyond_the_log_is_no_gap(
    opened: Open, gaps: list[tuple[int, int, int]], until: Callable[..., None]
) -> None:
    """The topic was recreated: nobody knows what is new, so the worker ends and says what to do (F18)."""
    source = opened(100)
    with pytest.raises(UserError, match=r"beyond the log's end 10.*reset the group's offsets"):
        until(lambda: source.poll(100, 0.05, 0.2).messages, seconds=20)
    assert [] == gaps
