"""The names of figures that say how good a pipeline is: for which task, which way is better, what they mean."""

from dataclasses import dataclass
from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
_CLASSES: tuple[Task, ...] = ("binary", "multiclass")
_VALUES: tuple[Task, ...] = ("regression",)
_ALL: tuple[Task, ...] = ("binary", "multiclass", "regression")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `by_model` is False for what is measured of the stream and not of the answers' truth."""

    better: Literal["higher", "lower"]
    tasks: tuple[Task, ...]
    meaning: str
    by_model: bool = True


FIGURES: dict[str, Figure] = {
    "accuracy": Figure("higher", _CLASSES, "share of labels that were right"),
    "balanced_accuracy": Figure("higher", _CLASSES, "mean over classes of the share of each that was found"),
    "macro_f1": Figure("higher", _CLASSES, "mean over classes of F1"),
    "auc": Figure("higher", ("binary",), "area under the ROC curve"),
    "log_loss": Figure("lower", _CLASSES, "mean negative log probability of what came true, in nats"),
    "brier": Figure("lower", ("binary",), "mean squared error of the probability"),
    "ece": Figure("lower", _CLASSES, "expected calibration error, 10 equal bins of the score"),
    "rmse": Figure("lower", _VALUES, "root mean squared error, in the target's unit"),
    "mae": Figure("lower", _VALUES, "mean absolute error, in the target's unit"),
    "rmsle": Figure("lower", _VALUES, "root mean squared error of log(1 + value)"),
    "within_15": Figure("higher", _VALUES, "share of values within 15 % of the truth"),
    "coverage": Figure("higher", _VALUES, "share of truths inside their interval"),
    "ks": Figure("lower", _ALL, "largest Kolmogorov-Smirnov distance of a feature to the reference", by_model=False),
    "psi": Figure("lower", _ALL, "largest population stability index of a feature", by_model=False),
    "latency_p95_ms": Figure("lower", _ALL, "95th percentile from record to prediction, ms", by_model=False),
    "degraded_share": Figure("lower", _ALL, "share of predictions without their cached features", by_model=False),
    "dead_letter_share": Figure("lower", _ALL, "share of records that could not be scored", by_model=False),
}
DEFAULT_METRIC: dict[Task, str] = {"binary": "log_loss", "multiclass": "macro_f1", "regression": "rmse"}


def is_better(metric: str, found: float, than: float) -> bool:
    """Whether `found` is strictly better than `than`.

    Raises:
        KeyError: no such figure.
    """
    return found > than if FIGURES[metric].better == "higher" else found < than
