"""A consumer group in memory: members, generations, cooperative hand-over, committed offsets with their notes."""

from collections.abc import Iterable, Mapping
from random import Random

import msgspec

from shared.core.errors import Abortable
from shared.core.records import Committed, Note

MAX_NOTE = 4_095  # bytes; the broker refuses one more, and the client calls that abortable
NOWHERE = Committed(-1, Note())


class Group:
    """What the coordinator knows. A partition moves in two steps: its holder gives it up in a poll, then it is given.

    Args:
        partitions: how many the topic has.
    """

    def __init__(self, partitions: int) -> None:
        self.generation = 0
        self.offsets: dict[int, Committed] = {}
        self.holders: dict[int, str] = {}
        self._partitions = partitions
        self._members: list[str] = []
        self._targets: dict[int, str] = {}

    @property
    def members(self) -> tuple[str, ...]:
        """Who is in the group."""
        return tuple(self._members)

    def join(self, member: str) -> None:
        """A new member: the others will have to give some partitions up."""
        self._members.append(member)
        self._rebalance()

    def remove(self, member: str) -> None:
        """A member left, or its session ended without its knowledge: its partitions are free at once."""
        if member in self._members:
            self._members.remove(member)
            self.release(p for p, holder in list(self.holders.items()) if holder == member)
            self._rebalance()

    def scramble(self, random: Random) -> None:
        """Another assignment, as some assignors make it: any partition may move."""
        if self._members:
            self._targets = {p: random.choice(self._members) for p in range(self._partitions)}
            self.generation += 1

    def wanted(self, member: str) -> set[int]:
        """The partitions that this member shall have."""
        return {p for p, owner in self._targets.items() if owner == member}

    def release(self, partitions: Iterable[int]) -> None:
        """Their holder gave them up."""
        for partition in partitions:
            self.holders.pop(partition, None)

    def check(self, member: str, generation: int) -> None:
        """Raises `Abortable` for whoever is no member, or speaks for an older generation."""
        if member not in self._members:
            raise Abortable(f"UNKNOWN_MEMBER_ID: {member}", transient=True)
        if generation != self.generation:
            raise Abortable(f"ILLEGAL_GENERATION: {generation}, now {self.generation}", transient=True)

    def committed(self, partitions: Iterable[int]) -> dict[int, Committed]:
        """Offsets and notes, from one answer."""
        return {p: self.offsets.get(p, NOWHERE) for p in partitions}

    def _rebalance(self) -> None:
        """Sticky and even: whoever has more than its share gives the rest away."""
        self.generation += 1
        had = {m: [p for p in sorted(self._targets) if self._targets[p] == m] for m in self._members}
        order = sorted(self._members, key=lambda m: -len(had[m]))
        share, more = divmod(self._partitions, len(order)) if order else (0, 0)
        room = {m: share + (i < more) for i, m in enumerate(order)}
        kept = {p: m for m in order for p in had[m][: room[m]]}
        free = [m for m in order for _ in range(room[m] - len(had[m][: room[m]]))]
        rest = [p for p in range(self._partitions) if p not in kept]
        self._targets = kept | dict(zip(rest, free, strict=False))


def check_notes(offsets: Mapping[int, Committed]) -> None:
    """Raises `Abortable` where a note is longer than the broker takes."""
    for partition, committed in offsets.items():
        if len(msgspec.json.encode(committed.note)) > MAX_NOTE:
            raise Abortable(f"OFFSET_METADATA_TOO_LARGE: partition {partition}")
