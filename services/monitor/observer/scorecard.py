"""From the rows of a batch to the sums that they add to a scorecard. Whole columns in, integers out."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.monitor.observer.describe import Describer
from services.monitor.observer.entries import Looked, SeenPrediction
from services.monitor.observer.items import Known
from services.monitor.observer.units import by_place, histogram, total, units
from shared.core.codec import Row
from shared.core.features import DEGRADED, FIRST, OUT_OF_RANGE, STALE, UNSEEN
from shared.core.judging import Value, Verdict
from shared.core.monitor_records import DELAYS, SCORE_BINS, GroupCounts, PairCounts, SliceCounts, Sums
from shared.core.pipeline import PipelineSpec
from shared.core.scorecards import SCALE, merge, negated

FLAGS = tuple(sorted((DEGRADED, STALE, UNSEEN, OUT_OF_RANGE, FIRST)))
_DELAYS = np.array([edge * 1_000 for edge in DELAYS])
Units = NDArray[np.int64]
AnyPrediction = SeenPrediction[str, float, str | float]
Observed = tuple[Known, AnyPrediction, Row | None, Looked]
"""An observation that counts, its record's fields, and its look-ups."""
Joined = tuple[Known, Value, int, Verdict, int, tuple[Known, Verdict] | None]
"""An observation and what came true: value, delay (ms), verdict, sign, and of a shadow the champion's beside it.

The sign is -1 where a label is taken back. (Plain tuples: one is made for every label.)
"""


class Summer:
    """Makes sums of rows for one pipeline.

    Args:
        spec: the pipeline.
        describer: takes records apart.
    """

    def __init__(self, spec: PipelineSpec, describer: Describer) -> None:
        self._describe = describer
        self._positive = spec.labels.positive
        self._place = {name: i for i, name in enumerate(spec.labels.classes)}
        self._numbers = spec.task == "regression"
        self._groups = frozenset(spec.lookups)

    def observed(self, version: str, rows: Sequence[Observed]) -> Sums:
        """What observations of one version add, labels aside."""
        knowns = [one[0] for one in rows]
        scores = [known.score for known in knowns]
        slices: dict[str, SliceCounts] = {}
        for which, column in self._columns(knowns):
            counts = np.bincount(column).tolist()
            slices |= {self._describe.slice_name(which, p): SliceCounts(n=n) for p, n in enumerate(counts) if n}
        return Sums(
            n=len(rows),
            scores=() if self._numbers else histogram(_bins(np.array(scores)), SCORE_BINS),
            answers=self._describe.over_scores(version, scores),
            features=self._describe.features(version, [one[2] for one in rows], [one[3] for one in rows]),
            flags=self._flags([one[1] for one in rows]),
            groups=self._ages([one[1] for one in rows]),
            slices=slices,
        )

    def _flags(self, predictions: Sequence[AnyPrediction]) -> dict[str, int]:
        """Of the flags that there are: what no scorer of ours says must not make a card grow for ever."""
        found = Counter(chain.from_iterable(one.flags for one in predictions))
        return {flag: found[flag] for flag in FLAGS if flag in found}

    def _ages(self, predictions: Sequence[AnyPrediction]) -> dict[str, GroupCounts]:
        """Of the groups that the pipeline has, for the same reason."""
        made: dict[str, list[int]] = {}
        for prediction in predictions:
            for group, age in (prediction.ages or {}).items():
                sums = made.setdefault(group, [0, 0, 0])
                if age is None:
                    sums[1] += 1
                else:
                    sums[0] += 1
                    sums[2] += round(age * 1_000)
        return {group: GroupCounts(*sums) for group, sums in sorted(made.items()) if group in self._groups}

    def joined(self, version: str, rows: Sequence[Joined]) -> Sums:
        """What labels of one version add, and take back."""
        back = [row for row in rows if row[4] < 0]
        if not back:
            return self._added(version, rows)
        added = self._added(version, [row for row in rows if row[4] > 0])
        return merge(added, negated(self._added(version, back)))

    def _added(self, version: str, rows: Sequence[Joined]) -> Sums:
        if not rows:
            return Sums()
        knowns, values = [row[0] for row in rows], [row[1] for row in rows]
        errors, losses = [row[3][0] for row in rows], [row[3][1] for row in rows]
        delays = np.searchsorted(_DELAYS, [row[2] for row in rows], side="right")
        special, bias = self._of_numbers(version, knowns, values) if self._numbers else self._of_classes(knowns, values)
        common = Sums(
            labelled=len(rows),
            delays=histogram(delays, len(DELAYS) + 1),
            errors=sum(errors),
            loss=sum(losses),
            bias=total(bias),
            slices=self._slices(knowns, errors, losses, bias),
            pairs=_pairs(rows),
        )
        return merge(common, special)

    def _of_classes(self, knowns: Sequence[Known], values: Sequence[Value]) -> tuple[Sums, Units]:
        """Source of the score: Brier, Verification of forecasts expressed in terms of probability (1950).

        Binary: (p - y)^2 of the positive class; else the sum over the classes. The bias is score less hit.
        """
        place, k = self._place, len(self._place)
        pairs = list(zip(knowns, values, strict=True))
        cells = [place[value] * k + place[known.label] for known, value in pairs if known.label in place]
        scores = np.clip(np.array([known.score for known in knowns]), 0.0, 1.0)
        if self._positive:
            hit = np.array([value == self._positive for value in values])
            brier = total(units((scores - hit) * (scores - hit)))
        else:
            hit = np.array([value == known.label for known, value in pairs])
            brier = total(units([_brier(known.probabilities or {}, value) for known, value in pairs]))
        where, score = _bins(scores), units(scores)
        sums = Sums(
            confusion=histogram(cells, k * k),
            brier=brier,
            labelled_scores=histogram(where, SCORE_BINS),
            hits=histogram(where[hit], SCORE_BINS),
            score_sums=tuple(by_place(where, score, SCORE_BINS)),
        )
        return sums, score - hit * SCALE

    def _of_numbers(self, version: str, knowns: Sequence[Known], values: Sequence[float]) -> tuple[Sums, Units]:
        score, truth = np.array([known.score for known in knowns]), np.array(values)
        with np.errstate(over="ignore"):  # beyond the largest number is as much as the limit of fixed point
            error = score - truth
            squared, target_squared = error * error, truth * truth
        logged = [
            (math.log1p(known.score) - math.log1p(value)) ** 2
            for known, value in zip(knowns, values, strict=True)
            if known.score > -1 and value > -1
        ]
        where, bins = self._describe.score_places(version, [known.score for known in knowns])
        sums = Sums(
            squared=total(units(squared)),
            squared_log=total(units(logged)),
            unlogged=len(values) - len(logged),
            target=total(units(truth)),
            target_squared=total(units(target_squared)),
            truths=self._describe.over_scores(version, values),
            answer_labels=histogram(where, bins),
            answer_losses=tuple(by_place(where, units(np.abs(error)), bins)) if bins else (),
        )
        return sums, units(error)

    def _slices(
        self, knowns: Sequence[Known], errors: Sequence[int], losses: Sequence[int], bias: Units
    ) -> dict[str, SliceCounts]:
        made: dict[str, SliceCounts] = {}
        parts = [np.array(of, dtype=np.int64) for of in (errors, losses)] if self._describe.sliced else []
        for which, column in self._columns(knowns):
            size = int(column.max()) + 1
            counts = np.bincount(column).tolist()
            sums = zip(counts, *(by_place(column, of, size) for of in (*parts, bias)), strict=True)
            made |= {self._describe.slice_name(which, p): SliceCounts(0, *one) for p, one in enumerate(sums) if one[0]}
        return made

    def _columns(self, knowns: Sequence[Known]) -> list[tuple[int, NDArray[np.int64]]]:
        """The places in each declared slice, a column a slice."""
        if not self._describe.sliced or not knowns:
            return []
        places = np.array([known.slices for known in knowns], dtype=np.int64)
        return list(enumerate(places.T))


def _bins(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each score in [0, 1]."""
    return np.clip((scores * SCORE_BINS).astype(np.int64), 0, SCORE_BINS - 1)


def _brier(shares: dict[str, float], value: Any) -> float:
    return math.fsum((share - (name == value)) ** 2 for name, share in shares.items())


def _pairs(rows: Sequence[Joined]) -> dict[str, PairCounts]:
    """A shadow's rows beside the champion's: who was right, and the difference of their losses."""
    made: dict[str, list[int]] = {}
    for _, _, _, (error, loss), _, beside in rows:
        if beside is None:
            continue
        champion, (theirs, their_loss) = beside
        sums = made.setdefault(champion.version, [0] * 6)
        difference = loss - their_loss
        sums[0] += 1
        sums[1] += not theirs and not error
        sums[2] += not theirs and bool(error)
        sums[3] += bool(theirs) and not error
        sums[4] += difference
        sums[5] += difference * difference // SCALE
    return {version: PairCounts(*sums) for version, sums in sorted(made.items())}
