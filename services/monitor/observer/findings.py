"""What a batch came to, gathered by scorecard as the join finds it."""

from dataclasses import dataclass, field

from services.monitor.observer.blocks import Blocks
from services.monitor.observer.items import Known
from services.monitor.observer.outcomes import Found
from services.monitor.observer.scorecard import Joined, Observed
from services.monitor.observer.watermark import Terms
from shared.core.judging import Verdict
from shared.core.monitor_records import ErrorBlock

CardKey = tuple[str, bool, int, int]
"""A version, whether as a shadow, the start of the window, and the sample's share."""
NOBODY: CardKey = ("", False, -1, -1)


@dataclass(slots=True)
class Findings:
    """Rows for the scorecards, repeats a card, outcomes, and error blocks.

    Entries that follow each other are mostly of one card: the last one is kept at hand.

    Attributes:
        terms: how event time is measured.
        filling: the blocks of the partition that are being filled.
        observed: by card, the observations that count.
        joined: by card, labels that count, and those that are taken back.
        repeats: by card and status, how many labels said nothing new.
        outcomes: labels with their observations.
        blocks: those that were filled.
    """

    terms: Terms
    filling: Blocks
    observed: dict[CardKey, list[Observed]] = field(default_factory=dict)
    joined: dict[CardKey, list[Joined]] = field(default_factory=dict)
    repeats: dict[tuple[CardKey, str], int] = field(default_factory=dict)
    outcomes: list[Found] = field(default_factory=list)
    blocks: list[ErrorBlock] = field(default_factory=list)
    _seen_as: CardKey = NOBODY
    _told_as: CardKey = NOBODY
    _seen: list[Observed] = field(default_factory=list)
    _told: list[Joined] = field(default_factory=list)

    def see(self, one: Observed, mark: int, *, shadow: bool) -> None:
        """An observation, unless its scorecard is over as of the watermark."""
        known, terms = one[0], self.terms
        window = known.time - known.time % terms.span
        if mark <= window + terms.span + terms.horizon:  # `over`, without a call for every observation
            key = (known.version, shadow, window, known.rate)
            if key != self._seen_as:
                self._seen_as, self._seen = key, self.observed.setdefault(key, [])
            self._seen.append(one)

    def tell(self, known: Known, row: Joined) -> None:
        """A label of a version, or its taking back."""
        time = known.time
        key = (known.version, row[5] is not None, time - time % self.terms.span, known.rate)
        if key != self._told_as:
            self._told_as, self._told = key, self.joined.setdefault(key, [])
        self._told.append(row)

    def block(self, version: str, verdict: Verdict, mark: int, offset: int, *, shadow: bool) -> None:
        """The first label of an observation is one of a block as well."""
        if block := self.filling.add((version, shadow), verdict, mark, offset):
            self.blocks.append(block)

    def repeat(self, known: Known, status: str) -> None:
        """A label that says nothing new."""
        key = ((known.version, False, self.terms.window(known.time), known.rate), status)
        self.repeats[key] = self.repeats.get(key, 0) + 1
