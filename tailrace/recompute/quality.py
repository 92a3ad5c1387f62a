"""Figures of quality by version and window, from the predictions and labels themselves: no bins, no fixed point."""

import math
from typing import Any

import numpy as np
import pandas as pd

from tailrace.recompute.tables import KEY
from tailrace.recompute.terms import Terms

Judged = pd.DataFrame
"""What figures of quality need of each observation that counts."""
_COLUMNS = [*KEY, "time", "score", "label", "labelled", "value", "delay", "errors", "loss", "brier"]


def judged_of(frame: pd.DataFrame) -> Judged:
    """The columns of `observations` that quality is computed from."""
    return frame[_COLUMNS]


def quality(parts: list[Judged], terms: Terms) -> list[dict[str, Any]]:
    """One entry a version, role and window over all partitions: n, labelled, coverage and the task's figures.

    Args:
        parts: of each partition.
        terms: of the pipeline.

    Returns:
        Sorted by version, role and window. A figure that has no labels to come from is left out, never 0.
    """
    made: list[dict[str, Any]] = []
    if not parts:
        return made
    for key, of in pd.concat(parts, ignore_index=True).groupby(KEY, sort=True):
        version, shadow, window = key
        judged = of[of["labelled"]]
        one = {
            "version": version,
            "shadow": bool(shadow),
            "window": int(str(window)),
            "n": len(of),
            "labelled": len(judged),
        }
        one["coverage"] = len(judged) / len(of)
        if len(judged):
            one["delay_median_s"] = float(judged["delay"].astype("float64").median()) / 1_000
            with np.errstate(over="ignore", invalid="ignore"):  # numbers whose squares are none: infinite, or unknown
                one |= _numbers(judged) if terms.task == "regression" else _classes(judged, terms)
        made.append(one)
    return made


def _numbers(judged: pd.DataFrame) -> dict[str, float]:
    score, truth = judged["score"].astype("float64"), judged["value"].astype("float64")
    off = score - truth
    made = {
        "rmse": math.sqrt((off * off).mean()),
        "mae": float(off.abs().mean()),
        "bias": float(off.mean()),
        "within": 1.0 - float(judged["errors"].astype("int64").mean()),
    }
    logged = (score > -1) & (truth > -1)
    if logged.any():
        made["rmsle"] = math.sqrt(((np.log1p(score[logged]) - np.log1p(truth[logged])) ** 2).mean())
    return made


def _classes(judged: pd.DataFrame, terms: Terms) -> dict[str, float]:
    cells = pd.crosstab(judged["value"], judged["label"]).reindex(index=terms.classes, columns=terms.classes)
    cells = cells.fillna(0).astype("int64")
    right = pd.Series(np.diag(cells), index=cells.index)
    true, said = cells.sum(axis=1), cells.sum(axis=0)
    met = true > 0
    recall = right[met] / true[met]
    f1 = 2 * right[met] / (true[met] + said[met])
    made = {
        "accuracy": 1.0 - float(judged["errors"].astype("int64").mean()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "log_loss": float(judged["loss"].astype("float64").mean()) / 2**20,
        "brier": float(judged["brier"].astype("float64").mean()) / 2**20,
    }
    auc = _auc(judged, terms) if terms.task == "binary" else None
    return made if auc is None else made | {"auc": auc}


def _auc(judged: pd.DataFrame, terms: Terms) -> float | None:
    """Area under the ROC curve by ranks (Mann, Whitney 1947); None where only one class came true."""
    positive = judged["value"] == terms.positive
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return None
    ranks = judged["score"].astype("float64").rank()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))
