"""From a model's raw output to what is answered: target transform, calibration, interval. The one place where they are.

A runtime gives what scikit-learn gives. What training found out on records that the model had not seen stands in
the bundle's manifest as a `Post`, and training, scoring and replay put it on the raw output here, by columns.
"""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Target = Literal["none", "log1p"]
_LARGEST = float(np.finfo(np.float64).max)
_LOG_LARGEST = 709.0  # expm1 of more is infinite, and JSON has no infinity
_NEARLY = 1e-12  # a probability of 0 or 1 has no finite logit


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rising map of a probability to a better one.

    Through the knots `(x[i], y[i])` by straight lines, flat beyond them (isotonic); without knots it is
    `sigmoid(a * logit(p) + b)`.
    """

    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    a: float = 1.0
    b: float = 0.0


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Errors (truth minus value, in the model's own scale) to add to a value on both sides.

    Bin i holds the values up to and with `edges[i]`, the last bin all above; `low` and `high` have one error a bin.
    """

    coverage: float
    edges: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Post(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is done to a model's raw output; the default does nothing.

    `calibration` has one curve for the positive class of a binary task, or one a class; `target` is what of the
    target the model learned.
    """

    target: Target = "none"
    calibration: tuple[Curve, ...] = ()
    interval: Interval | None = None


NOTHING = Post()


def to_model_scale(target: Target, y: Values) -> Values:
    """What the model learns of n target values; `log1p` needs values above -1."""
    return np.log1p(y) if target == "log1p" else y


def to_own_unit(target: Target, raw: Values) -> Values:
    """The inverse, of any shape; finite for finite input."""
    return np.expm1(np.minimum(raw, _LOG_LARGEST)) if target == "log1p" else raw


def values(post: Post, raw: Values) -> Values:
    """A regression's answers, (n,), in the target's own unit.

    Args:
        post: of the model.
        raw: its output, (n,) or (n, 1).
    """
    return to_own_unit(post.target, raw.reshape(len(raw)))


def bounds(post: Post, raw: Values) -> tuple[Values, Values] | None:
    """The interval of each value in the target's own unit, (n,) each; None where the model has none.

    Where the model is biased, the value itself may lie outside: the interval is where the truth is expected.
    """
    found = post.interval
    if found is None:
        return None
    flat = raw.reshape(len(raw))
    bins = np.searchsorted(np.array(found.edges), flat, side="left")
    low, high = flat + np.array(found.low)[bins], flat + np.array(found.high)[bins]
    return _finite(to_own_unit(post.target, low)), _finite(to_own_unit(post.target, high))


def probabilities(post: Post, raw: Values, positive: int = 1) -> Values:
    """Probabilities of the classes, (n, k), calibrated where the model is.

    Args:
        post: of the model.
        raw: its probabilities, (n, k).
        positive: the column of a binary task's positive class.
    """
    if not post.calibration:
        return raw
    if len(post.calibration) == 1:
        found = np.empty_like(raw)
        found[:, positive] = mapped(post.calibration[0], raw[:, positive])
        found[:, 1 - positive] = 1.0 - found[:, positive]
        return found
    found = np.stack([mapped(curve, raw[:, j]) for j, curve in enumerate(post.calibration)], axis=1)
    total = found.sum(axis=1, keepdims=True)
    # Where every curve says "not this one", the model's own shares are all there is.
    return np.where(total > 0, found / np.where(total > 0, total, 1.0), raw)


def mapped(curve: Curve, p: Values) -> Values:
    """Any probabilities (n,) on a curve."""
    if curve.x:
        return np.interp(p, curve.x, curve.y)
    return 1.0 / (1.0 + np.exp(-np.clip(curve.a * logit(p) + curve.b, -_LOG_LARGEST, _LOG_LARGEST)))


def logit(p: Values) -> Values:
    """Log odds, finite for 0 and 1 as well."""
    inside = np.clip(p, _NEARLY, 1.0 - _NEARLY)
    return np.log(inside) - np.log1p(-inside)


def _finite(bound: Values) -> Values:
    return np.clip(bound, -_LARGEST, _LARGEST)
