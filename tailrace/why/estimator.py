"""The scikit-learn estimator of a version: out of its bundle, or out of the MLflow run that made it."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from shared.core.bundle import MODEL_FILES
from shared.core.errors import UserError
from shared.core.features import Floats
from shared.runtime.settings import MlflowSettings, read_secret
from tailrace.why.bundle import Bundle


def estimator_of(bundle: Bundle, mlflow: MlflowSettings) -> Any:
    """The estimator; a bundle has it only where scikit-learn scores, so the run is asked otherwise.

    What comes is read like any model: nothing is built of a type that our list does not have.

    Raises:
        ModelRefused: it is no model that may be loaded.
        Unavailable: MLflow does not answer.
        UserError: the version has no run.
    """
    from shared.adapters.skops import load_estimator  # noqa: PLC0415 - scikit-learn takes a second

    if bundle.manifest.runtime == "sklearn":
        return load_estimator(bundle.folder / MODEL_FILES["sklearn"])
    if not bundle.manifest.run_id:
        raise UserError(
            f"version {bundle.manifest.version} has no run in MLflow, and its bundle no estimator",
            remedy="register versions by `tailrace train` without --out",
        )
    from shared.adapters.mlflow_models import Registry  # noqa: PLC0415 - takes seconds

    file = mlflow.password_file
    password = read_secret(file, setting="TAILRACE_MLFLOW__PASSWORD_FILE") if file else ""
    with tempfile.TemporaryDirectory(prefix="tailrace-why-") as beside:
        registry = Registry(mlflow.url, mlflow.username, password)
        return load_estimator(registry.model_file(bundle.manifest.run_id, Path(beside)))


def differs(estimator: Any, bundle: Bundle, matrix: Floats) -> float | None:
    """By how much an estimator answers otherwise than the bundle's own model does; None: not beyond its tolerance."""
    from shared.core.golden import as_columns, difference  # noqa: PLC0415 - beside its only use

    ask = getattr(estimator, "predict_proba", estimator.predict)
    mine = as_columns(np.asarray(ask(matrix), dtype=np.float64), len(matrix))
    found = difference(mine, as_columns(bundle.raw(matrix), len(matrix)))
    return found if found > max(bundle.manifest.tolerance, 1e-12) else None
