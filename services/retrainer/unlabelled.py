"""Training where nothing comes true: the answer is how unusual a record is, and nobody can say how good it is."""

from typing import Any

from sklearn.base import is_outlier_detector

from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec

ESTIMATOR = "sklearn.ensemble.IsolationForest"


def check_unlabelled(spec: PipelineSpec) -> None:
    """Look at a pipeline whose history has no labels.

    Raises:
        UserError: something that it declares needs labels; names the key.
    """
    model = spec.model
    if spec.task != "regression" or model.estimator != ESTIMATOR:
        name = model.estimator.rpartition(".")[2]
        raise UserError(
            f"history.labels: there are none, and training needs labels for {name}",
            remedy=f"declare history.labels, or write task: regression and estimator: {ESTIMATOR}, "
            "whose answer is how unusual a record is",
        )
    needs = {
        "model.target": model.target != "none",
        "model.interval": model.interval is not None,
        "monitoring.goal": bool(spec.monitoring.goal),
    }
    for key, declared in needs.items():
        if declared:
            raise UserError(
                f"{key}: needs labels, and there are none", remedy="take it away, or declare history.labels"
            )


def is_unusualness(estimator: Any) -> bool:
    """Whether an estimator, or the last step of a pipeline, says how unusual a record is."""
    return bool(is_outlier_detector(estimator))
