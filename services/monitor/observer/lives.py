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
        self.known: dict[str, bool] = {}
        """All ids that stand in a generation, and whether the store has something later of them beside their item.

        Half of all entries are about new ids, which no store need look up.
        """

    def begin(self, identity: str, dies: int, first: First) -> None:
        """An id is remembered from now on, or lives longer than was thought, or again before it was buried."""
        generation = self._generations.get(dies)
        if generation is None:
            generation = self._generations[dies] = Generation(first)
        elif first < generation.first:
            generation.first = first
        generation.ids.append(identity)
        if identity in self.known:
            self._moved[identity] = dies
        else:
            self.known[identity] = False

    def bury(self, mark: int) -> Iterator[tuple[str, bool]]:
        """The ids whose life the watermark has passed, each once, with what `known` said; they are forgotten here."""
        for dies in sorted(d for d in self._generations if d < mark):
            moved, known = self._moved, self.known
            for identity in self._generations.pop(dies).ids:
                if moved.get(identity, dies) == dies:
                    amended = known.pop(identity, None)
                    if amended is not None:  # else it stands here twice
                        moved.pop(identity, None)
                        yield identity, amended

    def oldest(self) -> First | None:
        """The oldest entry that anything alive began with."""
        return min((g.first for g in self._generations.values()), default=None)

    def __len__(self) -> int:
        """How many ids."""
        return len(self.known)
