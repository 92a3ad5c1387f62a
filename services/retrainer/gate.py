"""Training data that teaches nothing is refused in words before anything is fitted; what is only odd is a warning."""

from collections.abc import Mapping, Sequence

import numpy as np

from services.retrainer.dataset import Dataset
from shared.core.bundle import Column
from shared.core.bundle_checks import classes_of
from shared.core.errors import TailraceError
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec

MIN_ROWS = 50
MIN_PER_CLASS = 5
_MANY = 0.1  # share of duplicates or refused records above which the data as a whole is suspect


class DataRefused(TailraceError):  # noqa: N818 - reads as a verdict, like ModelRefused
    """The data cannot train a model: a "no", not a mistake in a file or flag."""


def check_data(spec: PipelineSpec, data: Dataset) -> list[str]:
    """Look at the records and targets as a whole.

    Returns:
        Warnings.

    Raises:
        DataRefused: names what is wrong.
    """
    n, refused = len(data), sum(data.refused.values())
    if n < MIN_ROWS:
        _refuse(
            f"{n} {'labelled ' if data.labelled else ''}records, at least {MIN_ROWS} are needed",
            "widen train_from and train_until",
        )
    if data.duplicates > _MANY * n:
        _refuse(f"{data.duplicates:,} records repeat an id", "an id names one record; mend record.id or the history")
    if refused > _MANY * (n + refused):
        _refuse(f"{refused:,} records are refused ({_told(data.refused)})", "mend the history or the declared fields")
    if data.labelled:
        _check_target(spec, data)
    warnings = [f"{data.duplicates:,} records repeat an id; the first of each counts"] if data.duplicates else []
    if refused:
        warnings.append(f"{refused:,} records are refused ({_told(data.refused)})")
    return warnings


def check_matrix(columns: Sequence[Column], matrix: Floats, y: Sequence[float]) -> list[str]:
    """Look at each column.

    Returns:
        Warnings: columns without any value, constant ones, and one that is the target itself.

    Raises:
        DataRefused: a category without any value, or no column that varies.
    """
    warnings: list[str] = []
    varying = 0
    target = np.asarray(y, dtype=np.float32)
    for j, column in enumerate(columns):
        present = matrix[~np.isnan(matrix[:, j]), j]
        if not len(present):
            if column.kind == "category":
                _refuse(f"feature {column.name} has no value at all", "remove it, or mend its source")
            warnings.append(f"feature {column.name} has no value at all")
        elif (present == present[0]).all():
            warnings.append(f"feature {column.name} is constant")
        else:
            varying += 1
            if np.array_equal(matrix[:, j], target):
                warnings.append(f"feature {column.name} equals the label: is it known before?")
    if not varying:
        _refuse("no feature varies", "there is nothing to learn from")
    return warnings


def _check_target(spec: PipelineSpec, data: Dataset) -> None:
    if spec.task == "regression":
        if not np.isfinite(data.y).all():
            _refuse("a label is not a finite number", "mend the labels")
        if spec.model.target == "log1p" and (data.y <= -1).any():
            _refuse(f"a label is {data.y.min():g}, and log1p needs more than -1", "mend the labels, or model.target")
        if (data.y == data.y[0]).all():
            _refuse(f"every label is {data.y[0]:g}", "there is nothing to learn from")
        return
    classes = classes_of(spec)
    counts = np.bincount(data.y.astype(np.int64), minlength=len(classes))
    for name, count in zip(classes, counts.tolist(), strict=True):
        if count < MIN_PER_CLASS:
            _refuse(f"class {name} has {count} records, at least {MIN_PER_CLASS} are needed", "widen the time span")


def _told(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(refused.items()))


def _refuse(what: str, remedy: str) -> None:
    raise DataRefused(f"training data: {what}; {remedy}")
