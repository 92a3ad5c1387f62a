"""Where a consumer group begins that has never read a topic, for those that want nothing of the past."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shared.core.errors import Unavailable

_OTHERS = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS})


def begin_at_end(conf: Mapping[str, Any], group: str, topic: str, partitions: Sequence[int], timeout: float) -> None:
    """Commit the end of each partition of which the group has no offset. Called before the group is joined.

    Nothing happens where the group has members: the first of them has been here.

    Args:
        conf: connection settings of the client.
        group: its name; it need not exist.
        topic: its input.
        partitions: of the topic.
        timeout: seconds for each answer of the broker.

    Raises:
        Unavailable: the broker does not answer.
    """
    own = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_uncommitted"}
    with closing(Consumer({**own, **conf})) as consumer:
        try:
            known = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=timeout)
            missing = [one.partition for one in known if one.offset < 0]
            ends = [_end(consumer, topic, partition, timeout) for partition in missing]
            if ends:
                consumer.commit(offsets=ends, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in _OTHERS:
                raise Unavailable(f"kafka: where {group} begins: {error.args[0].str()}") from error


def _end(consumer: Consumer, topic: str, partition: int, timeout: float) -> TopicPartition:
    marks = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout)
    if not marks:
        raise Unavailable(f"kafka: no answer about the end of {topic}[{partition}]")
    return TopicPartition(topic, partition, marks[1])
