"""Error blocks: every 25 labels of a version in a partition, in the order in which they came."""

from collections.abc import Iterable

import msgspec

from shared.core.judging import Verdict
from shared.core.monitor_records import BLOCK, ErrorBlock

Who = tuple[str, bool]
"""A version, and whether as a shadow."""


class Filling(msgspec.Struct, gc=False, array_like=True):
    """A block that is not full yet; `opened` and `latest` are watermarks (ms)."""

    version: str
    shadow: bool
    opened: int
    latest: int
    n: int = 0
    errors: int = 0
    loss: int = 0


class Blocks:
    """The blocks of one partition that are being filled.

    Args:
        partition: the partition.
        patience: ms of event time without a label of a version after which its unfinished block is dropped.
    """

    def __init__(self, partition: int, patience: int) -> None:
        self._partition, self._patience = partition, patience
        self._filling: dict[Who, Filling] = {}

    def add(self, who: Who, verdict: Verdict, mark: int, offset: int) -> ErrorBlock | None:
        """Take in one label; the block that it filled, if it did.

        Args:
            who: whose prediction it was.
            verdict: how wrong it was.
            mark: the watermark.
            offset: of the entry that brought label and observation together.
        """
        block = self._filling.get(who)
        if block is None or mark > block.latest + self._patience:
            block = self._filling[who] = Filling(*who, mark, mark)
        block.n += 1
        block.latest = mark
        block.errors += verdict[0]
        block.loss += verdict[1]
        if block.n < BLOCK:
            return None
        del self._filling[who]
        return ErrorBlock(
            version=block.version, partition=self._partition, number=offset, opened=block.opened, closed=mark,
            n=block.n, errors=block.errors, loss=block.loss, shadow=block.shadow,
        )  # fmt: skip

    def unfinished(self, mark: int) -> tuple[tuple[object, ...], ...]:
        """The blocks that may still be filled, as plain tuples."""
        kept = [b for b in self._filling.values() if mark <= b.latest + self._patience]
        self._filling = {(b.version, b.shadow): b for b in kept}
        return tuple(msgspec.structs.astuple(b) for b in kept)

    def restore(self, unfinished: Iterable[tuple[object, ...]]) -> None:
        """Go on with these, and with no others."""
        blocks = [msgspec.convert(one, Filling) for one in unfinished]
        self._filling = {(b.version, b.shadow): b for b in blocks}
