"""The linear model that ours must beat: same matrix, same target transform, nothing tuned."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.train import fit, make_estimator, predict
from shared.core.answering import Post, values
from shared.core.bundle import Column
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec

_CLASSES = ("sklearn.linear_model.LogisticRegression", {"max_iter": 300})
_VALUES: tuple[str, dict[str, int]] = ("sklearn.linear_model.Ridge", {})


def fit_linear(spec: PipelineSpec, columns: tuple[Column, ...], matrix: Floats, y: NDArray[np.float64]) -> Any:
    """A fitted logistic regression or ridge on standardised numbers, medians for what is missing, one-hot categories.

    Args:
        spec: the pipeline; of its model only target transform and seed count.
        columns: d columns.
        matrix: float32 (n, d), as at scoring.
        y: (n,) class codes, each of them present, or values in the target's own unit.

    Raises:
        UserError: the data is refused.
    """
    linear = _linear(spec)
    return fit(make_estimator(linear, columns), matrix, y, seed=spec.model.seed, target=spec.model.target)


def predict_linear(spec: PipelineSpec, fitted: Any, matrix: Floats) -> NDArray[np.float64]:
    """Its answers: probabilities (n, k), or values (n,) in the target's own unit."""
    raw = predict(fitted, matrix)
    return values(Post(target=spec.model.target), raw) if spec.task == "regression" else raw


def _linear(spec: PipelineSpec) -> PipelineSpec:
    estimator, parameters = _VALUES if spec.task == "regression" else _CLASSES
    model = msgspec.structs.replace(
        spec.model,
        estimator=estimator,
        parameters=dict(parameters),
        numeric="standard",
        category="onehot",
        impute="median",
    )
    return msgspec.structs.replace(spec, model=model)
