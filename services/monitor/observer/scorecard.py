"""From the rows of a batch to the sums that they add to a scorecard. Whole columns in, integers out."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from msgspec import Raw

from services.monitor.observer.describe import Describer
from services.monitor.observer.entries import SeenPrediction
from services.monitor.observer.items import Known
from services.monitor.observer.judging import Value, Verdict
from shared.core.codec import Row
from shared.core.monitor_records import (
    DELAYS,
    SCORE_BINS,
    GroupCounts,
    PairCounts,
    SliceCounts,
    Sums,
)
from shared.core.pipeline import PipelineSpec
from shared.core.scorecards import SCALE, fixed, merge, negated

_DELAYS = [edge * 1_000 for edge in DELAYS]


class Observed(NamedTuple):
    """An observation that counts."""

    known: Known
    prediction: SeenPrediction
    row: Row | None
    lookups: Raw


class Joined(NamedTuple):
    """An observation and what came true. `sign` is -1 where that is taken back. `beside`: the champion's, of a shadow.

    `delay` is label time less event time, in ms.
    """

    known: Known
    value: Value
    delay: int
    verdict: Verdict
    sign: int = 1
    beside: tuple[Known, Verdict] | None = None


class Summer:
    """Makes sums of rows for one pipeline.

    Args:
        spec: the pipeline.
        describer: takes records apart.
    """

    def __init__(self, spec: PipelineSpec, describer: Describer) -> None:
        self._spec, self._describer = spec, describer
        self._classes = spec.labels.classes
        self._numbers = spec.task == "regression"

    def observed(self, version: str, rows: Sequence[Observed]) -> Sums:
        """What observations of one version add, labels aside."""
        slices: Counter[tuple[int, int]] = Counter()
        for one in rows if self._describer.sliced else ():
            slices.update(enumerate(one.known.slices))
        scores = [one.known.score for one in rows]
        return Sums(
            n=len(rows),
            scores=() if self._numbers else _histogram(map(score_bin, scores), SCORE_BINS),
            answers=self._describer.over_scores(version, scores),
            features=self._describer.features(version, [r.row for r in rows], [r.lookups for r in rows]),
            flags=dict(sorted(Counter(chain.from_iterable(r.prediction.flags for r in rows)).items())),
            groups=_groups(rows),
            slices={self._describer.slice_name(*which): SliceCounts(n=n) for which, n in sorted(slices.items())},
        )

    def joined(self, version: str, rows: Sequence[Joined]) -> Sums:
        """What labels of one version add, and take back."""
        back = [row for row in rows if row.sign < 0]
        if not back:
            return self._added(version, rows)
        return merge(self._added(version, [r for r in rows if r.sign > 0]), negated(self._added(version, back)))

    def _added(self, version: str, rows: Sequence[Joined]) -> Sums:
        common = Sums(
            labelled=len(rows),
            delays=_histogram((bisect_right(_DELAYS, row.delay) for row in rows), len(DELAYS) + 1),
            errors=sum(row.verdict.error for row in rows),
            loss=sum(row.verdict.loss for row in rows),
            slices=self._slices(rows),
            pairs=_pairs(rows),
        )
        return merge(common, self._of_numbers(version, rows) if self._numbers else self._of_classes(rows))

    def _of_classes(self, rows: Sequence[Joined]) -> Sums:
        """Source of the score: Brier, Verification of forecasts expressed in terms of probability (1950).

        Binary: (p - y)^2 of the positive class; else the sum over the classes.
        """
        place = {name: i for i, name in enumerate(self._classes)}
        k, positive = len(place), self._spec.labels.positive
        confusion, brier, bias = [0] * (k * k), 0, 0
        scored, hits, sums = [0] * SCORE_BINS, [0] * SCORE_BINS, [0] * SCORE_BINS
        for known, value, *_ in rows:
            score, predicted = known.score, place.get(known.label)  # type: ignore[arg-type] # a class is a text
            if predicted is not None:
                confusion[place[value] * k + predicted] += 1
            hit = value == positive if positive else value == known.label
            where = score_bin(score)
            scored[where] += 1
            hits[where] += hit
            sums[where] += fixed(score)
            bias += fixed(score - hit)
            brier += fixed((score - hit) ** 2 if positive else _brier(known.probabilities or {}, value))
        return Sums(
            confusion=tuple(confusion), brier=brier, bias=bias, labelled_scores=tuple(scored), hits=tuple(hits),
            score_sums=tuple(sums),
        )  # fmt: skip

    def _of_numbers(self, version: str, rows: Sequence[Joined]) -> Sums:
        squared = squared_log = unlogged = bias = target = target_squared = 0
        for known, value, *_ in rows:
            error = known.score - value
            squared += fixed(error * error)
            bias += fixed(error)
            target += fixed(value)
            target_squared += fixed(value * value)
            if known.score > -1 and value > -1:
                squared_log += fixed((math.log1p(known.score) - math.log1p(value)) ** 2)
            else:
                unlogged += 1
        return Sums(
            squared=squared, squared_log=squared_log, unlogged=unlogged, bias=bias, target=target,
            target_squared=target_squared,
            truths=self._describer.over_scores(version, [row.value for row in rows]),
        )  # fmt: skip

    def _slices(self, rows: Sequence[Joined]) -> dict[str, SliceCounts]:
        if not self._describer.sliced:
            return {}
        made: dict[tuple[int, int], list[int]] = {}
        positive = self._spec.labels.positive
        for known, value, _, verdict, *_ in rows:
            truth = value if self._numbers else value == (positive or known.label)
            bias = fixed(known.score - truth)
            for which in enumerate(known.slices):
                sums = made.setdefault(which, [0, 0, 0, 0])
                for i, more in enumerate((1, verdict.error, verdict.loss, bias)):
                    sums[i] += more
        return {self._describer.slice_name(*which): SliceCounts(0, *sums) for which, sums in sorted(made.items())}


def score_bin(score: float) -> int:
    """The bin of a score in [0, 1]."""
    return min(max(int(score * SCORE_BINS), 0), SCORE_BINS - 1)


def _histogram(places: Iterable[int], n: int) -> tuple[int, ...]:
    counts = [0] * n
    for place in places:
        counts[place] += 1
    return tuple(counts)


def _groups(rows: Sequence[Observed]) -> dict[str, GroupCounts]:
    made: dict[str, list[int]] = {}
    for row in rows:
        for group, age in (row.prediction.ages or {}).items():
            sums = made.setdefault(group, [0, 0, 0])
            if age is None:
                sums[1] += 1
            else:
                sums[0] += 1
                sums[2] += round(age * 1_000)
    return {group: GroupCounts(*sums) for group, sums in sorted(made.items())}


def _brier(shares: dict[str, float], value: Any) -> float:
    return math.fsum((share - (name == value)) ** 2 for name, share in shares.items())


def _pairs(rows: Sequence[Joined]) -> dict[str, PairCounts]:
    """A shadow's rows beside the champion's: who was right, and the difference of their losses."""
    made: dict[str, list[int]] = {}
    for row in rows:
        if row.beside is None:
            continue
        champion, theirs = row.beside
        sums = made.setdefault(champion.version, [0] * 6)
        wrong = (theirs.error, row.verdict.error)
        difference = row.verdict.loss - theirs.loss
        sums[0] += 1
        sums[1] += wrong == (0, 0)
        sums[2] += wrong == (0, 1)
        sums[3] += wrong == (1, 0)
        sums[4] += difference
        sums[5] += difference * difference // SCALE
    return {version: PairCounts(*sums) for version, sums in sorted(made.items())}
