"""What was published beside what was recomputed: every figure that differs, under its name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tailrace.recompute.figures import Card, Figures
from tailrace.recompute.published import Published


class Difference(msgspec.Struct, frozen=True):
    """One figure. `of` names the scorecard, account, block or outcome; None where one side does not have it."""

    partition: int
    topic: str
    of: str
    figure: str
    published: Any
    recomputed: Any


@dataclass(slots=True)
class Recomputed:
    """What the entries of one partition come to.

    Attributes:
        mark: the watermark at their end, ms.
        since: windows that begin before this moment (ms) lack entries that retention took; -1: it took none.
        cards: figures by scorecard.
        accounts: figures by window.
        closed: which of both are over.
        blocks: error blocks, as their JSON.
        outcomes: (status, id, revision, value, place in `labels`) in order.
    """

    mark: int
    since: int = -1
    cards: dict[Card, Figures] = field(default_factory=dict)
    accounts: dict[int, Figures] = field(default_factory=dict)
    closed: dict[Card | int, bool] = field(default_factory=dict)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[tuple[str, str, int, Any, tuple[int, int]]] = field(default_factory=list)


@dataclass(slots=True)
class Compared:
    """How much was compared, and what differs. `skipped` are windows that lack entries."""

    cards: int = 0
    accounts: int = 0
    blocks: int = 0
    outcomes: int = 0
    figures: int = 0
    skipped: int = 0
    differences: list[Difference] = field(default_factory=list)


def compare(into: Compared, partition: int, found: Published, mine: Recomputed, *, still: bool, whole: bool) -> None:
    """Compare one partition.

    Args:
        into: added to.
        partition: which one.
        found: what was published.
        mine: what was recomputed.
        still: the observer has not gone on meanwhile, so there is no outcome beyond these.
        whole: `outcomes` has everything that was ever written there.
    """
    for card in _comparable(into, found.cards, mine.cards, found, mine):
        into.cards += 1
        version, shadow, window = card
        name = f"{version}{' (shadow)' if shadow else ''} window {window}"
        told, own = _closable(found.cards, found, card), _closable(mine.cards, mine, card)
        _figures(into, partition, "scorecards", name, told, own)
    for window in _comparable(into, found.accounts, mine.accounts, found, mine):
        into.accounts += 1
        told, own = _closable(found.accounts, found, window), _closable(mine.accounts, mine, window)
        _figures(into, partition, "scorecards", f"account {window}", told, own)
    if mine.since < 0:
        _blocks(into, partition, found.blocks, mine.blocks)
        if whole:
            _outcomes(into, partition, found.outcomes, mine.outcomes, still=still)


def _comparable(
    into: Compared, told: Mapping[Any, Figures], own: Mapping[Any, Figures], found: Published, mine: Recomputed
) -> Iterator[Any]:
    for name in sorted(told.keys() | own.keys()):
        window = name[2] if isinstance(name, tuple) else name
        if name in found.incomplete or window < mine.since:
            into.skipped += 1
        else:
            yield name


def _closable(of: Mapping[Any, Figures], side: Published | Recomputed, name: Card | int) -> Mapping[str, Any] | None:
    figures = of.get(name)
    return None if figures is None else {**figures, "closed": side.closed[name]}


def _figures(
    into: Compared,
    partition: int,
    topic: str,
    of: str,
    told: Mapping[str, Any] | None,
    own: Mapping[str, Any] | None,
) -> None:
    if told is None or own is None:
        into.differences.append(Difference(partition, topic, of, "", _size(told), _size(own)))
        return
    for name in sorted(told.keys() | own.keys()):
        into.figures += 1
        theirs, ours = told.get(name, 0), own.get(name, 0)
        if theirs != ours:
            into.differences.append(Difference(partition, topic, of, name, theirs, ours))


def _size(figures: Mapping[str, Any] | None) -> str | None:
    return None if figures is None else f"{len(figures)} figures"


def _blocks(into: Compared, partition: int, found: Sequence[dict[str, Any]], mine: Sequence[dict[str, Any]]) -> None:
    def of(blocks: Sequence[dict[str, Any]]) -> dict[tuple[int, str, bool], dict[str, Any]]:
        return {(b["number"], b["version"], b["shadow"]): b for b in blocks}

    told, own = of(found), of(mine)
    for key in sorted(told.keys() | own.keys()):
        into.blocks += 1
        _figures(into, partition, "errors", f"{key[1]} block {key[0]}", told.get(key), own.get(key))
    if len(found) != len(told):
        into.differences.append(Difference(partition, "errors", "blocks", "", len(found), len(told)))


def _outcomes(into: Compared, partition: int, found: Sequence[Any], mine: Sequence[Any], *, still: bool) -> None:
    into.outcomes += len(mine)
    end = max(len(found), len(mine)) if still else len(mine)
    for i in range(end):
        theirs, ours = (side[i] if i < len(side) else None for side in (found, mine))
        if theirs != ours:  # one that is missing moves all others: the first says it all
            into.differences.append(Difference(partition, "outcomes", f"number {i}", "", theirs, ours))
            return
