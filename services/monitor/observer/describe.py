"""What the observations of a batch look like: counts over the reference's bins, and the declared slices. By columns."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.monitor.observer.bins import ProfileBins
from services.monitor.observer.entries import Looked
from shared.core.bundle import Column
from shared.core.codec import RecordCodec, Row
from shared.core.features import FeatureBuilder
from shared.core.left import narrowed
from shared.core.monitor_records import FeatureCounts
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Found
from shared.core.reference import Reference


@dataclass(frozen=True, slots=True)
class Profile:
    """What a version was trained on: its columns and their reference counts."""

    columns: tuple[Column, ...]
    reference: Reference


Profiles = Callable[[str], Profile | None]
"""The profile of a version; None for one that `models` does not know. May raise `Unavailable`."""


class Describer:
    """Takes records and look-ups of observations apart.

    Args:
        spec: the pipeline.
        profiles: the reference of each version.
    """

    def __init__(self, spec: PipelineSpec, profiles: Profiles) -> None:
        self._spec, self._profiles = spec, profiles
        wanted = {f.source for f in spec.features if not f.lookup} | set(spec.monitoring.slices)
        self._codec = RecordCodec(narrowed(spec, wanted))
        self.row_type = self._codec.row_type
        """Of a record, as far as features and slices need it."""
        self._cuts = [tuple(cuts) for cuts in spec.monitoring.slices.values()]
        self._slices = [(self._codec.getter(name), _placer(cuts)) for name, cuts in spec.monitoring.slices.items()]
        self._nowhere = tuple(place(None) for _, place in self._slices)
        self._features = {feature.name: feature for feature in spec.features}
        self._versions: dict[str, tuple[FeatureBuilder, ProfileBins, Profile]] = {}

    def slices(self, row: Row | None) -> tuple[int, ...]:
        """The place of a row's value in each declared slice: of words the word's, the last for all others."""
        return self._nowhere if row is None else tuple([place(get(row)) for get, place in self._slices])

    @property
    def sliced(self) -> bool:
        """Whether any slice is declared."""
        return bool(self._slices)

    def slice_name(self, slice_: int, place: int) -> str:
        """A slice as it is published: `carrier=AA`, `distance<500`, `distance>=1000`, `distance=?`."""
        field = list(self._spec.monitoring.slices)[slice_]
        cuts = self._cuts[slice_]
        if _is_words(cuts):
            return f"{field}={cuts[place] if place < len(cuts) else '*'}"
        if place > len(cuts):
            return f"{field}=?"
        return f"{field}<{cuts[place]:g}" if place < len(cuts) else f"{field}>={cuts[-1]:g}"

    def features(self, version: str, rows: Sequence[Row | None], lookups: Sequence[Looked]) -> dict[str, FeatureCounts]:
        """Counts of every feature over a version's reference bins; none for a version without a profile.

        Its profile is the one of the last `prepare`.

        Args:
            version: whose observations these are.
            rows: n records as `row_type`; None for one that could not be read.
            lookups: their looked-up values.
        """
        known = self._versions.get(version)
        if known is None:
            return {}
        builder, bins, profile = known
        good = [j for j, row in enumerate(rows) if row is not None]
        found = Found({group: [lookups[j].get(group) for j in good] for group in self._spec.lookups})
        values = [rows[j] for j in good]
        matrix = builder.matrix(values, found).values
        absent = {c.name: self._absent(c.name, values, found) for c in profile.columns if c.kind == "category"}
        return bins.features(matrix, absent, len(rows) - len(good))

    def _absent(self, name: str, rows: Sequence[Row], found: Found) -> int:
        """How many rows have no value of a category: in the matrix they look like words that nobody has seen."""
        feature = self._features[name]
        if feature.missing != "nan":
            return 0
        if feature.lookup:
            return sum(one is None or one.get(feature.source) is None for one in found.values[feature.lookup])
        values = list(map(self._codec.getter(feature.source), rows))
        return values.count(None) + sum(value is msgspec.UNSET for value in values)

    def prepare(self, versions: Iterable[str]) -> None:
        """Have the profiles of these ready: afterwards nothing about them is asked of the world.

        Raises:
            Unavailable: one cannot be read now.
        """
        for version in versions:
            if version not in self._versions and (profile := self._profiles(version)) is not None:
                builder = FeatureBuilder(self._spec, self._codec, profile.columns)
                bins = ProfileBins(profile.columns, profile.reference)
                self._versions[version] = (builder, bins, profile)

    def over_scores(self, version: str, values: Sequence[float]) -> FeatureCounts:
        """Counts of scores, or of a regression's labels, over the reference's bins of scores."""
        known = self._versions.get(version)
        return FeatureCounts() if known is None else known[1].scores(values)

    def score_places(self, version: str, values: Sequence[float]) -> tuple[NDArray[np.int64], int]:
        """The bin of each score over the reference's bins, and how many there are; 0: the version has no profile."""
        known = self._versions.get(version)
        return (np.zeros(0, dtype=np.int64), 0) if known is None else known[1].score_places(values)


def _is_words(cuts: Sequence[Any]) -> bool:
    return isinstance(cuts[0], str)


def _placer(cuts: tuple[Any, ...]) -> Callable[[Any], int]:
    """A function from a value to its place: of words the word's, the last for all others; of bounds the interval's."""
    if not _is_words(cuts):
        nothing = len(cuts) + 1
        return lambda value: bisect_right(cuts, value) if isinstance(value, int | float) else nothing
    places: dict[Any, int] = {word: i for i, word in enumerate(cuts)}
    for value, word in ((True, "true"), (False, "false")):
        if word in places:
            places[value] = places[word]
    others = len(cuts)
    return lambda value: places.get(value, others)
