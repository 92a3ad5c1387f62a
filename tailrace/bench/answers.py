"""The answers in a topic, read back: what they say, when the broker appended them, whether they are right.

Frameworks commit when they please, and some not at all; but each writes its answers to a topic whose timestamps are
the broker's (LogAppendTime).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from shared.core.errors import Unavailable

READ_S = 120.0
CLOSE = 1e-6  # scores of one record and of a batch may differ in the last bits
At = tuple[int, int]


class Said(msgspec.Struct, frozen=True):
    """What an answer says; headers and partition are the framework's own affair."""

    v: int
    id: str
    key: str
    at: At
    event_time: int
    score: float
    label: str
    version: str
    digest: str
    epoch: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the records: positions answered as the bare loop did, otherwise, not at all; answers too many.

    `transactions`: whether the output topic has transaction markers at all.
    """

    right: int
    wrong: int
    missing: int
    duplicates: int
    transactions: bool


@dataclass(frozen=True, slots=True)
class Outputs:
    """A topic read to its end: answers by position, append times in s in rising order, offsets that no record has."""

    answers: Mapping[At, Said]
    times: Sequence[float]
    gaps: int


def read_outputs(conf: Mapping[str, Any], topic: str, partitions: int) -> Outputs:
    """Read a topic as a read_committed reader does.

    Raises:
        Unavailable: it could not be read to its end in time.
        msgspec.DecodeError: an answer is not one.
    """
    own = {"group.id": "tailrace-bench-peers", "enable.auto.commit": False, "isolation.level": "read_committed"}
    reader = Consumer({**own, "auto.offset.reset": "earliest", "enable.partition.eof": True, **conf})
    decode, kept = msgspec.json.Decoder(Said).decode, dict[At, Said]()
    times, done, end = list[float](), set[int](), 0
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        deadline = time.monotonic() + READ_S
        while len(done) < partitions:
            if time.monotonic() > deadline:
                raise Unavailable(f"{topic} could not be read back in {READ_S:g} s")
            for message in reader.consume(10_000, 0.2):
                if _at_end(message):
                    done.add(message.partition() or 0)
                    end += message.offset() or 0
                else:
                    said = decode(message.value() or b"")
                    kept[said.at] = said
                    times.append(message.timestamp()[1] / 1000)
    finally:
        reader.close()
    return Outputs(kept, sorted(times), end - len(times))


def outcome(found: Outputs, expected: Mapping[At, Said]) -> Outcome:
    """Compare answers with those that are known to be right, position by position."""
    right = sum(same(said, expected.get(at)) for at, said in found.answers.items())
    return Outcome(
        right=right,
        wrong=len(found.answers) - right,
        missing=len(expected.keys() - found.answers.keys()),
        duplicates=len(found.times) - len(found.answers),
        transactions=found.gaps > 0,
    )


def same(one: Said, other: Said | None) -> bool:
    """Whether two answers are alike in every field; scores within `CLOSE`."""
    return (
        other is not None
        and abs(one.score - other.score) <= CLOSE
        and msgspec.structs.replace(one, score=0.0) == msgspec.structs.replace(other, score=0.0)
    )


def _at_end(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the public name of a librdkafka code
        raise Unavailable(error.str())
    return True
