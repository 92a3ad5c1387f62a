"""Aborts one after another at the same offset, a partition: an endless retry is not a strategy."""

from collections.abc import Sequence

from shared.core.ports import Message

MAX_ABORTS = 3


class Aborts:
    """Finds the partition whose records abort every transaction they are in.

    Two aborts of a whole batch make its partitions suspects; each is then tried alone, and the one that aborts again,
    alone, is guilty. Whatever is committed clears its partitions.
    """

    def __init__(self) -> None:
        self._at: dict[int, tuple[int, int]] = {}  # partition -> first offset of the aborted batch, aborts there

    def none(self) -> bool:
        """Whether nothing was aborted that has not got on since."""
        return not self._at

    def portions(self, messages: Sequence[Message]) -> list[Sequence[Message]]:
        """The batch whole, or a partition at a time where it has a suspect."""
        if not messages or not self._at:  # the usual case
            return [messages] if messages else []
        firsts = _firsts(messages)
        if all(self._count(p, offset) < MAX_ABORTS - 1 for p, offset in firsts.items()):
            return [messages]
        return [[m for m in messages if m.partition() == p] for p in sorted(firsts)]

    def failed(self, messages: Sequence[Message]) -> dict[int, int]:
        """Count an abort of these records; the offset of each partition that is guilty now."""
        firsts = _firsts(messages)
        for partition, offset in firsts.items():
            self._at[partition] = (offset, self._count(partition, offset) + 1)
        return {p: offset for p, offset in firsts.items() if self._at[p][1] >= MAX_ABORTS}

    def clear(self, partitions: Sequence[int]) -> None:
        """These partitions got on, or went."""
        for partition in partitions:
            self._at.pop(partition, None)

    def _count(self, partition: int, offset: int) -> int:
        at, count = self._at.get(partition, (-1, 0))
        return count if at == offset else 0


def _firsts(messages: Sequence[Message]) -> dict[int, int]:
    firsts: dict[int, int] = {}
    for m in messages:
        firsts.setdefault(m.partition(), m.offset())
    return firsts
