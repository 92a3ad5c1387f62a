"""The number that contributions add up to: what an estimator says before anything is made of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.answering import Target

_LOG_LINKS = frozenset({"PoissonRegressor", "GammaRegressor"})
_LOG_LOSSES = frozenset({"poisson", "gamma"})


def raw_scores(estimator: Any, matrix: NDArray[Any], place: int) -> NDArray[np.float64]:
    """The raw scores of n rows, (n,): what is linear in a linear model's columns, or added up over trees.

    Args:
        estimator: with its preparation.
        matrix: (n, d).
        place: the class (its column of probabilities); of a regression any.
    """
    if hasattr(estimator, "decision_function"):
        found = np.asarray(estimator.decision_function(matrix), dtype=np.float64)
        if found.ndim == 1:  # of two classes, it is that of the second one
            return found if place == 1 else -found
        return found[:, place]
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(matrix), dtype=np.float64)[:, place]
    values = np.asarray(estimator.predict(matrix), dtype=np.float64).reshape(len(matrix))
    return np.log(values) if has_log_link(estimator) else values


def scale_of(estimator: Any, model: Any, target: Target) -> str:
    """What the raw score is, in words."""
    if hasattr(estimator, "decision_function"):
        logistic = type(model).__name__ != "SGDClassifier" or getattr(model, "loss", "") == "log_loss"
        if not logistic:
            return "decision value"
        return "log odds" if len(estimator.classes_) == 2 else "log share of the class"  # noqa: PLR2004 - yes and no
    if hasattr(estimator, "predict_proba"):
        return "probability"
    unit = "log1p of the value" if target == "log1p" else "value"
    return f"log of the {unit}" if has_log_link(estimator) else unit


def has_log_link(estimator: Any) -> bool:
    """Whether a regression's prediction is the exponential of what it adds up."""
    model = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    name = type(model).__name__
    if name == "TweedieRegressor":
        return bool(model.link == "log" or (model.link == "auto" and model.power > 0))
    return name in _LOG_LINKS or (name.startswith("HistGradient") and str(model.loss) in _LOG_LOSSES)
