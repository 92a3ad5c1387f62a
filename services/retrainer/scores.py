"""How good answers are, by the names of `shared.core.quality`, next to the trivial answer that needs no features."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, mean_absolute_error, roc_auc_score

from shared.core.pipeline import PipelineSpec

Values = NDArray[np.float64]
Band = tuple[Values, Values]
ECE_BINS = 10
_NEAR = 0.15


def evaluate(
    spec: PipelineSpec, y: Values, scores: Values, y_fit: Values, band: Band | None = None
) -> dict[str, float]:
    """Figures of a holdout by name; those of the trivial answer start with `baseline_`.

    Args:
        spec: task, threshold and classes.
        y: (n,) the truth: class codes, or values in the target's own unit.
        scores: the answers: (n, k) probabilities, or (n,) values in the same unit.
        y_fit: the truth of the records that were fitted, from which the trivial answer is made.
        band: the lower and upper ends of the intervals, (n,) each; None where there are none.
    """
    if spec.task == "regression":
        trivial = np.full(len(y), y_fit.mean())
    else:
        shares = np.bincount(y_fit.astype(np.int64), minlength=scores.shape[1]) / len(y_fit)
        trivial = np.tile(shares, (len(y), 1))
    return figures(spec, y, scores, band) | prefixed("baseline", figures(spec, y, trivial))


def figures(spec: PipelineSpec, y: Values, scores: Values, band: Band | None = None) -> dict[str, float]:
    """Figures of some answers by name, without the trivial ones; arguments as above.

    What cannot be said is left out: `auc` where only one class came, `rmsle` where a value is not above -1.
    """
    if spec.task == "multiclass":
        return _multiclass(y, scores)
    if spec.task == "binary":
        at = positive_of(spec)
        return _binary(spec, y == at, scores[:, at])
    return _regression(y, scores) | (_covered(y, band) if band is not None else {})


def prefixed(prefix: str, found: dict[str, float]) -> dict[str, float]:
    """Figures under another name, so that `accuracy` of a linear model is `linear_accuracy`."""
    return {f"{prefix}_{name}": value for name, value in found.items() if name != "base_rate"}


def positive_of(spec: PipelineSpec) -> int:
    """The code of the positive class: as declared, else the second one."""
    return spec.labels.classes.index(spec.labels.positive) if spec.labels.positive in spec.labels.classes else 1


def calibration_error(p: Values, right: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean distance of probability and share, over ten equal bins of the probability.

    Source: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks (2017), for the top probability.

    Args:
        p: (n,) probabilities.
        right: (n,) whether it came true.
    """
    bins = np.minimum((p * ECE_BINS).astype(np.intp), ECE_BINS - 1)
    said = np.bincount(bins, weights=p, minlength=ECE_BINS)
    came = np.bincount(bins, weights=right, minlength=ECE_BINS)
    return float(np.abs(said - came).sum() / len(p))


def _binary(spec: PipelineSpec, y: NDArray[np.bool_], p: Values) -> dict[str, float]:
    chosen = p >= spec.labels.threshold
    found = {
        "log_loss": float(log_loss(y, p, labels=[False, True])),
        "accuracy": float(accuracy_score(y, chosen)),
        "balanced_accuracy": _balanced(y.astype(np.int64), chosen.astype(np.int64), 2),
        "macro_f1": float(f1_score(y, chosen, average="macro", labels=[False, True], zero_division=0)),
        "brier": float(brier_score_loss(y, p)),
        "ece": calibration_error(p, y),
        "base_rate": float(y.mean()),
    }
    return {"auc": float(roc_auc_score(y, p)), **found} if 0 < y.sum() < len(y) else found


def _multiclass(y: Values, p: Values) -> dict[str, float]:
    codes, chosen, k = y.astype(np.int64), p.argmax(axis=1), p.shape[1]
    shares = p / p.sum(axis=1, keepdims=True)  # some estimators round to 32 bits, and log_loss wants sums of 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that the holdout lacks
        return {
            "accuracy": float(accuracy_score(codes, chosen)),
            "balanced_accuracy": _balanced(codes, chosen, k),
            "macro_f1": float(f1_score(codes, chosen, average="macro", labels=range(k), zero_division=0)),
            "log_loss": float(log_loss(codes, shares, labels=range(k))),
            "ece": calibration_error(p.max(axis=1), codes == chosen),
        }


def _balanced(codes: NDArray[np.int64], chosen: NDArray[np.int64], k: int) -> float:
    """Mean over the classes that came of the share of each that was found."""
    came = np.bincount(codes, minlength=k)
    found = np.bincount(codes[codes == chosen], minlength=k)
    return float((found[came > 0] / came[came > 0]).mean())


def _regression(y: Values, predicted: Values) -> dict[str, float]:
    found = {
        "rmse": float(np.sqrt(np.mean((y - predicted) ** 2))),
        "mae": float(mean_absolute_error(y, predicted)),
        "within_15": float(np.mean(np.abs(predicted - y) <= _NEAR * np.abs(y))),
    }
    if (y > -1).all() and (predicted > -1).all():
        found["rmsle"] = float(np.sqrt(np.mean((np.log1p(predicted) - np.log1p(y)) ** 2)))
    return found


def _covered(y: Values, band: Band) -> dict[str, float]:
    low, high = band
    return {"coverage": float(np.mean((low <= y) & (y <= high))), "interval_width": float(np.mean(high - low))}
