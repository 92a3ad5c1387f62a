"""What is known of one id, from its first entry until it is forgotten, and what becomes of each of its labels."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tailrace.recompute.entries import Body, Observation


@dataclass(slots=True)
class Held:
    """A label that waits until the watermark is beyond `reach`; it was read at `offset`."""

    offset: int
    reach: int
    label: Body
    at: tuple[int, int]


@dataclass(slots=True)
class Seen:
    """An observation that was taken in; `counts`: its window was open. A shadow's time is the champion's.

    It stands at `offset` in the journal.
    """

    observation: Observation
    time: int
    counts: bool
    offset: int
    corrected: int = 0

    @property
    def version(self) -> str:
        """Whose it is."""
        return self.observation.prediction.version


@dataclass(slots=True)
class Life:
    """One id. `repeats` counts the labels that said nothing new.

    `forces` has those that did, each with the offset in the journal at which it came into force.
    """

    until: int
    seen: Seen | None = None
    shadows: list[Seen] = field(default_factory=list)
    label: Body | None = None
    held: list[Held] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)
    forces: list[tuple[int, Body]] = field(default_factory=list)

    def all(self) -> Iterator[tuple[Seen, bool]]:
        """The champion's observation, then those of shadows; and whether it is a shadow's."""
        if self.seen is not None:
            yield self.seen, False
        for one in self.shadows:
            yield one, True

    def give_up(self, mark: int) -> list[Held]:
        """Take away the labels that have waited for too long."""
        gone = [one for one in self.held if mark > one.reach]
        if gone:
            self.held = [one for one in self.held if mark <= one.reach]
        return gone


def says_again(new: Body, known: Body) -> str:
    """The status of a label that is not of a higher revision than a known one; empty where it is."""
    if new.revision > known.revision:
        return ""
    return "conflicting" if new.revision == known.revision and new.value != known.value else "duplicate"
