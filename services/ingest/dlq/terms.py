"""What the commands about dead letters are asked, and what they answer."""

from collections.abc import Callable, Mapping

import msgspec

from shared.core.dlq import Letter, Verdict

# Told how many messages of a topic were read, of how many there are at most.
Progress = Callable[[str, int, int], None]


def no_progress(_: str, __: int, ___: int) -> None:
    """Nobody looks."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Letters of one reason in one topic. `count` has all, `replayed` and `blocked` (their body is not the original)
    are parts of it; `first` and `last` in ms; `example` is the newest letter that was not replayed, or the newest.
    """  # noqa: D205 - one sentence a figure

    reason: str
    count: int
    replayed: int
    blocked: int
    first: int
    last: int
    example: str
    meaning: str
    remedy: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One dead-letter topic."""

    topic: str
    letters: int
    replayed: int
    reasons: list[Group]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A letter and what a replay would do with it."""

    letter: Letter
    verdict: Verdict


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that would be sent; `attempt` is that of the record that it would become, `bytes` those of its body."""

    letter: str
    source: str
    reason: str
    attempt: int
    bytes: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did: `sent` letters (or would send), and the others among those meant by what spoke against them.

    `letters` is filled in a dry run alone.
    """

    pipeline: str
    topic: str
    into: str
    dry_run: bool
    sent: int
    skipped: Mapping[Verdict, int]
    letters: list[Line] = []

    @property
    def refused(self) -> int:
        """Letters that were meant, were not replayed before, and were not sent either."""
        return sum(count for verdict, count in self.skipped.items() if verdict != "already")
