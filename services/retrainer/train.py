"""Fitting the declared estimator: preparation of columns, the holdout's figures, and the final fit on everything."""

import inspect
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from services.retrainer.unlabelled import is_unusualness
from shared.core.answering import Target, to_model_scale
from shared.core.bundle import Column
from shared.core.errors import UserError
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec

Targets = NDArray[np.float64]
_MAX_CATEGORIES = 255  # of HistGradientBoosting


def make_estimator(spec: PipelineSpec, columns: tuple[Column, ...]) -> Any:
    """The unfitted estimator with the preparation that the pipeline declares.

    Raises:
        UserError: no such class, of another task, or it refuses a parameter; names the key.
    """
    model = construct(spec)
    categories = [j for j, column in enumerate(columns) if column.kind == "category"]
    native = "categorical_features" in model.get_params()
    if native and not _prepared(spec):
        _check_sizes(spec, columns)
        # Bare: it takes missing values and codes as they are, and only the bare one converts to treelite.
        return model.set_params(categorical_features=categories or None)
    if not _prepared(spec):
        # Bare as well: codes of categories and missing values go in as they are, and trees convert to treelite.
        return model
    numbers = [j for j, column in enumerate(columns) if column.kind == "numeric"]
    parts = [("numeric", _numeric(spec), numbers)] if numbers else []
    if categories:
        parts.append(("category", _category(spec, [columns[j] for j in categories]), categories))
    if native and spec.model.category == "ordinal" and categories:
        model.set_params(categorical_features=list(range(len(numbers), len(columns))))
    return Pipeline([("prepare", ColumnTransformer(parts)), ("model", model)])


def fit(estimator: Any, matrix: Floats, y: Targets, *, seed: int, target: Target = "none") -> Any:
    """A fitted copy.

    Args:
        estimator: as made above; left as it is.
        matrix: float32 (n, d), exactly as at scoring.
        y: (n,) class codes, or values in the target's own unit.
        seed: of every random choice.
        target: what of the target is learned; `predict` gives it in the same scale.

    Raises:
        UserError: the estimator refuses the data; says why and what to declare.
    """
    fitted = clone(estimator)
    seeds = {name: seed for name in fitted.get_params() if name.rpartition("__")[2] == "random_state"}
    fitted.set_params(**{name: value for name, value in seeds.items() if fitted.get_params()[name] is None})
    aim: Any = None if is_unusualness(fitted) else to_model_scale(target, y)
    if is_classifier(fitted):
        aim = y.astype(np.int64)
    with warnings.catch_warnings(), threadpool_limits(_threads()):
        warnings.simplefilter("ignore")  # convergence is judged by the holdout, not by a line on the screen
        try:
            return fitted.fit(matrix, aim)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            if "parameter of" in reason:
                raise UserError(f"model.parameters: {reason.removesuffix('.')}", remedy="mend its value") from None
            remedy = "declare model.impute, or a default, for features that may be missing"
            if "NaN" not in reason:
                remedy = "check model.parameters and the data"
            raise UserError(f"model.estimator: the training data is refused ({reason})", remedy=remedy) from None


def predict(fitted: Any, matrix: Floats) -> NDArray[np.float64]:
    """scikit-learn's own answer in the shape of `Runtime.predict`."""
    return np.asarray(method_of(fitted)(matrix), dtype=np.float64)


def method_of(fitted: Any) -> Callable[[Floats], Any]:
    """What answers: probabilities, values, or how unusual a record is (0 to 1)."""
    if is_unusualness(fitted):
        return lambda matrix: -fitted.score_samples(matrix)
    return fitted.predict_proba if is_classifier(fitted) else fitted.predict  # type: ignore[no-any-return] # scikit-learn has no types


def construct(spec: PipelineSpec) -> Any:
    """The bare estimator with its declared parameters.

    Raises:
        UserError: no such class, of another task, or it refuses a parameter; names the key.
    """
    path = spec.model.estimator
    module, _, name = path.rpartition(".")
    if not path.startswith("sklearn."):
        raise UserError(
            f"model.estimator: {path} is not of scikit-learn", remedy="name a class such as sklearn.ensemble.X"
        )
    try:
        model = getattr(import_module(module), name)(**spec.model.parameters)
    except (ImportError, AttributeError):
        raise UserError(f"model.estimator: there is no {path}", remedy="check the import path") from None
    except TypeError as error:
        raise UserError(f"model.parameters: {name} refuses them ({error})", remedy="check the names") from None
    if inspect.isabstract(model) or not hasattr(model, "fit"):
        raise UserError(f"model.estimator: {path} is no estimator", remedy="name a classifier or regressor")
    if is_classifier(model) != (spec.task != "regression") or (is_classifier(model) and not _has_proba(model)):
        wanted = "regressor" if spec.task == "regression" else "classifier with probabilities"
        raise UserError(f"model.estimator: {path} is not a {wanted}", remedy=f"task is {spec.task}; name another")
    return model


def _threads() -> int:
    """Threads for a fit: as many as cores are idle, and no more than are allowed already.

    Those of histogram boosting wait for each other at every split by spinning: on cores that others use too, two
    were ten times slower than one.
    """
    allowed = max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)
    return max(1, min(allowed, len(os.sched_getaffinity(0)) - round(os.getloadavg()[0])))


def _prepared(spec: PipelineSpec) -> bool:
    model = spec.model
    return model.numeric != "none" or model.impute != "none" or model.category == "onehot"


def _has_proba(model: Any) -> bool:
    return hasattr(model, "predict_proba")


def _check_sizes(spec: PipelineSpec, columns: tuple[Column, ...]) -> None:
    for column in columns:
        if len(column.categories) > _MAX_CATEGORIES:
            raise UserError(
                f"features: {column.name} has {len(column.categories)} categories, {spec.model.estimator} takes "
                f"{_MAX_CATEGORIES}",
                remedy="declare fewer in its categories, or set model.category to onehot",
            )


def _numeric(spec: PipelineSpec) -> Any:
    steps: list[tuple[str, Any]] = []
    if spec.model.impute != "none":
        steps.append(("impute", SimpleImputer(strategy=spec.model.impute, keep_empty_features=True)))
    if spec.model.numeric == "standard":
        steps.append(("scale", StandardScaler()))
    return Pipeline(steps) if steps else "passthrough"


def _category(spec: PipelineSpec, columns: list[Column]) -> Any:
    # A category that is missing or unseen is NaN: no column of one-hot, code -1 (not NaN) for an estimator that
    # would refuse NaN.
    fill = SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True)
    if spec.model.category == "ordinal":
        return "passthrough" if spec.model.impute == "none" else fill
    codes = [np.arange(len(column.categories), dtype=np.float32) for column in columns]
    onehot = OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    return Pipeline([("fill", fill), ("onehot", onehot)])
