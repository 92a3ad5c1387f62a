"""How far a topic can be read, seen past the markers that transactions leave in it."""

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Producer

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.positions import GroupPositions
from shared.core.topics import WantedTopic

pytestmark = pytest.mark.system


def test_markers_and_aborted_messages_are_no_messages(kafka: str, unique: Callable[[str], str]) -> None:
    """The end of what can be read is after the last committed message, however many markers follow it."""
    name, conf = unique("marked"), {"bootstrap.servers": kafka}
    KafkaAdmin(conf).create([WantedTopic(name, 3, 1)])
    plain = Producer(conf)
    plain.produce(name, b"x", partition=1)
    assert plain.flush(10) == 0
    sender = Producer({**conf, "transactional.id": name})
    sender.init_transactions(10)
    for n in range(21):
        sender.begin_transaction()
        sender.produce(name, b"x", partition=2)
        assert sender.flush(10) == 0
        (sender.abort_transaction if n > 4 else sender.commit_transaction)(10)
    with closing(GroupPositions(conf, "nobody", name)) as asked:
        assert asked.readable() == {0: 0, 1: 1, 2: 9}
        assert asked.ends() == {0: 0, 1: 1, 2: 42}
