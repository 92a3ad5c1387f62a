"""Counts over the bins of a version's reference profile, and what was missing or unseen beside them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.core.bundle import Column
from shared.core.features import Floats
from shared.core.monitor_records import FeatureCounts
from shared.core.reference import FeatureProfile, Reference
from shared.core.summaries import bins_of, count

SCORE = (Column("score", "numeric"),)


class ProfileBins:
    """The bins of one version.

    Args:
        columns: of its matrix.
        reference: what it was trained with.
    """

    def __init__(self, columns: Sequence[Column], reference: Reference) -> None:
        self._columns, self._known = columns, reference.features
        profiles = {column.name: self._known.get(column.name, FeatureProfile()) for column in columns}
        self._features = bins_of(columns, profiles)
        self._scores = bins_of(SCORE, {"score": reference.scores})

    def features(self, matrix: Floats, absent: Mapping[str, int], unread: int) -> dict[str, FeatureCounts]:
        """Count every column that the reference knows.

        Args:
            matrix: float32 (n, d).
            absent: of categories, how many records had no value at all (the other NaN are unseen words).
            unread: further records that could not be read: they are missing everywhere.
        """
        counts = count(self._features, matrix)
        made: dict[str, FeatureCounts] = {}
        for j, column in enumerate(self._columns):
            if column.name not in self._known:
                continue
            found, nothing = self._features.of(counts, j)
            missing = absent[column.name] if column.kind == "category" else nothing
            made[column.name] = FeatureCounts(tuple(found.tolist()), missing + unread, nothing - missing)
        return made

    def scores(self, values: Sequence[float]) -> FeatureCounts:
        """Count scores, or true values of a regression, over the reference's bins of scores; as float32, like those."""
        counts = count(self._scores, _single(values).reshape(-1, 1))
        found, nothing = self._scores.of(counts, 0)
        return FeatureCounts(tuple(found.tolist()), nothing)

    def score_places(self, values: Sequence[float]) -> tuple[NDArray[np.int64], int]:
        """The bin of each score, none of them NaN, and how many bins there are."""
        edges = self._scores.edges[:-1, 0]  # the last is infinity
        return np.searchsorted(edges, _single(values), side="left"), len(edges) + 1


def _single(values: Sequence[float]) -> Floats:
    with np.errstate(over="ignore"):  # beyond the largest 32-bit number: infinite, in the last bin
        return np.asarray(values, dtype=np.float32)
