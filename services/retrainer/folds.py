"""How records are split to judge a model: by event time with a gap of the label horizon, or stratified by class.

A border is a moment, not a place in a list: records of one moment are never on both sides, and the last records
before a border, whose labels were not yet known there, are on neither.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from services.retrainer.gate import DataRefused
from shared.core.bundle_checks import classes_of
from shared.core.pipeline import PipelineSpec

Places = NDArray[np.intp]
Split = tuple[Places, Places]
Times = NDArray[np.int64]
_REMEDY = "widen train_from and train_until, or lower labels.horizon"


def horizon_ms(spec: PipelineSpec) -> int:
    """How long a label may take, in ms of event time."""
    return int(spec.labels.horizon * 1000)


def by_time(times: Times, holdout: float, gap_ms: int) -> Split:
    """Places of the records to fit on and of those to hold out: the last share of them, after a gap.

    Without the gap the first held-out records would be scored by a model that learned from labels not yet known then.

    Args:
        times: event times of n records in order, ms.
        holdout: the share to hold out.
        gap_ms: how long before the border the records are left out that lie before it.

    Raises:
        DataRefused: nothing is left on one side.
    """
    border = int(times[min(int(len(times) * (1 - holdout)), len(times) - 1)])
    early, late = np.flatnonzero(times < border - gap_ms), np.flatnonzero(times >= border)
    if not len(early) or not len(late):
        raise DataRefused(
            f"training data: {len(early)} records to fit before a gap of {gap_ms / 3.6e6:g} h, "
            f"{len(late)} to hold out after it; {_REMEDY}",
        )
    return early, late


def folds_of(spec: PipelineSpec, y: NDArray[np.float64], times: Times) -> list[Split]:
    """The folds that a search is judged by, as `model.folds` declares them; each as places to fit and to judge.

    Chronological: the time is cut into count + 1 parts of as many records; each part but the first is judged by what
    was known before it. Stratified: shuffled with the seed, with equal shares of each class.

    Raises:
        DataRefused: too few records, or too few of a class.
    """
    count = spec.model.folds.count
    if spec.model.folds.kind == "stratified":
        return _stratified(spec, y, count)
    places = np.linspace(0, len(times), count + 2).astype(np.intp)[1:-1]
    borders = [*times[places].tolist(), int(times[-1]) + 1]
    made: list[Split] = []
    for i, (begin, end) in enumerate(pairwise(borders), 1):
        early, late = np.flatnonzero(times < begin - horizon_ms(spec)), np.flatnonzero((times >= begin) & (times < end))
        if not len(early) or not len(late):
            words = f"fold {i} of {count} has {len(early)} records to fit and {len(late)} to judge"
            raise DataRefused(f"training data: {words}; lower model.folds.count, or {_REMEDY}")
        require_classes(spec, y[early], f"fold {i} fits")
        made.append((early, late))
    return made


def require_classes(spec: PipelineSpec, y: NDArray[np.float64], who: str) -> None:
    """Refuse records among which a class is absent: their model would not know it.

    Args:
        spec: the pipeline.
        y: class codes.
        who: whose records they are, for the message: "fold 1 fits".

    Raises:
        DataRefused: names the first absent class.
    """
    for code, name in enumerate(classes_of(spec)):
        if not (y == code).any():
            raise DataRefused(f"training data: {who} {len(y)} records, none of class {name}; {_REMEDY}")


def _stratified(spec: PipelineSpec, y: NDArray[np.float64], count: int) -> list[Split]:
    for code, name in enumerate(classes_of(spec)):
        if (have := int((y == code).sum())) < count:
            words = f"class {name} has {have} records before the holdout, {count} folds need {count}"
            raise DataRefused(f"training data: {words}; lower model.folds.count")
    cut = StratifiedKFold(count, shuffle=True, random_state=spec.model.seed)
    return list(cut.split(np.zeros((len(y), 1)), y))
