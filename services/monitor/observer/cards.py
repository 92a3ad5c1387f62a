"""The scorecards of one partition that are open: sums so far, and which of them have changed."""

from collections.abc import Iterator

import msgspec

from services.monitor.observer.findings import CardKey, Findings
from services.monitor.observer.scorecard import Summer
from services.monitor.observer.watermark import Terms
from shared.core.monitor_records import Scorecard, Sums
from shared.core.scorecards import merge


class Cards:
    """Scorecards by version, role, window and rate.

    Args:
        partition: whose they are.
        terms: how event time is measured.
    """

    def __init__(self, partition: int, terms: Terms) -> None:
        self._partition, self._terms = partition, terms
        self._cards: dict[CardKey, Scorecard] = {}
        self._changed: set[CardKey] = set()

    def add(self, findings: Findings, summer: Summer) -> None:
        """Add what a batch came to."""
        for key, observed in findings.observed.items():
            self._merge(key, summer.observed(key[0], observed))
        for key, joined in findings.joined.items():
            corrected = sum(row[4] < 0 for row in joined)
            self._merge(key, merge(summer.joined(key[0], joined), Sums(corrected=corrected)))
        for (key, status), n in findings.repeats.items():
            self._merge(key, Sums(duplicate=n) if status == "duplicate" else Sums(conflicting=n))

    def _merge(self, key: CardKey, sums: Sums) -> None:
        card = self._cards.get(key)
        if card is None:
            version, shadow, window, rate = key
            card = Scorecard(
                version=version, shadow=shadow, window=window, span=self._terms.span, partition=self._partition,
                rate=rate, watermark=-1, offset=-1,
            )  # fmt: skip
        self._cards[key] = msgspec.structs.replace(card, sums=merge(card.sums, sums))
        self._changed.add(key)

    def told(self, mark: int, offset: int) -> list[Scorecard]:
        """Those that changed since the last call, as of a watermark and an offset. What is over is told and let go."""
        over = {key for key in self._cards if mark > self._terms.over(key[2])}
        made = [
            msgspec.structs.replace(self._cards[key], watermark=mark, offset=offset, closed=key in over)
            for key in sorted(self._changed | over)
        ]
        for key in over:
            del self._cards[key]
        self._changed.clear()
        return made

    def all_changed(self, *, complete: bool) -> None:
        """Each open one is told once more."""
        self._changed = set(self._cards)
        if not complete:
            self._cards = {k: msgspec.structs.replace(c, complete=False) for k, c in self._cards.items()}

    def restore(self, card: Scorecard) -> None:
        """Put a card back."""
        self._cards[card.version, card.shadow, card.window, card.rate] = card

    def __iter__(self) -> Iterator[Scorecard]:
        return iter(self._cards.values())
