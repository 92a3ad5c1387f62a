"""Sends letters again: each record and its line of the ledger in one transaction, so that both are there or neither."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from services.ingest.dlq.terms import Line, Report
from shared.core.dlq import Ledger, Letter, Selection, Verdict, headers_again, judge, marker
from shared.core.ports import Block, Sink

CHUNK = 500
CHUNK_BYTES = 4_000_000  # a transaction has to end well within its time-out
Mark = Callable[[str], None]


def no_mark(_: str) -> None:
    """The usual mark: nothing happens at the named steps of a delivery."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where letters go: their source topic with its number of partitions, and the ledger's topic."""

    pipeline: str
    topic: str
    into: str
    partitions: int
    ledger: str


class Chooser:
    """Sorts the letters that are meant into those that are sent and those that are not, and counts both.

    Args:
        selection: which are meant.
        ledger: what was replayed.
        limit: at most so many are sent; 0: no limit.
        superseded: whether a newer good value of the letter's key stands in a topic that keeps only the newest.
    """

    def __init__(
        self, selection: Selection, ledger: Ledger, limit: int, superseded: Callable[[Letter], bool] = lambda _: False
    ) -> None:
        self._selection, self._ledger, self._limit, self._superseded = selection, ledger, limit, superseded
        self.skipped: Counter[Verdict] = Counter()
        self.sent = 0

    def choose(self, letters: Iterable[Letter]) -> Iterator[Letter]:
        """The letters to send, in the order in which they stand; reading ends where the limit is reached."""
        for letter in letters:
            if not self._selection.has(letter):
                continue
            verdict = judge(letter, self._selection, self._ledger, superseded=self._superseded(letter))
            if verdict != "send":
                self.skipped[verdict] += 1
                continue
            yield letter
            self.sent += 1
            if self.sent == self._limit:
                return

    def report(self, route: Route, lines: list[Line] | None = None) -> Report:
        """What it came to; with lines it was a dry run."""
        return Report(
            pipeline=route.pipeline,
            topic=route.topic,
            into=route.into,
            dry_run=lines is not None,
            sent=self.sent,
            skipped=dict(self.skipped),
            letters=lines or [],
        )


class Sender:
    """Writes letters into their source topic, a chunk a transaction.

    The sink must have been made before the ledger was read: making it ends what an earlier replay left open and fences
    it off, so that the ledger cannot change any more but by us.

    Args:
        sink: with the transactional id of this pipeline and topic.
        route: where to.
        mark: called at each named step, so that tests can crash there.
    """

    def __init__(self, sink: Sink, route: Route, mark: Mark = no_mark) -> None:
        self._sink, self._route, self._mark = sink, route, mark
        self.sent = 0

    def send(self, letters: Iterable[Letter]) -> None:
        """Send them all; `sent` counts those whose transaction is committed.

        Raises:
            LogError: a transaction failed; what was committed before stands in the ledger.
        """
        for chunk in chunks(letters):
            self._deliver(chunk)
            self.sent += len(chunk)

    def _deliver(self, chunk: list[Letter]) -> None:
        self._sink.begin()
        self._mark("begun")
        self._sink.produce(self._records(chunk))
        self._mark("half")
        lines = [marker(letter) for letter in chunk]
        keys, values = [key for key, _ in lines], [value for _, value in lines]
        self._sink.produce(Block(self._route.ledger, keys, values, None, [0] * len(lines)))
        self._mark("produced")
        self._sink.flush()
        self._mark("flushed")
        self._sink.commit()
        self._mark("committed")

    def _records(self, chunk: list[Letter]) -> Block:
        """Each into the partition that it came from: a producer may have its own way to choose partitions."""
        places = [letter.source.partition if letter.source else -1 for letter in chunk]
        return Block(
            self._route.into,
            [letter.key for letter in chunk],
            [letter.body for letter in chunk],
            [headers_again(letter) for letter in chunk],
            [place if place < self._route.partitions else -1 for place in places],
        )


def chunks(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """Letters by the transaction, bounded in number and bytes."""
    chunk: list[Letter] = []
    size = 0
    for letter in letters:
        length = len(letter.body or b"")
        if chunk and (len(chunk) == CHUNK or size + length > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(letter)
        size += length
    if chunk:
        yield chunk


def line_of(letter: Letter) -> Line:
    """How a letter is named in a dry run."""
    return Line(
        letter=str(letter.at),
        source=str(letter.source),
        reason=letter.reason,
        attempt=letter.attempt + 1,
        bytes=len(letter.body or b""),
    )
