"""Whether two topics hold the same predictions, record by record of the input."""

import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from shared.core.errors import Unavailable

READ_S = 60.0
At = tuple[int, int]


class Said(msgspec.Struct, frozen=True):
    """What a prediction says of its record."""

    at: At


class Seen(msgspec.Struct, frozen=True):
    """What an observation says of its record."""

    prediction: Said


def outputs(conf: Mapping[str, Any], topic: str, *, observations: bool = False) -> dict[At, list[bytes]]:
    """A digest of each message (key, value, headers, partition) of a topic, by the input position that it answers.

    Args:
        conf: connection settings.
        topic: of predictions; of `observations`, if so.
        observations: what the topic has.

    Raises:
        Unavailable: the topic could not be read to its end in time.
    """
    own = {"group.id": "tailrace-bench-read", "enable.auto.commit": False, "isolation.level": "read_committed"}
    reader = Consumer({**own, "auto.offset.reset": "earliest", **conf})
    at_of, found = _seen_at if observations else _said_at, dict[At, list[bytes]]()
    try:
        parts = [
            TopicPartition(topic, p, OFFSET_BEGINNING) for p in reader.list_topics(topic, 10).topics[topic].partitions
        ]
        ends = {part.partition: _end(reader, part) for part in parts}
        reader.assign(parts)
        deadline = time.monotonic() + READ_S
        while any(max(at.offset, 0) < ends[at.partition] for at in reader.position(parts)):
            if time.monotonic() > deadline:
                raise Unavailable(f"{topic} could not be read back in {READ_S:g} s")
            for message in reader.consume(10_000, 0.2):
                if message.error() is None:
                    found.setdefault(at_of(message.value() or b""), []).append(_digest(message))
    finally:
        reader.close()
    return found


def differences(ours: Mapping[At, list[bytes]], theirs: Mapping[At, list[bytes]]) -> tuple[int, int]:
    """How many positions have one and the same answer in both, and how many have not."""
    same = sum(len(said) == 1 and theirs.get(at) == said for at, said in ours.items())
    return same, len(ours.keys() | theirs.keys()) - same


_decode_said, _decode_seen = msgspec.json.Decoder(Said).decode, msgspec.json.Decoder(Seen).decode


def _said_at(value: bytes) -> At:
    return _decode_said(value).at


def _seen_at(value: bytes) -> At:
    return _decode_seen(value).prediction.at


def _end(reader: Consumer, part: TopicPartition) -> int:
    marks = reader.get_watermark_offsets(part, timeout=10)
    return marks[1] if marks else 0


def _digest(message: Message) -> bytes:
    whole = (message.key(), message.value(), message.headers(), message.partition())
    return blake2b(repr(whole).encode(), digest_size=16).digest()
