"""Exact counts of a matrix over the bins of a reference: what scorecards carry of each feature.

Each column is sorted, and the edges are looked up in it: a handful of edges in thousands of values is far cheaper than
thousands of values in a handful of edges. A call costs the same for one row as for hundreds, so gather rows first.
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


@dataclass(frozen=True, slots=True)
class Bins:
    """Where d columns are cut, and where their counts stand in one flat array.

    `edges[j]` are the upper edges of column j, then infinity and NaN, which numpy sorts to the end. The counts of
    column j are `counts[starts[j]:starts[j + 1]]`: its bins in the reference's order, then what was NaN. `firsts` are
    the places of the first edge of each column among all edges; `target` is where the count below an edge goes, as
    several categories may share a bin; None: where it is.
    """

    edges: tuple[Floats, ...]
    starts: Places
    firsts: Places
    target: Places | None

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
    edges, targets, starts = list[Floats](), list[Places](), [0]
    for column in columns:
        profile = profiles[column.name]
        bins = max(len(profile.counts), 1)
        own, places = _words(column, profile) if column.kind == "category" else _numbers(profile)
        edges.append(np.append(own, np.float32(np.nan)))
        targets.append(starts[-1] + np.append(places, bins))
        starts.append(starts[-1] + bins + 1)
    firsts = np.cumsum([0, *map(len, edges)])[:-1]
    target = np.concatenate(targets) if targets else np.zeros(0, dtype=np.intp)
    as_it_is = np.array_equal(target, np.arange(starts[-1]))
    return Bins(tuple(edges), np.array(starts), firsts, None if as_it_is else target)


def count(bins: Bins, matrix: Floats) -> Counts:
    """Count every column.

    Args:
        bins: of the reference.
        matrix: float32 (n, d); not changed.

    Returns:
        int64 (bins.size,), as `Bins` describes it.
    """
    columns = np.array(matrix.T, order="C")
    columns.sort(axis=1)
    if not bins.edges:
        return bins.zeros()
    upto = np.concatenate(
        [values.searchsorted(edges, side="right") for values, edges in zip(columns, bins.edges, strict=True)]
    )
    found = np.diff(upto, prepend=0)
    found[bins.firsts] = upto[bins.firsts]
    if bins.target is None:
        return found.astype(np.int64, copy=False)
    merged = bins.zeros()
    np.add.at(merged, bins.target, found)
    return merged


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


def _numbers(profile: FeatureProfile) -> tuple[Floats, Places]:
    exact = np.array([*profile.edges, np.inf])
    with np.errstate(over="ignore"):
        edges = exact.astype(np.float32)
    # A float32 value is at most a float64 edge exactly if it is at most that edge rounded down.
    edges = np.where(edges > exact, np.nextafter(edges, np.float32(-np.inf)), edges)
    return edges, np.arange(len(edges))


def _words(column: Column, profile: FeatureProfile) -> tuple[Floats, Places]:
    """One bin a code, to be put together as the reference has them: its words, then all others."""
    bin_of = {word: i for i, word in enumerate(profile.words)}
    rest = max(len(profile.counts) - 1, 0)
    places = [bin_of.get(word, rest) for word in column.categories] or [rest]
    edges = np.arange(len(places), dtype=np.float32)
    edges[-1] = np.inf
    return edges, np.array(places, dtype=np.intp)
