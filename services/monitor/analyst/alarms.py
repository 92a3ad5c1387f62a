"""Alarms on the errors of one model version, from error blocks in whatever order and however often they come.

The answer depends on which blocks there are and not on how they came: they are folded by (closing time, partition), a
repeat changes nothing, and one that comes after later ones is put into its place, the blocks behind it folded again.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import Protocol

import msgspec

from services.monitor.analyst.cusum import Terms
from services.monitor.analyst.fold import Entry, State, begin, fold
from shared.core.baseline import Baseline

SLACK = 1_024  # blocks whose order can still change; twice as many are kept


class Block(Protocol):
    """An error block: n labels of a version and partition; times in event time (ms), loss in 2^-20."""

    @property
    def partition(self) -> int: ...  # noqa: D102 - an attribute
    @property
    def number(self) -> int: ...  # noqa: D102 - the same
    @property
    def opened(self) -> int: ...  # noqa: D102 - the same
    @property
    def closed(self) -> int: ...  # noqa: D102 - the same
    @property
    def n(self) -> int: ...  # noqa: D102 - the same
    @property
    def errors(self) -> int: ...  # noqa: D102 - the same
    @property
    def loss(self) -> int: ...  # noqa: D102 - the same


class Watch(msgspec.Struct, frozen=True):
    """The watch over one version (its shadow has another): a value, to be stored and compared.

    `base` is the state before `tail`, which has the last blocks in order; `state` that after it. `settled` is the
    highest number of each partition in `base`. `late` counts blocks that came when their place was in `base` already:
    they count where the tail begins.
    """

    terms: Terms
    base: State
    state: State
    tail: tuple[Entry, ...] = ()
    settled: dict[int, int] = {}
    late: int = 0


def watch(terms: Terms, references: Iterable[Baseline] = ()) -> Watch:
    """A watch without blocks.

    Args:
        terms: the parameters.
        references: of errors and of loss, from the judged holdout; none: the first labels are learned from.
    """
    state = begin(terms, tuple(references))
    return Watch(terms, state, state)


def add(watched: Watch, blocks: Iterable[Block]) -> Watch:
    """The watch with more blocks; the very same watch if it has them all already."""
    fresh = sorted(_fresh(watched, blocks))
    if not fresh:
        return watched
    tail = watched.tail
    if not tail or fresh[0] > tail[-1]:
        state = _folded(watched.state, fresh, watched.terms)
        return _settled(msgspec.structs.replace(watched, state=state, tail=(*tail, *fresh)))
    late = watched.late
    if watched.settled:
        late += bisect_left(fresh, tail[0])
    grown = tuple(sorted((*tail, *fresh)))
    state = _folded(watched.base, grown, watched.terms)
    return _settled(msgspec.structs.replace(watched, state=state, tail=grown, late=late))


def folded(watched: Watch, entries: Sequence[Entry]) -> Watch:
    """A watch without blocks, with these; in their order."""
    state = _folded(watched.state, entries, watched.terms)
    return _settled(msgspec.structs.replace(watched, state=state, tail=tuple(entries)))


def _fresh(watched: Watch, blocks: Iterable[Block]) -> Iterator[Entry]:
    seen = {(entry.partition, entry.number) for entry in watched.tail}
    for block in blocks:
        name = (block.partition, block.number)
        if block.number <= watched.settled.get(block.partition, -1) or name in seen:
            continue
        seen.add(name)
        yield Entry(block.closed, block.partition, block.number, block.opened, block.n, block.errors, block.loss)


def _folded(state: State, entries: Iterable[Entry], terms: Terms) -> State:
    return reduce(lambda before, entry: fold(before, entry, terms), entries, state)


def _settled(watched: Watch) -> Watch:
    """Settle all but the slack of a tail that has grown to twice that."""
    if len(watched.tail) < 2 * SLACK:
        return watched
    old, tail = watched.tail[:-SLACK], watched.tail[-SLACK:]
    highest = {**watched.settled}
    for entry in old:
        highest[entry.partition] = max(highest.get(entry.partition, -1), entry.number)
    base = _folded(watched.base, old, watched.terms)
    return msgspec.structs.replace(watched, base=base, tail=tail, settled=highest)
