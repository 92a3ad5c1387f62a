"""Contributions of a linear model: exact, coefficient times how far a column is from its usual value."""

from typing import Any

import numpy as np

from tailrace.why.columns import Columns, Floats, summed


def is_linear(model: Any) -> bool:
    """Whether its raw score is a weighted sum of its columns."""
    return hasattr(model, "coef_") and hasattr(model, "intercept_")


def linear(model: Any, row: Columns, usual: Columns, place: int, features: int) -> tuple[float, Floats]:
    """The raw score of a row that has only usual values, and what each feature adds to it, (d,).

    A column that was standardised has a usual value of 0, the training's mean; any other that of the bundle's golden
    records. The weights of a feature's columns (of one-hot, all its categories) are its contribution together.

    Args:
        model: fitted.
        row: one row.
        usual: golden records.
        place: the class; of two classes the weights are those of the second.
        features: d.
    """
    weights, intercept = np.asarray(model.coef_, dtype=np.float64), np.ravel(np.asarray(model.intercept_, np.float64))
    at, sign = 0, 1.0
    if weights.ndim > 1:
        at = place if len(weights) > 1 else 0
        sign = -1.0 if len(weights) == 1 and place == 0 and hasattr(model, "classes_") else 1.0
        weights = weights[at]
    mean = np.where(row.centred, 0.0, usual.values.mean(axis=0))
    parts = sign * weights * (row.values[0] - mean)
    base = sign * (float(intercept[min(at, len(intercept) - 1)]) + float(weights @ mean))
    return base, summed(row.origin, parts, features)
