"""Scorecards put together: all partitions of a version's window as one sum, now or as it was known at some time.

The topic is compacted: of each key only the last value is sure to be there. So "as known now" is exact, and "as known
then" as exact as the cards that are given: who keeps every value that was published (a reader that was there, the
analyst's own table) can go back to any of them; from the compacted topic alone a window whose last value is newer than
the moment asked for is not there at all, rather than wrong.
"""

from collections.abc import Iterable, Mapping
from functools import partial, reduce

import msgspec

from services.monitor.analyst.base import further
from services.monitor.analyst.kept import Kept
from shared.core.monitor_records import Scorecard, Sums, scorecard_key
from shared.core.scorecards import merge


class Pane(msgspec.Struct, frozen=True, kw_only=True):
    """A version in one window of event time, all partitions together.

    `window` is its start and `span` its length (ms); `parts` are the sums of each partition, `sums` all of them.
    `watermark` is the event time of the partition that is furthest behind, `offsets` how far each was read. Sample
    rates are added up: a rate says nothing about a record, so shares stay right.
    """

    version: str
    shadow: bool
    window: int
    span: int
    sums: Sums
    parts: tuple[Sums, ...]
    watermark: int
    offsets: dict[int, int]
    closed: bool
    complete: bool

    @property
    def until(self) -> int:
        """The end of the window (ms)."""
        return self.window + self.span


def latest(
    cards: Iterable[Scorecard], *, until: int | None = None, offsets: Mapping[int, int] | None = None
) -> list[Scorecard]:
    """The card that counts of each key: the one that was read furthest, whatever order and however often they come.

    Args:
        cards: published values.
        until: as known when event time was so far (ms); None: now.
        offsets: as known up to these offsets of `journal`, by partition; None: now. A partition without one is out.
    """
    found: dict[bytes, Scorecard] = {}
    for card in cards:
        if until is not None and card.watermark > until:
            continue
        if offsets is not None and card.offset > offsets.get(card.partition, -1):
            continue
        key = scorecard_key(card)
        before = found.get(key)
        if before is None or further(card) > further(before):
            found[key] = card
    return [found[key] for key in sorted(found)]


def panes(
    cards: Iterable[Scorecard], *, until: int | None = None, offsets: Mapping[int, int] | None = None,
    kept: Kept | None = None,
) -> list[Pane]:  # fmt: skip
    """The windows of every version, by version, role and time; `kept` has those that are not to be made again.

    The other arguments are as of `latest`.
    """
    kept = kept or Kept()
    grouped: dict[tuple[str, bool, int], list[Scorecard]] = {}
    for card in latest(cards, until=until, offsets=offsets):
        grouped.setdefault((card.version, card.shadow, card.window), []).append(card)
    return [kept.of(("pane", *key), grouped[key], partial(_pane, grouped[key])) for key in sorted(grouped)]


def _pane(cards: list[Scorecard]) -> Pane:
    by_partition: dict[int, list[Scorecard]] = {}
    for card in cards:
        by_partition.setdefault(card.partition, []).append(card)
    parts = tuple(together(card.sums for card in by_partition[number]) for number in sorted(by_partition))
    first = cards[0]
    return Pane(
        version=first.version, shadow=first.shadow, window=first.window, span=max(card.span for card in cards),
        sums=together(parts), parts=parts, watermark=min(card.watermark for card in cards),
        offsets={number: max(card.offset for card in by_partition[number]) for number in sorted(by_partition)},
        closed=all(card.closed for card in cards), complete=all(card.complete for card in cards),
    )  # fmt: skip


def together(sums: Iterable[Sums]) -> Sums:
    """All of them as one, to the bit, in whatever order and division they come."""
    return reduce(merge, sums, Sums())


def bare(sums: Sums) -> Sums:
    """Without features, groups, slices and pairs: what figures of the whole are made of, at a fifth of the price."""
    return msgspec.structs.replace(sums, features={}, groups={}, slices={}, pairs={}, flags={})
