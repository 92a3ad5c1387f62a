"""Forests of the kind that the original systems have: bare, with codes of categories and missing values as they are."""

from pathlib import Path

import numpy as np
import pytest

from services.retrainer.export import export
from services.retrainer.train import fit, make_estimator, predict
from shared.adapters import skops
from shared.core.bundle import MODEL_FILES, Column
from tests.support.spec import make_spec

SEED = 5
COLUMNS = (
    *(Column(name, "numeric") for name in ("weight", "stops", "wind")),
    Column("carrier", "category", ("A", "B", "C", "D")),
)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    ("task", "name", "parameters"),
    [
        ("multiclass", "ensemble.RandomForestClassifier", {"n_estimators": 40, "max_depth": 15}),
        ("regression", "ensemble.RandomForestRegressor", {"n_estimators": 20, "max_depth": 12}),
        ("regression", "ensemble.HistGradientBoostingRegressor", {"max_iter": 20}),
        ("binary", "ensemble.ExtraTreesClassifier", {"n_estimators": 20, "max_depth": 12}),
    ],
)
def test_a_forest_takes_missing_values_and_codes(
    tmp_path: Path, task: str, name: str, parameters: dict[str, int], *, missing: bool
) -> None:
    """Nothing is put before it, treelite repeats it to 1e-5 with NaN as well, and scikit-learn's own file does too."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    matrix = rng.normal(size=(600, 4)).astype(np.float32)
    matrix[:, 3] = rng.integers(0, 4, size=600)
    value = matrix[:, 0] + (matrix[:, 3] == 1)
    if missing:
        matrix[rng.random(matrix.shape) < 0.2] = np.nan
    spec = make_spec(task, model={"estimator": f"sklearn.{name}", "parameters": parameters})
    k = len(spec.labels.classes)
    y = np.digitize(value, np.linspace(-0.5, 1, k - 1)).astype(float) if k else value.astype(float)
    estimator = make_estimator(spec, COLUMNS)
    assert type(estimator).__name__ == name.rpartition(".")[2]
    fitted = fit(estimator, matrix, y, seed=SEED)
    probes = np.where(rng.random((200, 4)) < 0.2, np.float32("nan"), matrix[:200]).astype(np.float32)
    expected = predict(fitted, probes)
    made = export(fitted, ("treelite", "sklearn"), probes, expected, tolerance=1e-5, max_bytes=10**8)
    assert {tried.runtime: tried.refused for tried in made.tried} == {"treelite": "", "sklearn": ""}
    path = tmp_path / MODEL_FILES["sklearn"]
    path.write_bytes(next(tried.content for tried in made.tried if tried.runtime == "sklearn"))
    assert np.array_equal(skops.load(path).predict(probes), expected)
