"""How good a model is on records it has not seen, next to the trivial answer that needs no features."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, mean_absolute_error, roc_auc_score

from shared.core.pipeline import PipelineSpec

Values = NDArray[np.float64]


def evaluate(spec: PipelineSpec, y: Values, scores: Values, y_fit: Values) -> dict[str, float]:
    """Figures of a holdout by name; those of the trivial answer start with `baseline_`.

    Args:
        spec: task, threshold and classes.
        y: (n,) the truth: class codes, or values.
        scores: (n, k) probabilities, or (n,) values.
        y_fit: the truth of the records that were fitted, from which the trivial answer is made.
    """
    if spec.task == "regression":
        return _regression(y, scores) | _prefixed(_regression(y, np.full(len(y), y_fit.mean())))
    k = scores.shape[1]
    shares = np.bincount(y_fit.astype(np.int64), minlength=k) / len(y_fit)
    trivial = np.tile(shares, (len(y), 1))
    if spec.task == "multiclass":
        return _multiclass(y, scores) | _prefixed(_multiclass(y, trivial))
    at = positive_of(spec)
    return _binary(spec, y == at, scores[:, at]) | _prefixed(_binary(spec, y == at, trivial[:, at]))


def positive_of(spec: PipelineSpec) -> int:
    """The code of the positive class: as declared, else the second one."""
    return spec.labels.classes.index(spec.labels.positive) if spec.labels.positive in spec.labels.classes else 1


def _binary(spec: PipelineSpec, y: NDArray[np.bool_], p: Values) -> dict[str, float]:
    figures = {
        "log_loss": float(log_loss(y, p, labels=[False, True])),
        "accuracy": float(accuracy_score(y, p >= spec.labels.threshold)),
        "brier": float(brier_score_loss(y, p)),
        "base_rate": float(y.mean()),
    }
    return {"auc": float(roc_auc_score(y, p)), **figures} if 0 < y.sum() < len(y) else figures


def _multiclass(y: Values, p: Values) -> dict[str, float]:
    codes, chosen = y.astype(np.int64), p.argmax(axis=1)
    shares = p / p.sum(axis=1, keepdims=True)  # some estimators round to 32 bits, and log_loss wants sums of 1
    return {
        "accuracy": float(accuracy_score(codes, chosen)),
        "macro_f1": float(f1_score(codes, chosen, average="macro", labels=range(p.shape[1]), zero_division=0)),
        "log_loss": float(log_loss(codes, shares, labels=range(p.shape[1]))),
    }


def _regression(y: Values, predicted: Values) -> dict[str, float]:
    return {
        "rmse": float(np.sqrt(np.mean((y - predicted) ** 2))),
        "mae": float(mean_absolute_error(y, predicted)),
    }


def _prefixed(figures: dict[str, float]) -> dict[str, float]:
    return {f"baseline_{name}": value for name, value in figures.items() if name != "base_rate"}
