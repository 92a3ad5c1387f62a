"""How the observer comes to know a partition: from its own disk, from a checkpoint, or from the journal itself.

The committed offset's note says from which offset on the journal has to be read again (`low`) and what the watermark
was before it (`mark`); and, as of an offset (`at`), the watermark (`passed`) and the error blocks being filled.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.monitor.observer.checkpoints import Checkpoints
from services.monitor.observer.fold import PartitionFold
from services.monitor.observer.step import ObserverStep
from shared.core.errors import TailraceError
from shared.core.ports import Block, Message, Part
from shared.core.records import Application, Committed, Note
from shared.core.rollout import Split
from shared.runtime.logs import get_logger
from shared.runtime.rebuild import Ranges

MARKERS = 64
"""A jump of more offsets than this may be a gap: so many markers of transactions do not stand in a row."""
FLUSH = 5.0  # s; so much is read again after a kill, if the store has not written it by itself
MAX_BLOCKS = 24
"""Blocks that a note has room for, of a hundred bytes or so each."""


@dataclass(frozen=True, slots=True)
class Saving:
    """Where checkpoints go, and how often (s); nowhere without `of`."""

    of: Callable[[int], Checkpoints] | None
    every: float


class Recovering:
    """Implements `Controls` for the observer. The journal carries no barriers: one part, no epoch.

    Args:
        step: the observer.
        ranges: reads the journal again.
        saving: of checkpoints.
        gap: told of (partition, from, to) where retention took entries that are needed.
        turn: called between chunks: a worker that reads its past is alive.
    """

    def __init__(
        self,
        step: ObserverStep,
        ranges: Ranges,
        saving: Saving,
        gap: Callable[[int, int, int], None],
        turn: Callable[[], None],
    ) -> None:
        self._step, self._ranges, self._saving, self._gap, self._turn = step, ranges, saving, gap, turn
        self._saved: dict[int, tuple[float, int]] = {}  # when, and up to which offset
        self._flushed: dict[int, tuple[float, int]] = {}
        self._log = get_logger("recover")

    def refresh(self) -> None:
        """Between two batches: all that was folded is committed, so the store may know it, and a checkpoint be made.

        Were it not committed, nothing would be lost: a store whose stamp is beyond the committed offset is not used.
        """
        now = time.monotonic()
        for partition, fold in self._step.folds():
            fold.settle()
            if self._due(self._flushed, partition, fold.next, now, FLUSH):
                fold.flush()
            saving = self._saving
            if saving.of is not None and self._due(self._saved, partition, fold.next, now, saving.every):
                self._checkpoint(partition, fold, saving.of(partition))

    def notes(self, positions: Mapping[int, Committed]) -> dict[int, Note]:
        """The notes as committed. What is remembered beyond them, or short of them, is not used."""
        for partition, committed in positions.items():
            fold = self._step.fold(partition)
            if committed.offset < 0:
                self._step.open(partition).begin(0, -1)
            elif fold is not None and fold.next != committed.offset:
                self._step.forget([partition])
        return {p: c.note for p, c in positions.items()}

    def dropped(self, partitions: Sequence[int]) -> None:
        """They are another worker's; what is on our disk stays, and may be of use when they come back."""
        for partition in partitions:
            if (fold := self._step.fold(partition)) is not None:
                fold.settle()
        self._step.forget(partitions)
        for partition in partitions:
            self._flushed.pop(partition, None)
            self._saved.pop(partition, None)

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """The whole batch as one part, once each of its partitions is known up to its first entry.

        Raises:
            Unavailable: the journal cannot be read now.
        """
        partitions = [message.partition() for message in messages]
        firsts = dict(zip(reversed(partitions), reversed(messages), strict=True))  # of each partition the first one
        after: dict[int, Note] = {}
        for partition, message in sorted(firsts.items()):
            fold, offset = self._step.fold(partition), message.offset()
            if fold is None or not 0 <= fold.next <= offset:
                fold = self._rebuild(partition, notes[partition], offset)
            elif offset > fold.next + MARKERS and self._ranges.start(partition) > fold.next:
                fold.tell_again(complete=False)
            fold.settle()
            low, mark = fold.low()
            blocks = fold.unfinished()[-MAX_BLOCKS:]
            after[partition] = msgspec.structs.replace(
                notes[partition], low=low, mark=mark, at=offset, passed=fold.mark, blocks=blocks
            )
        # Nobody looks at an entry's headers: they are not asked for.
        whole = Part(messages, [None] * len(messages), 0, partitions=partitions)
        return Split(parts=[whole], notes=after, partitions=partitions)

    def blocks(self, applications: Sequence[Application]) -> list[Block]:
        """Nothing."""
        del applications
        return []

    def _due(self, done: dict[int, tuple[float, int]], partition: int, offset: int, now: float, every: float) -> bool:
        """Whether something that is done every so many seconds is to be done now: not where nothing has changed."""
        when, last = done.setdefault(partition, (now, -1))
        if now - when < every or last == offset:
            return False
        done[partition] = (now, offset)
        return True

    def _checkpoint(self, partition: int, fold: PartitionFold, checkpoints: Checkpoints) -> None:
        began = time.monotonic()
        try:
            path = fold.save(checkpoints)
        except OSError as error:  # without it a recovery takes longer, and that is all
            self._log.warning("no checkpoint could be written", partition=partition, error=str(error))
            return
        seconds = round(time.monotonic() - began, 3)
        self._log.info("checkpoint", partition=partition, offset=fold.next, bytes=path.stat().st_size, seconds=seconds)

    def _rebuild(self, partition: int, note: Note, end: int) -> PartitionFold:
        began, records = time.monotonic(), 0
        fold = self._step.open(partition)
        try:
            source = self._take_up(fold, partition, note, end)
            first, due = fold.next, fold.next <= note.at
            for chunk in self._ranges.read(partition, first, end) if first < end else ():
                before = [m for m in chunk if due and m.offset() < note.at]
                self._step.refill(partition, before)
                if due and chunk[-1].offset() >= note.at:
                    fold.arrive(note.passed, note.blocks)
                    due = False
                self._step.refill(partition, chunk[len(before) :])
                records += len(chunk)
                self._turn()
            if due:
                fold.arrive(note.passed, note.blocks)
        except TailraceError:
            self._step.forget([partition])  # half a memory would pass for a whole one
            raise
        fold.tell_again()
        seconds = round(time.monotonic() - began, 3)
        self._log.info(
            "memory rebuilt", partition=partition, source=source, first=first, last=end - 1, records=records,
            seconds=seconds,
        )  # fmt: skip
        return fold

    def _take_up(self, fold: PartitionFold, partition: int, note: Note, end: int) -> str:
        """Bring a fold to where the rest can be read from the journal; what it was taken from."""
        low = max(note.low, 0)
        if fold.resume(low, end) >= 0:
            return "disk"
        if self._saving.of is not None and fold.load(self._saving.of(partition), low, end) >= 0:
            return "checkpoint"
        start = min(self._ranges.start(partition), end)
        if note.low < 0:  # an operator reset the group: what there is, is read
            fold.begin(start, -1, complete=False)
        elif note.low < start:
            self._gap(partition, note.low, start)
            fold.begin(start, note.mark, complete=False)
        else:
            fold.begin(note.low, note.mark)
        return "journal"
