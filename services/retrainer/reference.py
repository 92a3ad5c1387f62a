"""What a version is watched by: its profile with panes, what came true, and how often it erred on unseen records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.tables import Table
from shared.core.answering import Post
from shared.core.baseline import Baseline, baseline
from shared.core.bundle import Column
from shared.core.bundle_checks import classes_of
from shared.core.judging import judge_of
from shared.core.monitor_records import BLOCK
from shared.core.pipeline import PipelineSpec
from shared.core.reference import FeatureProfile, Reference, profile
from shared.core.reference_panes import Cut, cut, panes_of
from shared.core.scoring import Version, answers
from shared.core.summaries import bins_of, count

LEAST = 1_000
"""Labels of a holdout without which no baseline is made: the analyst then learns it from the first labels it sees.

Detectors that began with so few gave up to 1.0 false alarms in 100,000 records without drift, with half of it 9.
"""
Values = NDArray[np.float64]
_NAME = "value"
_NUMBER = Column(_NAME, "numeric")


@dataclass(frozen=True, slots=True)
class Told:
    """A prediction of a record of the holdout, as it would be told."""

    score: float
    label: str | float
    probabilities: dict[str, float] | None


def reference_of(
    spec: PipelineSpec, final: Table, held: Table, said: Sequence[float], baselines: Sequence[Baseline]
) -> Reference:
    """The reference of a version.

    Args:
        spec: the pipeline.
        final: what it was fitted on, in order of event time; without labels its targets are NaN.
        held: the holdout, in order of event time.
        said: scores of the holdout as predictions have them, by a model that had not seen it.
        baselines: of errors and of loss on the holdout.
    """
    labelled = not np.isnan(final.y).any()
    known = profile(final.columns, final.matrix, said, _rates(spec, final.y) if labelled else ())
    panes = cut(final.times, max(round(spec.monitoring.window * 1_000), 1))
    scores = np.asarray(said, dtype=np.float64)
    return msgspec.structs.replace(
        known,
        features=panes_of(final.columns, known.features, final.matrix, final.times, panes),
        scores=_counted(_NUMBER, known.scores, scores, held.times, panes.within(int(held.times[0]))),
        labels=_labels(spec, known.scores, final, panes) if labelled else FeatureProfile(),
        pane_ms=panes.length,
        baselines=tuple(baselines),
    )


def baselines_of(spec: PipelineSpec, post: Post, raw: Values, y: Values) -> tuple[Baseline, ...]:
    """How often a model erred, and how much it lost, on records that it had not learned from.

    They are judged as the observer judges, and put together in blocks as large as its own.

    Args:
        spec: the pipeline.
        post: what is done to the model's output.
        raw: its output, (n, k) or (n,), in order of event time.
        y: class codes or values, (n,).

    Returns:
        Of errors and of loss; nothing where there are too few labels.
    """
    if len(y) < LEAST:
        return ()
    classes = classes_of(spec)
    version = Version(0, "", "", classes, spec.labels.threshold, post)
    told = answers(spec, version, raw)
    values: list[Any] = [classes[int(code)] for code in y.tolist()] if classes else y.tolist()
    said = map(Told, told.scores, told.labels, told.probabilities or [None] * len(values))
    judged = list(map(judge_of(spec), said, values))
    whole = range(0, len(judged) - BLOCK + 1, BLOCK)
    errors, losses = ([sum(pair[i] for pair in judged[at : at + BLOCK]) for at in whole] for i in (0, 1))
    return baseline("errors", errors, BLOCK), baseline("loss", losses, BLOCK)


def _rates(spec: PipelineSpec, y: Values) -> list[float]:
    if spec.task == "regression":
        return [float(y.mean())]
    return [float(share) for share in np.bincount(y.astype(np.int64)) / len(y)]


def _labels(spec: PipelineSpec, scores: FeatureProfile, final: Table, panes: Cut) -> FeatureProfile:
    """What came true, by class or over the bins of the scores: as scorecards count it."""
    if spec.task == "regression":
        return _counted(_NUMBER, FeatureProfile(scores.edges, counts=scores.counts), final.y, final.times, panes)
    classes = classes_of(spec)
    empty = FeatureProfile(words=classes, counts=(0,) * len(classes))
    return _counted(Column(_NAME, "category", classes), empty, final.y, final.times, panes)


def _counted(
    column: Column, known: FeatureProfile, values: Values, times: NDArray[np.int64], panes: Cut
) -> FeatureProfile:
    """The profile of other values over the same bins."""
    bins, matrix = bins_of((column,), {_NAME: known}), values.astype(np.float32).reshape(-1, 1)
    counts, missing = bins.of(count(bins, matrix), 0)
    found = msgspec.structs.replace(known, counts=tuple(counts.tolist()), missing=missing)
    return panes_of((column,), {_NAME: found}, matrix, times, panes)[_NAME]
