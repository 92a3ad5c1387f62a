"""Cards as they stood on the topic when the analyst took over: what the table lacks of them is in here.

A table is fed by a stream, and a stream can lose records while a group is put together anew. So the topic is read once
more, to its end, after that: of two cards of a key the one that was read furthest counts, wherever it came from.
"""

from collections.abc import Iterable, Mapping

from shared.core.monitor_records import Account, Scorecard

Card = Scorecard | Account


def further(card: Card) -> tuple[int, bool, int, bool]:
    """What orders the cards of a key: the largest is the one to believe.

    A replay may publish a card again, with a gap known by then: so of two that are else alike it is that one.
    """
    return (card.offset, card.closed, card.watermark, not card.complete)


class Base:
    """The cards of a topic, as far as a table lacks them.

    Args:
        cards: all of them, by key, in the order of the topic.
    """

    def __init__(self, cards: Iterable[tuple[bytes, Card]]) -> None:
        self._cards: dict[bytes, Card] = {}
        for key, card in cards:
            before = self._cards.get(key)
            if before is None or further(card) >= further(before):
                self._cards[key] = card

    def __len__(self) -> int:
        """Cards that the table lacked when it was seen last."""
        return len(self._cards)

    def under(self, table: Mapping[bytes, Card]) -> dict[bytes, Card]:
        """The table with what it lacks; what it has by now is let go of."""
        had = [key for key, card in self._cards.items() if key in table and further(table[key]) >= further(card)]
        for key in had:
            del self._cards[key]
        return {**table, **self._cards}

    def drop(self, keys: Iterable[bytes]) -> None:
        """Let go of what nobody needs any more."""
        for key in keys:
            self._cards.pop(key, None)
