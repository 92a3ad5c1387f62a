"""Exact counts of a matrix over the bins of a reference: what scorecards carry of each feature.

All numbers are compared with all edges of their columns, the answers packed into bits, and the bits counted: plain
passes over what is in the cache. Sorting the columns and looking the edges up needs more time, on some processors six
times as much. A call costs the same for one row as for hundreds, so gather rows first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.core.bundle import Column
from shared.core.reference import FeatureProfile

Floats = NDArray[np.float32]
Counts = NDArray[np.int64]
Places = NDArray[np.intp]
GATHER = 2_000  # rows
_CELLS = 2**20  # answers at once, a byte each: they stay in a core's own cache
_WORD = 64  # bits


@dataclass(frozen=True, slots=True)
class Words:
    """A category's column: how many codes it has, and the place in the flat array of each, then of NaN."""

    column: int
    codes: int
    target: Places


@dataclass(frozen=True, slots=True)
class Bins:
    """Where d columns are cut, and where their counts stand in one flat array.

    The counts of column j are `counts[starts[j]:starts[j + 1]]`: its bins in the reference's order, then what was NaN.
    `edges` (e + 1, numbers) are the upper edges of the columns `numbers`, then infinity; columns with fewer are filled
    up with NaN. `upto` picks the cumulative counts of one column after the other, `firsts` are the first of each
    there, `target` their places in the flat array.
    """

    starts: Places
    numbers: Places
    edges: Floats
    upto: Places
    firsts: Places
    target: Places
    words: tuple[Words, ...]

    @property
    def size(self) -> int:
        """Length of the flat array."""
        return int(self.starts[-1])

    def of(self, counts: Counts, column: int) -> tuple[Counts, int]:
        """The bins of a column and how many of its values were NaN."""
        part = counts[self.starts[column] : self.starts[column + 1]]
        return part[:-1], int(part[-1])

    def zeros(self) -> Counts:
        """Nothing counted yet; counts of disjoint rows add up by `+`."""
        return np.zeros(self.size, dtype=np.int64)


def bins_of(columns: Sequence[Column], profiles: Mapping[str, FeatureProfile]) -> Bins:
    """The bins of a reference for the columns of a matrix.

    Args:
        columns: d columns, in the matrix's order.
        profiles: of each column by name; `shared.core.reference.profile` makes them.

    Raises:
        KeyError: a column has no profile.
    """
    own = [profiles[column.name] for column in columns]
    lengths = [max(len(profile.counts), 1) + 1 for profile in own]
    starts = np.cumsum([0, *lengths])
    numbers = [j for j, column in enumerate(columns) if column.kind != "category"]
    most = max((len(own[j].edges) for j in numbers), default=0)
    edges = np.full((most + 1, len(numbers)), np.nan, dtype=np.float32)
    edges[most] = np.inf
    upto, firsts, target = list[int](), list[int](), list[int]()
    for i, j in enumerate(numbers):
        cut = len(own[j].edges)
        edges[:cut, i] = _rounded_down(own[j].edges)
        firsts.append(len(upto))
        upto += [row * len(numbers) + i for row in (*range(cut), most, most + 1)]
        target += range(starts[j], starts[j + 1])
    words = [_words(j, column, own[j], int(starts[j])) for j, column in enumerate(columns) if column.kind == "category"]
    return Bins(starts, _places(numbers), edges, _places(upto), _places(firsts), _places(target), tuple(words))


def count(bins: Bins, matrix: Floats) -> Counts:
    """Count every column.

    Args:
        bins: of the reference.
        matrix: float32 (n, d); not changed.

    Returns:
        int64 (bins.size,), as `Bins` describes it.
    """
    found = bins.zeros()
    rows = max(_CELLS // max(bins.edges.size, 1), _WORD)
    for begin in range(0, len(matrix), rows):
        part = matrix[begin : begin + rows]
        if len(bins.numbers):
            found[bins.target] += _numbers(bins, part)
        for words in bins.words:
            codes = part[:, words.column]
            whole = np.where(np.isnan(codes), np.float32(words.codes), codes).astype(np.intp)
            np.add.at(found, words.target, np.bincount(whole, minlength=words.codes + 1))
    return found


class Gatherer:
    """Counts small matrices together: they wait until there are rows enough to be worth a call.

    A matrix is kept until it is counted, so it must not be changed after it was added.
    """

    def __init__(self, bins: Bins, rows: int = GATHER) -> None:
        self._bins, self._rows = bins, rows
        self._waiting: list[Floats] = []
        self._n = 0
        self._counts = bins.zeros()

    def add(self, matrix: Floats) -> None:
        """Take a matrix, float32 (n, d)."""
        self._waiting.append(matrix)
        self._n += len(matrix)
        if self._n >= self._rows:
            self._count()

    def counts(self) -> Counts:
        """The counts of everything added so far."""
        self._count()
        return self._counts.copy()

    def _count(self) -> None:
        if not self._n:
            return
        matrix = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        self._counts += count(self._bins, matrix)
        self._waiting, self._n = [], 0


def _numbers(bins: Bins, part: Floats) -> Counts:
    rows = -(-len(part) // _WORD) * _WORD
    values = np.full((len(bins.numbers), rows), np.nan, dtype=np.float32)
    values[:, : len(part)] = part.T[bins.numbers]
    inside = np.less_equal(values, bins.edges[:, :, None])  # never for NaN, nor for what fills the last word up
    bits = np.packbits(inside, axis=-1).view(np.uint64)
    upto = np.full((len(bins.edges) + 1, len(values)), len(part), dtype=np.int64)
    np.bitwise_count(bits).sum(axis=-1, dtype=np.int64, out=upto[:-1])
    picked = upto.ravel()[bins.upto]
    found = np.diff(picked, prepend=0)
    found[bins.firsts] = picked[bins.firsts]
    return found


def _rounded_down(edges: Sequence[float]) -> Floats:
    """A float32 value is at most a float64 edge exactly if it is at most that edge rounded down."""
    exact = np.array(edges, dtype=np.float64)
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)


def _words(j: int, column: Column, profile: FeatureProfile, start: int) -> Words:
    """The reference has the commonest words, then all others in one bin."""
    bin_of = {word: i for i, word in enumerate(profile.words)}
    rest = max(len(profile.counts) - 1, 0)
    places = [start + bin_of.get(word, rest) for word in column.categories]
    return Words(j, len(places), _places([*places, start + max(len(profile.counts), 1)]))


def _places(numbers: Sequence[int]) -> Places:
    return np.array(numbers, dtype=np.intp)
