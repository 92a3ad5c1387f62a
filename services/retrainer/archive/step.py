"""The archiver as a step of the loop: outcomes in, Parquet files out; offsets are committed after what they stand for.

Its outputs are files, which take no part in a Kafka transaction. They need not: what is done twice gives the same file
under the same name. A committed offset says that every complete range before it is in the archive; what is younger is
read from the log again, from the start of its range, by whoever comes to own the partition.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.retrainer.archive.filling import Filling
from services.retrainer.archive.names import Log
from services.retrainer.archive.store import Archive
from shared.core.errors import Abortable, TailraceError, Unavailable
from shared.core.metrics import Metrics
from shared.core.ports import Block, Clock, Count, Message, Part, Result
from shared.core.records import Application, Committed, Note
from shared.core.rollout import Split
from shared.runtime.logs import get_logger
from shared.runtime.rebuild import Ranges


@dataclass(frozen=True, slots=True)
class Terms:
    """How it is archived: the topic and its generation, offsets of a range, seconds between two tail files."""

    topic: str
    generation: str
    span: int
    flush: float


class Archiving:
    """The archiver's memory; implements `Step` and, of an input without barriers, `Controls`.

    Args:
        archive: where rows go.
        terms: how.
        ranges: reads the topic again.
        gap: told of (partition, from, to) where retention took outcomes that no file has.
        turn: called between chunks: a worker that reads its past is alive.
        metrics: told of failed writes.
        clock: for the time between two tails.
        tidy: called after tails are due, with the archive at rest (retention).
    """

    def __init__(
        self,
        archive: Archive,
        terms: Terms,
        ranges: Ranges,
        *,
        gap: Callable[[int, int, int], None],
        turn: Callable[[], None],
        metrics: Metrics,
        clock: Clock,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self._archive, self._terms, self._ranges = archive, terms, ranges
        self._gap, self._turn, self._metrics, self._clock, self._tidy = gap, turn, metrics, clock, tidy
        self._positions: dict[int, int] = {}
        self._fillings: dict[int, Filling] = {}
        self._flushed = clock.monotonic()
        self._log = get_logger("archive")

    def __call__(self, part: Part) -> Result:
        """See `Step`.

        Raises:
            Unavailable: the archive cannot be written now.
            Abortable: a bug; the memory is thrown away, and the log read again.
        """
        of: dict[int, list[tuple[int, bytes]]] = {}
        for message in part.messages:
            of.setdefault(message.partition(), []).append((message.offset(), message.value() or b""))
        counts: Counter[str] = Counter()
        for partition, raws in of.items():
            counts += self._take(partition, raws)
        return Result(counts=_counts(counts))

    def refresh(self) -> None:
        """Each turn, idle ones too: partitions that came are read up to where they were, and tails written when due."""
        if (now := self._clock.monotonic()) - self._flushed < self._terms.flush:
            return
        self._flushed = now
        try:
            for partition, position in self._positions.items():
                if partition not in self._fillings and position >= 0:
                    self._rebuild(partition, position)
            self.write_tails(self._fillings)
            self._tidy()
        except TailraceError as error:  # nothing is lost: it stands in the log, and the next turn tries again
            self._metrics.count("tailrace_archive_writes_total", what="failed")
            self._log.warning("the archive cannot be written", error=str(error))

    def notes(self, positions: Mapping[int, Committed]) -> dict[int, Note]:
        """The notes as committed. What is remembered beyond them, or short of them, is not used."""
        for partition, committed in positions.items():
            self._positions[partition] = committed.offset
            filling = self._fillings.get(partition)
            if filling is not None and filling.next != committed.offset:
                del self._fillings[partition]
        return {partition: committed.note for partition, committed in positions.items()}

    def dropped(self, partitions: Sequence[int]) -> None:
        """They are another worker's; what is in memory goes to a tail file if it can, and is in the log anyway."""
        try:
            self.write_tails(partitions)
        except TailraceError as error:
            self._log.warning("the archive cannot be written", error=str(error))
        for partition in partitions:
            self._positions.pop(partition, None)
            self._fillings.pop(partition, None)

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """The whole batch as one part, once each of its partitions is known up to its first outcome.

        Raises:
            Unavailable: log or archive cannot be read now.
        """
        partitions = [message.partition() for message in messages]
        firsts: dict[int, int] = {}
        for partition, message in zip(partitions, messages, strict=True):
            firsts.setdefault(partition, message.offset())
        for partition, offset in firsts.items():
            filling = self._fillings.get(partition)
            if filling is None or filling.next > offset:
                self._rebuild(partition, offset)
        part = Part(messages, [None] * len(messages), 0, partitions=partitions)
        return Split(parts=[part], notes={p: notes[p] for p in firsts}, partitions=partitions)

    def blocks(self, applications: Sequence[Application]) -> list[Block]:
        """Nothing."""
        del applications
        return []

    def write_tails(self, partitions: Iterable[int]) -> None:
        """Write what is in memory beside the complete ranges.

        Raises:
            Unavailable: the archive cannot be written now.
        """
        for partition in list(partitions):
            filling = self._fillings.get(partition)
            if filling is not None and filling.write_tail():
                self._metrics.count("tailrace_archive_writes_total", what="tail")

    def _take(self, partition: int, raws: Sequence[tuple[int, bytes]]) -> Counter[str]:
        filling = self._fillings[partition]
        before = filling.ranges, filling.invalid
        try:
            filling.take(raws)
        except Unavailable:
            del self._fillings[partition]
            raise
        except Exception as error:
            del self._fillings[partition]
            raise Abortable(f"outcomes could not be archived: {type(error).__name__}: {error}") from error
        if invalid := filling.invalid - before[1]:
            self._log.error("entries that are no outcomes", partition=partition, entries=invalid, last=raws[-1][0])
        return Counter(range=filling.ranges - before[0], invalid=invalid)

    def _rebuild(self, partition: int, end: int) -> None:
        """Bring a partition's range to memory: from the log, and what retention took there, from the files."""
        committed = self._positions.get(partition, -1)
        log = Log(self._terms.topic, self._terms.generation, partition)
        filling = Filling(self._archive, log, self._terms.span, min(committed, end) if committed >= 0 else end)
        first = self._ranges.start(partition)
        if first > filling.start:
            rows, until = self._archive.known(log, filling.start, self._terms.span)
            if max(until, filling.start) < min(first, end):
                self._gap(partition, max(until, filling.start), min(first, end))
            filling.restore(rows, min(first, end))
        for chunk in self._ranges.read(partition, filling.next, end) if filling.next < end else ():
            filling.take([(message.offset(), message.value() or b"") for message in chunk])
            self._turn()
        self._fillings[partition] = filling
        self._log.info("range taken up", partition=partition, first=filling.start, last=end - 1)


def _counts(counts: Counter[str]) -> list[Count]:
    return [Count("tailrace_archive_writes_total", n, {"what": what}) for what, n in counts.items() if n]
