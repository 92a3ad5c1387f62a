"""What the analyst remembers and what it says, in one Kafka transaction: both are so, or neither is.

Whoever opens the ledger later takes it over: the one before can write no more, whatever it still believes. So a crash
between the two, or an analyst that was frozen for a while, can neither forget a request nor make it twice.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from services.monitor.analyst.memory import Memory
from shared.core.errors import Fatal
from shared.core.ports import Block, Sink
from shared.core.records import SCHEMA_VERSION
from shared.runtime.logs import get_logger

_LEVEL = 1  # of compression: a watch has thousands of small numbers, and is written at each turn


class Remembered(msgspec.Struct, frozen=True):
    """What is remembered: `asks` is the last offset of the topic `asks` that was decided on."""

    memory: Memory = Memory()
    asks: int = -1
    v: int = SCHEMA_VERSION


class Ledger(Protocol):
    """Where the analyst's memory and its words go."""

    def open(self) -> Remembered:
        """Take the ledger over and read what is remembered. May be called again, after a failure."""

    def write(self, kept: Remembered, blocks: Sequence[Block]) -> None:
        """Remember this and say that, at once. Raises a `LogError`: then open it again."""


class Newest(Protocol):
    """A topic, read to its end; `shared.adapters.kafka.table.TableReader` is one."""

    def to_end(self) -> Iterable[bytes]:
        """Committed values that were not given yet, in their order."""


class KafkaLedger:
    """Implements `Ledger`.

    Args:
        topic: of the memory.
        pipeline: the memory's key.
        sink: makes the transactional output; called once, when the ledger is opened for the first time.
        reader: of the topic.
    """

    def __init__(self, topic: str, pipeline: str, sink: Callable[[], Sink], reader: Newest) -> None:
        self._topic, self._key, self._make, self._reader = topic, pipeline.encode(), sink, reader
        self._sink: Sink | None = None
        self._kept = Remembered()
        self._log = get_logger("ledger")

    def open(self) -> Remembered:
        """See `Ledger`: first the other's producer is fenced, then what it committed is read."""
        if self._sink is None:
            self._sink = self._make()
        else:
            self._sink.renew()
        for value in self._reader.to_end():
            try:
                self._kept = unpacked(value)
            except ValueError as error:
                self._log.error("memory cannot be read and is left out", error=str(error))
        return self._kept

    def write(self, kept: Remembered, blocks: Sequence[Block]) -> None:
        """See `Ledger`."""
        if self._sink is None:
            raise Fatal("the ledger was not opened")
        self._sink.begin()
        for block in (*blocks, Block(self._topic, [self._key], [packed(kept)])):
            self._sink.produce(block)
        self._sink.flush()
        self._sink.commit()
        self._kept = kept

    def close(self) -> None:
        """Let the producer go."""
        if self._sink is not None:
            self._sink.close()


def packed(kept: Remembered) -> bytes:
    """The bytes of a memory."""
    return zlib.compress(msgspec.json.encode(kept), _LEVEL)


def unpacked(value: bytes) -> Remembered:
    """The memory of these bytes.

    Raises:
        ValueError: they are none.
    """
    try:
        return msgspec.json.decode(zlib.decompress(value), type=Remembered)
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from None
