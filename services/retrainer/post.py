"""What is learned from a model's answers on records that it had not seen: calibration, and intervals around values."""

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from services.retrainer.gate import MIN_PER_CLASS, DataRefused
from services.retrainer.scores import positive_of
from shared.core.answering import Curve, Interval, Post, logit, to_model_scale
from shared.core.bundle_checks import classes_of
from shared.core.pipeline import PipelineSpec

Values = NDArray[np.float64]


def needs_post(spec: PipelineSpec) -> bool:
    """Whether something must be learned on records of its own."""
    return spec.model.calibration != "none" or spec.model.interval is not None


def learn_post(spec: PipelineSpec, y: Values, raw: Values) -> Post:
    """What to do to a model's output, from its output on records that it had not seen.

    Args:
        spec: the pipeline.
        y: (n,) the truth: class codes, or values in the target's own unit.
        raw: the output for the same records, (n, k) or (n,).

    Raises:
        DataRefused: too few records, in all or of a class.
    """
    model = spec.model
    if spec.task != "regression":
        return Post(calibration=() if model.calibration == "none" else _curves(spec, y, raw))
    if model.interval is None:
        return Post(target=model.target)
    predicted = raw.reshape(len(raw))
    errors = to_model_scale(model.target, y) - predicted
    return Post(
        target=model.target, interval=conformal(predicted, errors, model.interval.coverage, model.interval.bins)
    )


def conformal(predicted: Values, errors: Values, coverage: float, bins: int) -> Interval:
    """Errors between which the next one lies with at least this probability, a bin of the predicted value.

    Of n errors, the ceil((n + 1)(1 - alpha / 2))-th smallest and the same from the other end, alpha = 1 - coverage:
    then each side is missed by at most alpha / 2, if records can be exchanged. Bins hold equally many records;
    those too small for such an error join the next one.

    Source: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005), split (inductive) conformal
    prediction; a side each: Linusson, Johansson, Loefstroem, Signed-Error Conformal Regression (2014); by bins of the
    prediction (Mondrian): Bostroem, Johansson (2020).

    Args:
        predicted: (n,) values, in the model's scale.
        errors: (n,) truth minus value, in the same scale.
        coverage: above 0 and below 1.
        bins: at most so many.

    Raises:
        DataRefused: n is too small for the coverage.
    """
    alpha = round(1 - coverage, 12)
    least = math.ceil(round(2 / alpha, 9)) - 1
    if len(errors) < least:
        words = f"an interval of coverage {coverage:g} needs {least} records that the model had not seen, there are"
        raise DataRefused(
            f"training data: {words} {len(errors)}; widen train_from and train_until, or lower model.interval.coverage"
        )
    edges, groups = _binned(predicted, bins, least)
    sides = [_sides(errors[group], alpha) for group in groups]
    return Interval(coverage, edges, tuple(low for low, _ in sides), tuple(high for _, high in sides))


def _binned(predicted: Values, bins: int, least: int) -> tuple[tuple[float, ...], list[NDArray[np.intp]]]:
    """Upper edges of all bins but the last, and the places of the records in each; none has fewer than `least`."""
    cuts = np.unique(np.quantile(predicted, np.arange(1, bins) / bins, method="inverted_cdf")).tolist()
    edges: list[float] = []
    groups: list[NDArray[np.intp]] = []
    below = -math.inf
    for cut in [*cuts, math.inf]:
        inside = np.flatnonzero((predicted > below) & (predicted <= cut))
        if len(inside) >= least:
            groups.append(inside)
            edges.append(cut)
            below = cut
    edges.pop()  # the last bin is open; where too few were left above it, it takes them in
    groups[-1] = np.flatnonzero(predicted > (edges[-1] if edges else -math.inf))
    return tuple(edges), groups


def _sides(errors: Values, alpha: float) -> tuple[float, float]:
    n = len(errors)
    k = math.ceil(round((n + 1) * (1 - alpha / 2), 9))
    ordered = np.sort(errors)
    return float(ordered[n - k]), float(ordered[k - 1])


def _curves(spec: PipelineSpec, y: Values, raw: Values) -> tuple[Curve, ...]:
    for code, name in enumerate(classes_of(spec)):
        if (have := int((y == code).sum())) < MIN_PER_CLASS:
            words = (
                f"calibration learns from {len(y)} records, {have} of them of class {name}, {MIN_PER_CLASS} are needed"
            )
            raise DataRefused(
                f"training data: {words}; widen train_from and train_until, or take model.calibration away"
            )
    make = _sigmoid if spec.model.calibration == "sigmoid" else _isotonic
    columns = [positive_of(spec)] if spec.task == "binary" else range(raw.shape[1])
    return tuple(make(raw[:, j], y == j) for j in columns)


def _sigmoid(p: Values, came: NDArray[np.bool_]) -> Curve:
    """Source: Platt, Probabilistic Outputs for Support Vector Machines (1999), with his softened targets."""
    yes, no = int(came.sum()), int((~came).sum())
    aim = np.where(came, (yes + 1) / (yes + 2), 1 / (no + 2))
    z = logit(p)[:, None]
    truth = np.repeat([1, 0], len(p))
    fitted = LogisticRegression(C=np.inf, max_iter=1_000).fit(np.vstack([z, z]), truth, np.concatenate([aim, 1 - aim]))
    a, b = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    # A falling curve would turn the model's order round: then the share of all is the honest answer.
    return Curve(a=a, b=b) if a > 0 else Curve(a=0.0, b=float(logit(np.array([aim.mean()]))[0]))


def _isotonic(p: Values, came: NDArray[np.bool_]) -> Curve:
    """Source: Zadrozny, Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates (2002).

    It never says 0 or 1: n records cannot show more than 1 / (n + 2).
    """
    least = 1 / (len(p) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(p, came.astype(np.float64))
    return Curve(x=tuple(fitted.X_thresholds_.tolist()), y=tuple(fitted.y_thresholds_.tolist()))
