"""The books of delivery: each input position against its committed outcomes, read back by a consumer of its own.

It shares nothing with the services but the topics: it reads `records`, `predictions` and `records.dlq` from given
offsets to their ends under read_committed, and counts outcomes by position.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from shared.adapters.kafka.headers import make_readable
from shared.core.deadletter import REASON, SOURCE
from shared.core.errors import Unavailable
from shared.core.records import CONTROL_HEADER

Positions = dict[str, dict[int, int]]  # topic -> partition -> offset
LEADER_S = 10.0
TOPICS = ("records", "predictions", "records.dlq")


class Said(msgspec.Struct, frozen=True):
    """What a prediction says of its record: enough to find it again."""

    at: tuple[int, int]
    version: str


@dataclass(frozen=True, slots=True)
class Account:
    """The books, closed. `doubled` counts outcomes beyond the first of a position, `stray` those of no position."""

    records: int
    predictions: int
    dead_letters: dict[str, int]
    controls: int
    lost: int
    doubled: int
    stray: int
    versions: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether every record has exactly one committed outcome."""
        return not (self.lost or self.doubled or self.stray)


class Book:
    """Takes in messages of the three topics, in any order."""

    def __init__(self) -> None:
        self._records: set[tuple[int, int]] = set()
        self._outcomes: Counter[tuple[int, int]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._controls: set[tuple[int, int]] = set()
        self._decode = msgspec.json.Decoder(Said).decode

    def record(self, partition: int, offset: int, *, control: bool) -> None:
        """A message of `records`."""
        (self._controls if control else self._records).add((partition, offset))

    def prediction(self, value: bytes) -> None:
        """A message of `predictions`."""
        said = self._decode(value)
        self._outcomes[said.at] += 1
        self._versions[said.version] += 1

    def letter(self, source: str, reason: str) -> None:
        """A message of `records.dlq`, from its headers."""
        _, _, place = source.rpartition("[")
        partition, _, offset = place.partition("]@")
        self._outcomes[int(partition), int(offset)] += 1
        self._reasons[reason] += 1

    def close(self) -> Account:
        """Add up. A forged control record has an outcome, a genuine one has none; neither is a lost record."""
        outcomes = self._outcomes
        forged = {at for at in self._controls if at in outcomes}
        inputs = self._records | forged
        return Account(
            records=len(inputs),
            predictions=sum(self._versions.values()),
            dead_letters=dict(sorted(self._reasons.items())),
            controls=len(self._controls) - len(forged),
            lost=sum(1 for at in inputs if at not in outcomes),
            doubled=sum(n - 1 for at, n in outcomes.items() if n > 1),
            stray=sum(n for at, n in outcomes.items() if at not in inputs),
            versions=dict(sorted(self._versions.items())),
        )


def enter(book: Book, topic: str, message: Message) -> None:
    """Put one message into the book."""
    value, headers = message.value(), dict(message.headers() or [])
    if topic == "records":
        book.record(message.partition() or 0, message.offset() or 0, control=CONTROL_HEADER in headers)
    elif topic == "predictions":
        book.prediction(value or b"")
    else:
        book.letter(_text(headers.get(SOURCE)), _text(headers.get(REASON)))


def audit(
    conf: Mapping[str, Any],
    pipeline: str,
    starts: Positions,
    timeout: float,
    *,
    also: Callable[[str, Message], None] | None = None,
) -> Account:
    """Read the three topics from `starts` to their present ends, and add up.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        starts: where to begin; a partition that is not named begins at its start.
        timeout: s, for all of it.
        also: given each message that is read as well, with the short name of its topic.

    Raises:
        Unavailable: the broker did not give everything within `timeout` seconds.
    """
    book = Book()
    with Reader(conf, pipeline, starts) as reader:
        deadline = time.monotonic() + timeout
        ends = reader.ends()
        while not reader.reached(ends):
            if time.monotonic() > deadline:
                raise Unavailable(f"the topics of {pipeline} could not be read back in {timeout:g} s")
            for topic, message in reader.read(0.2):
                enter(book, topic, message)
                if also is not None:
                    also(topic, message)
    return book.close()


def ends_of(conf: Mapping[str, Any], pipeline: str) -> Positions:
    """Where the three topics end now."""
    with Reader(conf, pipeline, {}) as reader:
        return reader.ends()


class Reader:
    """Reads the three topics of a pipeline under read_committed, from given offsets on, without a group.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        starts: where to begin; a partition that is not named begins at its start.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str, starts: Positions) -> None:
        own = {"group.id": "tailrace-audit", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer({"auto.offset.reset": "earliest", "fetch.wait.max.ms": 10, **own, **conf})
        self._short = {f"{pipeline}.{name}": name for name in TOPICS}
        known = self._consumer.list_topics(timeout=10).topics
        missing = [name for name in self._short if name not in known]
        if missing:
            raise Unavailable(f"topics {', '.join(missing)} do not exist; run `tailrace topics apply {pipeline}`")
        self._parts = [
            TopicPartition(name, p, starts.get(short, {}).get(p, 0))
            for name, short in self._short.items()
            for p in known[name].partitions
        ]
        self._consumer.assign(self._parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def ends(self) -> Positions:
        """The offsets after the last record, by topic and partition."""
        found: Positions = {name: {} for name in TOPICS}
        for part in self._parts:
            found[self._short[part.topic]][part.partition] = self._end(part)
        return found

    def _end(self, part: TopicPartition) -> int:
        """Tried again for a while: the leader of a topic just made, or of a broker just back, is not known at once."""
        deadline = time.monotonic() + LEADER_S
        while True:
            try:
                marks = self._consumer.get_watermark_offsets(part, timeout=LEADER_S)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"kafka: {part.topic}: {error.args[0].str()}") from error
                time.sleep(0.1)
            else:
                return marks[1] if marks else 0

    def read(self, wait: float) -> list[tuple[str, Message]]:
        """What has come: (short topic name, message)."""
        messages = self._consumer.consume(5_000, wait)
        make_readable(messages)
        return [(self._short[m.topic() or ""], m) for m in messages if m.error() is None]

    def reached(self, ends: Positions) -> bool:
        """Whether everything before these ends was given; positions pass over transaction markers."""
        for at in self._consumer.position(self._parts):
            end = ends[self._short[at.topic]][at.partition]
            start = next(p.offset for p in self._parts if (p.topic, p.partition) == (at.topic, at.partition))
            if max(at.offset, start) < end:
                return False
        return True


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
