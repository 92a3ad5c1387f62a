"""Columns that are the label in other words: such a one would make a perfect model of nothing."""

import numpy as np
from numpy.typing import NDArray

from tailrace.initialise.plan import Sheet, Target
from tailrace.initialise.types import Typed

_SAME, _NEAR = 0.99995, 0.98
_LEAST = 20  # rows


def leak_of(sheet: Sheet, target: Target, name: str) -> tuple[str, str]:
    """Why a column is the label itself (it is left out), or why it may be (a warning); both empty where it is not."""
    typed = sheet.columns[name]
    labelled = np.array([y is not None for y in target.y.tolist()], dtype=np.bool_)
    both = labelled & ~sheet.missing(name)
    if both.sum() < _LEAST or typed.kind in ("time", "empty"):
        return "", ""
    if target.task == "regression":
        return _linear(typed, sheet.values(name)[both], target.y[both].astype(np.float64))
    return _one_to_one(typed, sheet.columns[name].column.codes[sheet.keep][both], target.y[both])


def _linear(typed: Typed, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[str, str]:
    if typed.kind not in ("integer", "number", "boolean") or x.std() == 0 or y.std() == 0:
        return "", ""
    r = abs(float(np.corrcoef(x, y)[0, 1]))
    if r > _SAME:
        return "is the label in another unit" if not (x == y).all() else "equals the label", ""
    return "", f"nearly tells the label (r = {r:.3f})" if r > _NEAR else ""


def _one_to_one(typed: Typed, codes: NDArray[np.int64], y: NDArray[np.object_]) -> tuple[str, str]:
    values, classes = np.unique(codes, return_inverse=True)[1], np.unique(y.astype(str), return_inverse=True)[1]
    k, d = int(classes.max()) + 1, int(values.max()) + 1
    pairs = len(np.unique(values.astype(np.int64) * k + classes))
    if k > 1 and pairs == d == k:
        return "tells the class one to one", ""
    determined = pairs == d and k > 1 and d <= len(y) / _LEAST and typed.kind != "text"
    return "", "tells the class on its own" if determined else ""
