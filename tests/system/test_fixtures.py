"""The fixtures of tests/conftest.py give servers that work."""

import socket
from urllib.parse import urlsplit

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic


def test_kafka_takes_a_topic(kafka: str, topic_prefix: str) -> None:
    """A topic can be created as soon as the fixture is there."""
    admin = AdminClient({"bootstrap.servers": kafka})
    topic = f"{topic_prefix}.records"
    admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])[topic].result(10)

    assert len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == 4


def test_redis_answers(redis_url: str) -> None:
    """The cache answers PING."""
    url = urlsplit(redis_url)
    with socket.create_connection((str(url.hostname), url.port or 0), 1) as link:
        link.sendall(b"PING\r\n")

        assert link.recv(16) == b"+PONG\r\n"
