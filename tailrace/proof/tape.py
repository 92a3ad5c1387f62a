"""What stands in a pipeline's topics, read by consumers that share nothing with the services."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self
from zlib import crc32

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from shared.core.deadletter import SOURCE
from shared.core.errors import Unavailable
from shared.core.records import CONTROL_HEADER
from tailrace.proof.trail import HEADER

OUTPUTS = ("predictions", "journal", "records.dlq", "rollouts")
OUTCOMES = frozenset({"predictions", "records.dlq"})
READ_S = 180.0
NULL = b"null"  # as which the console consumer prints a message without a value
CONTROL = "control"  # the topic of a row that is a barrier

Position = tuple[int, int]  # partition and offset in `records`
Keep = Callable[[str, Position], bool]


class Row(NamedTuple):
    """One message. `at` is the input position that it is about; `appended` the broker's time, ms."""

    topic: str
    partition: int
    offset: int
    appended: int
    at: Position
    attempt: str
    crc: int
    value: bytes | None

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it stands."""
        return self.topic, self.partition, self.offset


class _Said(msgspec.Struct, frozen=True):
    at: Position


class _Seen(msgspec.Struct, frozen=True):
    prediction: _Said


class _Began(msgspec.Struct, frozen=True):
    partition: int
    offset: int


_said = msgspec.json.Decoder(_Said).decode
_seen = msgspec.json.Decoder(_Seen).decode
_began = msgspec.json.Decoder(_Began).decode


class Tape:
    """Reads topics of a pipeline from their beginnings, without a group.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        topics: short names.
        committed: whether under read_committed.
        keep: which values are kept, by topic and input position; the others only leave their checksum.
    """

    def __init__(
        self, conf: Mapping[str, Any], pipeline: str, topics: tuple[str, ...], *, committed: bool, keep: Keep
    ) -> None:
        level = "read_committed" if committed else "read_uncommitted"
        own = {"group.id": "tailrace-proof", "enable.auto.commit": False, "isolation.level": level, "log_level": 2}
        asked = {"auto.offset.reset": "earliest", "fetch.wait.max.ms": 20, "enable.partition.eof": True}
        self._consumer = Consumer({**asked, **own, **conf})
        self._reached: dict[tuple[str, int], int] = {}
        self._short = {f"{pipeline}.{name}": name for name in topics}
        known = self._consumer.list_topics(timeout=10).topics
        self._keep = keep
        self._consumer.assign([TopicPartition(name, p, 0) for name in self._short for p in known[name].partitions])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def read(self, wait: float) -> list[Row]:
        """What has come; waits `wait` s at most."""
        rows = []
        for message in self._consumer.consume(2_000, wait):
            error = message.error()
            if error is None:
                rows.append(self._row(message))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                self._reached[message.topic() or "", message.partition() or 0] = message.offset() or 0
        return rows

    def read_to(self, ends: Mapping[tuple[str, int], int]) -> list[Row]:
        """Everything before these offsets, by full topic name and partition.

        Raises:
            Unavailable: it is not all given within `READ_S` seconds; an open transaction would hide what follows it.
        """
        rows: list[Row] = []
        deadline = time.monotonic() + READ_S
        while any(self._reached.get(part, -1) < end for part, end in ends.items()):
            if time.monotonic() > deadline:
                raise Unavailable(f"the topics could not be read back in {READ_S:g} s")
            rows += self.read(0.2)
        return rows

    def _row(self, message: Message) -> Row:
        short = self._short[message.topic() or ""]
        partition, offset, value = message.partition() or 0, message.offset() or 0, message.value()
        body = value if isinstance(value, bytes) else b""
        headers = dict(message.headers() or [])
        at = (partition, offset)
        if short == "predictions":
            at = _said(body).at
        elif short == "journal":
            at = _seen(body).prediction.at
        elif short == "rollouts":
            began = _began(body)
            at = (began.partition, began.offset)
        elif short == "records.dlq":
            at = _source(_text(headers.get(SOURCE)))
        elif CONTROL_HEADER in headers:
            short = CONTROL
        kept = body if short == CONTROL or self._keep(short, at) else None
        attempt = _text(headers.get(HEADER))
        checksum = crc32(NULL if value is None else body)
        return Row(short, partition, offset, message.timestamp()[1], at, attempt, checksum, kept)


def _source(text: str) -> Position:
    partition, _, offset = text.rpartition("[")[2].partition("]@")
    return int(partition), int(offset)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
