"""From a model's own columns back to the features they were made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Columns:
    """What a model sees of rows: `values` (n, t), and of each of the t columns the feature it comes from.

    `centred` columns were made to have mean 0 over the training's records.
    """

    values: Floats
    origin: NDArray[np.intp]
    centred: NDArray[np.bool_]


def taken_apart(estimator: Any) -> tuple[Any, Any]:
    """The preparation, or None, and the model itself, as training put them together."""
    steps = getattr(estimator, "steps", None)
    return (None, estimator) if steps is None else (steps[0][1], steps[-1][1])


def columns_of(prepare: Any, matrix: Floats) -> Columns:
    """The model's columns of a matrix (n, d).

    Args:
        prepare: the fitted `ColumnTransformer` of training, None where there is none.
        matrix: as the scorer makes it.

    Raises:
        ValueError: it prepares columns in a way that training does not.
    """
    if prepare is None:
        width = matrix.shape[1]
        return Columns(matrix.astype(np.float64), np.arange(width), np.zeros(width, dtype=np.bool_))
    values = np.asarray(prepare.transform(matrix), dtype=np.float64)
    origin = np.full(values.shape[1], -1, dtype=np.intp)
    centred = np.zeros(values.shape[1], dtype=np.bool_)
    for name, how, columns in prepare.transformers_:
        place = prepare.output_indices_[name]
        widths = _widths(how, len(columns))
        if place.stop - place.start != sum(widths):
            raise ValueError(f"the preparation {name} makes {place.stop - place.start} columns of {len(columns)}")
        origin[place] = np.repeat(np.asarray(columns, dtype=np.intp), widths)
        centred[place] = "scale" in getattr(how, "named_steps", {})
    if (origin < 0).any():
        raise ValueError("columns of the model come from no feature")
    return Columns(values, origin, centred)


def summed(origin: NDArray[np.intp], parts: Floats, features: int) -> Floats:
    """Contributions of t columns as those of the d features that they were made of."""
    return np.bincount(origin, weights=parts, minlength=features).astype(np.float64)


def _widths(how: Any, n: int) -> list[int]:
    onehot = getattr(how, "named_steps", {}).get("onehot")
    return [1] * n if onehot is None else [len(known) for known in onehot.categories_]
