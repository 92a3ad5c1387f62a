"""Judging a model on records that come after all it has learned from, and learning its calibration and intervals.

What is learned from a model's errors is never judged on the same records. With calibration or intervals declared:

1. a model of the early part of the early records gives the `Post` that is judged,
2. the model of all early records, with that `Post`, answers the holdout: these are the figures,
3. its errors on the holdout give the `Post` of the final model, which is fitted on everything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retrainer.baseline import fit_linear, predict_linear
from services.retrainer.folds import by_time, horizon_ms, require_classes
from services.retrainer.importance import importance_of
from services.retrainer.post import learn_post, needs_post
from services.retrainer.reference import baselines_of
from services.retrainer.scores import evaluate, figures, positive_of, prefixed
from services.retrainer.tables import Table
from services.retrainer.train import fit, make_estimator, predict
from shared.core import answering
from shared.core.answering import Post
from shared.core.baseline import Baseline
from shared.core.pipeline import PipelineSpec

Values = NDArray[np.float64]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures by name, what the final model does to its output, and scores of the holdout as predictions have them.

    `answers` are the holdout's, (n, k) probabilities or (n,) values; empty where no label says how good they are.
    `baselines` are of errors and of loss on the holdout; empty where it is too short. `importance` is of each feature.
    """

    metrics: dict[str, float]
    post: Post
    said: Sequence[float]
    baselines: tuple[Baseline, ...] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    answers: Values = field(default_factory=lambda: np.zeros(0))


def judge(spec: PipelineSpec, early: Table, late: Table, progress: Progress) -> Judged:
    """Fit the early records and judge on the late ones.

    Args:
        spec: the pipeline.
        early: what is known before the holdout.
        late: the holdout, with the columns of `early`.
        progress: told what takes time.

    Raises:
        DataRefused: a class is absent where it is needed, or too few records to learn calibration or intervals from.
        UserError: the estimator refuses.
    """
    require_classes(spec, early.y, "before the holdout there are")
    judged = _early_post(spec, early, progress)
    progress(f"fitting {len(early):,} records, holding out {len(late):,}")
    model = _fitted(spec, early)
    raw = predict(model, late.matrix)
    scores = answered(spec, judged, raw)
    metrics = evaluate(spec, late.y, scores, early.y, answering.bounds(judged, raw))
    if spec.monitoring.goal:
        progress("fitting a linear model to compare with")
        linear = fit_linear(spec, early.columns, early.matrix, early.y)
        metrics |= prefixed("linear", figures(spec, late.y, predict_linear(spec, linear, late.matrix)))
    baselines = baselines_of(spec, judged, raw, late.y)
    importance = importance_of(spec, late, lambda matrix: answered(spec, judged, predict(model, matrix)))
    return Judged(metrics, learn_post(spec, late.y, raw), _said(spec, scores), baselines, importance, scores)


def unjudged(spec: PipelineSpec, early: Table, late: Table) -> Judged:
    """Scores of the late records by a model of the early ones, where no label says how good they are."""
    return Judged({}, Post(), _said(spec, fitted_output(spec, early, late)))


def fitted_output(spec: PipelineSpec, known: Table, unseen: Table) -> Values:
    """The output of a model of the known records for unseen ones."""
    return predict(_fitted(spec, known), unseen.matrix)


def _fitted(spec: PipelineSpec, known: Table) -> Any:
    estimator = make_estimator(spec, known.columns)
    return fit(estimator, known.matrix, known.y, seed=spec.model.seed, target=spec.model.target)


def answered(spec: PipelineSpec, post: Post, raw: Values) -> Values:
    """A model's output as answers: probabilities (n, k), or values (n,) in the target's own unit."""
    if spec.task == "regression":
        return answering.values(post, raw)
    return answering.probabilities(post, raw, positive_of(spec))


def _early_post(spec: PipelineSpec, early: Table, progress: Progress) -> Post:
    if not needs_post(spec):
        return Post(target=spec.model.target)
    first, then = by_time(early.times, spec.history.holdout, horizon_ms(spec))
    what = "calibration" if spec.task != "regression" else "intervals"
    progress(f"fitting {len(first):,} records, learning {what} from {len(then):,}")
    known, unseen = early.rows(first), early.rows(then)
    require_classes(spec, known.y, f"for {what} there are")
    return learn_post(spec, unseen.y, fitted_output(spec, known, unseen))


def _said(spec: PipelineSpec, scores: Values) -> Sequence[float]:
    if spec.task == "regression":
        return list(scores.tolist())
    column = scores[:, positive_of(spec)] if spec.task == "binary" else scores.max(axis=1)
    return list(column.tolist())
