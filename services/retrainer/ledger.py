"""What the retrainer remembers and what it says, in one Kafka transaction: both are so, or neither is.

Whoever opens the ledger fences the one before: the broker's epoch of the transactional id is the fencing token of the
lock under which one training runs. A retrainer that was frozen and wakes can record no step and announce nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from shared.core.errors import Fatal
from shared.core.ports import Block, Sink
from shared.core.retraining import Book, Training
from shared.runtime.logs import get_logger

BOOK = b"book"
_encode = msgspec.json.Encoder().encode


class Ledger(Protocol):
    """Where it is all written."""

    def open(self) -> Book:
        """Take the ledger over and read what is remembered. May be called again, after a failure."""

    def write(self, book: Book, trainings: Sequence[Training], blocks: Sequence[Block]) -> None:
        """Remember this, and say that, at once. Raises a `LogError`: then open it again."""


class Newest(Protocol):
    """A topic, read to its end; `shared.adapters.kafka.table.TableReader` is one."""

    def to_end(self) -> Iterable[bytes]:
        """Committed values that were not given yet, in their order."""


class KafkaLedger:
    """Implements `Ledger`.

    Args:
        topic: `<pipeline>.trainings`.
        sink: makes the transactional output; called once, when the ledger is opened for the first time.
        reader: of the topic.
    """

    def __init__(self, topic: str, sink: Callable[[], Sink], reader: Newest) -> None:
        self._topic, self._make, self._reader = topic, sink, reader
        self._sink: Sink | None = None
        self._book = Book()
        self._log = get_logger("ledger")

    def open(self) -> Book:
        """See `Ledger`: first the other's producer is fenced, then what it committed is read."""
        if self._sink is None:
            self._sink = self._make()
        else:
            self._sink.renew()
        for value in self._reader.to_end():
            try:
                found = msgspec.json.decode(value, type=Book | Training)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._log.error("a value of the ledger cannot be read and is left out", error=str(error))
                continue
            if isinstance(found, Book):
                self._book = found
        return self._book

    def write(self, book: Book, trainings: Sequence[Training], blocks: Sequence[Block]) -> None:
        """See `Ledger`."""
        if self._sink is None:
            raise Fatal("the ledger was not opened")
        keys = [BOOK, *(training_key(one) for one in trainings)]
        self._sink.begin()
        for block in (*blocks, Block(self._topic, keys, [_encode(book), *map(_encode, trainings)])):
            self._sink.produce(block)
        self._sink.flush()
        self._sink.commit()
        self._book = book

    def close(self) -> None:
        """Let the producer go."""
        if self._sink is not None:
            self._sink.close()


def training_key(training: Training) -> bytes:
    """The key on `trainings`: of equal keys the last value counts."""
    return f"training/{training.id}".encode()
