"""How good the best possible answers are: the figures of the truth itself, on the records as they came out."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from shared.core.quality import Task
from shared.simulation.world import Floats, Truth

Figure = Callable[[Truth], float]


def best_quality(task: Task, names: Iterable[str], truth: Truth) -> dict[str, float]:
    """What somebody would reach who knows the truth's own distribution, by figure.

    Classes are told from the posterior, a value from the mean (rmse) or the median (mae, rmsle, within_15).

    Args:
        task: the pipeline's.
        names: figures of `shared.core.quality`; those that a truth alone does not have (coverage, ks ...) are left out.
        truth: of the records to judge, at least one.
    """
    figures = FIGURES_OF[task]
    return {name: float(figures[name](truth)) for name in names if name in figures}


def part(truth: Truth, which: slice) -> Truth:
    """The truth of some of the records."""

    def cut(column: Floats | None) -> Floats | None:
        return None if column is None else column[which]

    return Truth(truth.y[which], truth.classes, cut(truth.posterior), cut(truth.mean), cut(truth.median))


def _posterior(truth: Truth) -> Floats:
    if truth.posterior is None:
        raise ValueError("a classification needs a posterior")
    return truth.posterior


def _accuracy(truth: Truth) -> float:
    return float(np.mean(_posterior(truth).argmax(axis=1) == truth.y))


def _recall(truth: Truth) -> float:
    chosen = _posterior(truth).argmax(axis=1)
    present = np.unique(truth.y)
    return float(np.mean([np.mean(chosen[truth.y == k] == k) for k in present]))


def _macro_f1(truth: Truth) -> float:
    chosen, scores = _posterior(truth).argmax(axis=1), []
    for k in range(_posterior(truth).shape[1]):
        hits = np.sum((chosen == k) & (truth.y == k))
        scores.append(2.0 * hits / max(np.sum(chosen == k) + np.sum(truth.y == k), 1))
    return float(np.mean(scores))


def _log_loss(truth: Truth) -> float:
    p = _posterior(truth)[np.arange(len(truth.y)), truth.y.astype(np.int64)]
    return float(-np.mean(np.log(np.maximum(p, 1e-15))))


def _auc(truth: Truth) -> float:
    score, positive = _posterior(truth)[:, 1], truth.y == 1
    if not 0 < positive.sum() < len(positive):
        return float("nan")
    _, where, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[where]
    pairs = float(positive.sum()) * float((~positive).sum())
    return float((rank[positive].sum() - positive.sum() * (positive.sum() + 1) / 2.0) / pairs)


def _brier(truth: Truth) -> float:
    return float(np.mean((_posterior(truth)[:, 1] - (truth.y == 1)) ** 2))


def _central(truth: Truth, which: str) -> Floats:
    found = getattr(truth, which)
    if found is None:
        raise ValueError(f"a regression needs its {which}")
    return np.asarray(found, dtype=np.float64)


def _rmse(truth: Truth) -> float:
    return float(np.sqrt(np.mean((_central(truth, "mean") - truth.y) ** 2)))


def _mae(truth: Truth) -> float:
    return float(np.mean(np.abs(_central(truth, "median") - truth.y)))


def _rmsle(truth: Truth) -> float:
    return float(np.sqrt(np.mean((np.log1p(_central(truth, "median")) - np.log1p(truth.y)) ** 2)))


def _within_15(truth: Truth) -> float:
    return float(np.mean(np.abs(_central(truth, "median") - truth.y) <= 0.15 * np.abs(truth.y)))


_MULTI: Mapping[str, Figure] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _recall,
    "macro_f1": _macro_f1,
    "log_loss": _log_loss,
}
FIGURES_OF: Mapping[Task, Mapping[str, Figure]] = {
    "multiclass": _MULTI,
    "binary": {**_MULTI, "auc": _auc, "brier": _brier},
    "regression": {"rmse": _rmse, "mae": _mae, "rmsle": _rmsle, "within_15": _within_15},
}
