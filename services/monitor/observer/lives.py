"""Which ids die when: looked through as event time passes, so that nothing is kept that no entry can ask for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

First = tuple[int, int]
"""An offset in the journal, and the watermark before its entry."""


@dataclass(slots=True)
class Generation:
    """The ids that die together, and the oldest entry that one of them began with."""

    first: First
    ids: list[str] = field(default_factory=list)


class Lives:
    """All ids that are remembered, by the end of their life.

    An id whose life is extended stands in several generations; only the last of them counts.
    """

    def __init__(self) -> None:
        self._generations: dict[int, Generation] = {}
        self._moved: dict[str, int] = {}  # of ids in several generations: the one that counts
        self.known: set[str] = set()
        """All ids that stand in a generation; half of all entries are about new ids, which no store need look up."""

    def begin(self, identity: str, dies: int, first: First, *, again: bool = False) -> None:
        """An id is remembered from now on. `again`: it stands, dead, in a generation that was not buried yet."""
        generation = self._generations.get(dies)
        if generation is None:
            generation = self._generations[dies] = Generation(first)
        elif first < generation.first:
            generation.first = first
        generation.ids.append(identity)
        self.known.add(identity)
        if again or identity in self._moved:
            self._moved[identity] = dies

    def extend(self, identity: str, dies: int, first: First) -> None:
        """It lives longer than was thought."""
        self.begin(identity, dies, first, again=True)

    def bury(self, mark: int) -> Iterator[str]:
        """The ids whose life the watermark has passed, each once; they are forgotten here."""
        for dies in sorted(d for d in self._generations if d < mark):
            for identity in self._generations.pop(dies).ids:
                last = self._moved.get(identity, dies)
                if last == dies:
                    self._moved.pop(identity, None)
                    self.known.discard(identity)
                    yield identity

    def oldest(self) -> First | None:
        """The oldest entry that anything alive began with."""
        return min((g.first for g in self._generations.values()), default=None)

    def __len__(self) -> int:
        """How many ids."""
        return len(self.known)
