"""The range of one partition that is being filled: rows in memory until it is complete, a tail file meanwhile."""

from collections.abc import Sequence

from services.retrainer.archive.names import Log
from services.retrainer.archive.rows import Raws, table_of
from services.retrainer.archive.store import Archive, range_of
from shared.adapters.parquet import Table, joined, numbers, take

_PIECES = 64  # batches of rows that stand side by side before they become one table


class Filling:
    """Rows of one partition, from the start of a range on.

    Args:
        archive: where they go.
        log: whose they are.
        span: offsets of a range.
        offset: the first one that is wanted; what follows begins with the range that it is in.
    """

    def __init__(self, archive: Archive, log: Log, span: int, offset: int) -> None:
        self._archive, self._log, self._span = archive, log, span
        self._start, self._end = range_of(offset, span)
        self._pieces: list[Table] = []
        self._written = self._start  # up to here a tail file says the same
        self.next = self._start
        """The offset after the last one that is in it."""
        self.ranges = self.tails = self.invalid = 0

    @property
    def start(self) -> int:
        """Where the range begins."""
        return self._start

    def restore(self, rows: Table | None, until: int) -> None:
        """Begin with rows that an archive already has of this range, up to (not with) an offset."""
        if rows is not None and rows.num_rows:
            self._pieces = [take(rows, numbers(rows, "offset") < until)]
        self.next = max(self.next, until)

    def take(self, raws: Raws) -> None:
        """Take in what stands in the log, in order; ranges that are complete with it are written.

        Raises:
            Unavailable: the archive cannot be written now. The memory is then of no more use.
        """
        at = 0
        while at < len(raws):
            if raws[at][0] >= self._end:
                self._close(raws[at][0])
            last = next((i for i in range(at, len(raws)) if raws[i][0] >= self._end), len(raws))
            self._add(raws[at:last])
            at = last
        if self.next >= self._end:
            self._close(self.next)

    def write_tail(self) -> bool:
        """Write what there is of the range, if that is more than before; whether it was.

        Raises:
            Unavailable: the archive cannot be written now.
        """
        if self.next <= self._written:
            return False
        if self._pieces:
            self._archive.write_tail(self._log, self._start, self.next, self._rows())
            self.tails += 1
        self._written = self.next
        return True

    def _add(self, raws: Sequence[tuple[int, bytes]]) -> None:
        table, invalid = table_of(self._log.partition, raws)
        self.invalid += len(invalid)
        if table.num_rows:
            self._pieces.append(table)
        if len(self._pieces) >= _PIECES:
            self._pieces = [self._rows()]
        self.next = raws[-1][0] + 1

    def _close(self, offset: int) -> None:
        """The range is complete: nothing more can come to it."""
        if self._pieces:
            self._archive.write(self._log, self._start, self._end, self._rows())
            self.ranges += 1
        self._pieces = []
        self._start, self._end = range_of(offset, self._span)
        self._written = self._start

    def _rows(self) -> Table:
        return joined(self._pieces)
