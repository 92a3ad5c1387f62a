"""Letters by reason: how many, since when, how many of them are settled."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.ingest.dlq.terms import Group, Listing
from shared.core.dlq import Ledger, Letter
from shared.core.reason_meanings import MEANINGS, UNKNOWN


@dataclass(slots=True)
class _Tally:
    """One reason, counted; `open` says whether the example is a letter that was not replayed."""

    first: int
    last: int
    example: str
    open: bool
    count: int = 0
    replayed: int = 0
    blocked: int = 0

    def add(self, letter: Letter, *, settled: bool) -> None:
        self.count += 1
        self.replayed += settled
        self.blocked += letter.kind != "original" and not settled
        self.first, self.last = min(self.first, letter.logged), max(self.last, letter.logged)
        if not settled or not self.open:
            self.example, self.open = str(letter.at), not settled


def listing(topic: str, letters: Iterable[Letter], ledger: Ledger) -> Listing:
    """Letters of a topic, grouped by reason, the most frequent first."""
    tallies: dict[str, _Tally] = {}
    for letter in letters:
        settled = ledger.has(letter)
        tally = tallies.get(letter.reason)
        if tally is None:
            tally = tallies[letter.reason] = _Tally(letter.logged, letter.logged, str(letter.at), not settled)
        tally.add(letter, settled=settled)
    groups = [_group(reason, tally) for reason, tally in tallies.items()]
    return Listing(
        topic=topic,
        letters=sum(group.count for group in groups),
        replayed=sum(group.replayed for group in groups),
        reasons=sorted(groups, key=lambda group: (-group.count, group.reason)),
    )


def _group(reason: str, tally: _Tally) -> Group:
    meaning, remedy = MEANINGS.get(reason, UNKNOWN)
    return Group(
        reason=reason,
        count=tally.count,
        replayed=tally.replayed,
        blocked=tally.blocked,
        first=tally.first,
        last=tally.last,
        example=tally.example,
        meaning=meaning,
        remedy=remedy,
    )
