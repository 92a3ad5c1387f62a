"""What the analyst reads for itself, because each record of it counts: error blocks, asks, and all cards at first.

Whoever works knows from its ledger which block and which ask came last, and reads on behind them: in their order and
without a gap, since nobody but the ledger says where that is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from services.monitor.analyst.base import Card
from shared.core.asks import Ask
from shared.core.monitor_records import ErrorBlock

T = TypeVar("T")
Piece = Sequence[tuple[int, bytes, bytes]]
Step = Callable[[str], AbstractContextManager[None]]


class Log(Protocol):
    """A topic of one partition; `shared.adapters.kafka.log.LogReader` is one."""

    def since(self, offset: int) -> Iterable[Piece]:
        """What is committed from this offset to the end as of now: offset, key, value. Raises `Unavailable`."""

    def close(self) -> None:
        """Let it go."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Names on the broker."""

    cards: str
    errors: str
    asks: str


class Inbox:
    """Reads topics. Blocks and asks stay until `done`.

    Args:
        topics: their names.
        log: opens one; the cards' is closed after each time, as else its client would go on fetching.
        step: guards each piece, which may block.
        bad: told of values that cannot be read, by the topic's short name.
    """

    def __init__(
        self, topics: Topics, log: Callable[[str], Log], step: Step, bad: Callable[[str, Exception], None]
    ) -> None:
        self._topics, self._log, self._step, self._bad = topics, log, step, bad
        self._errors, self._asks = log(topics.errors), log(topics.asks)
        self._card = msgspec.json.Decoder(Card).decode
        self._block = msgspec.json.Decoder(ErrorBlock).decode
        self._ask = msgspec.json.Decoder(Ask).decode
        self.blocks: list[tuple[int, ErrorBlock]] = []
        self.asks: list[tuple[int, Ask]] = []
        self.last_block = self.last_ask = -1  # offsets that were read, whatever stood there

    def begin(self, last_block: int, last_ask: int) -> None:
        """Read on behind these; what was read and not done with comes again."""
        self.blocks.clear()
        self.asks.clear()
        self.last_block, self.last_ask = last_block, last_ask

    def take(self) -> dict[str, int]:
        """Read all that has come; how many records that were, by topic.

        Raises:
            Unavailable: the broker does not answer; what came before that is kept, and the next call goes on behind it.
        """
        came = {self._topics.errors: 0, self._topics.asks: 0}
        for piece in self._pieces(self._errors, self.last_block + 1):
            self.blocks += [(at, one) for at, _, value in piece for one in self._decoded("errors", self._block, value)]
            self.last_block = piece[-1][0]
            came[self._topics.errors] += len(piece)
        for piece in self._pieces(self._asks, self.last_ask + 1):
            self.asks += [(at, one) for at, _, value in piece for one in self._decoded("asks", self._ask, value)]
            self.last_ask = piece[-1][0]
            came[self._topics.asks] += len(piece)
        return came

    def done(self, ask: int | None) -> None:
        """All blocks are folded, and this ask is decided on."""
        self.blocks.clear()
        self.asks = [one for one in self.asks if one[0] != ask]

    def cards(self) -> Iterator[tuple[bytes, Card]]:
        """All cards on the topic as of now.

        Raises:
            Unavailable: the broker does not answer.
        """
        with closing(self._log(self._topics.cards)) as log:
            for piece in self._pieces(log, 0):
                for _, key, value in piece:
                    yield from ((key, card) for card in self._decoded("scorecards", self._card, value))

    def close(self) -> None:
        """Let all go."""
        self._errors.close()
        self._asks.close()

    def _pieces(self, log: Log, offset: int) -> Iterator[Piece]:
        pieces = iter(log.since(offset))
        while True:
            with self._step("read"):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def _decoded(self, topic: str, decode: Callable[[bytes], T], value: bytes) -> Iterator[T]:
        try:
            yield decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._bad(topic, error)
