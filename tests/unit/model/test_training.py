"""From history to a bundle: every task and runtime, faithfully, and the same again from the same seed."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from services.retrainer.export import export
from services.retrainer.train import make_estimator, predict
from shared.core.bundle import GOLDEN, REFERENCE, Column, Golden
from shared.core.errors import UserError
from shared.core.reference import Reference, profile
from tests.support.bundles import make_kit
from tests.support.spec import make_spec

LINEAR = {
    "estimator": "sklearn.linear_model.LogisticRegression",
    "numeric": "standard",
    "category": "onehot",
    "impute": "median",
}
FOREST = {"estimator": "sklearn.ensemble.RandomForestClassifier", "parameters": {"n_estimators": 5, "max_depth": 4}}
RIDGE = {"estimator": "sklearn.linear_model.Ridge", "numeric": "standard", "category": "onehot", "impute": "mean"}
BOOSTED = {
    "estimator": "sklearn.ensemble.GradientBoostingRegressor",
    "parameters": {"n_estimators": 5},
    "impute": "median",
}


@pytest.mark.parametrize(
    ("task", "model", "runtimes"),
    [
        ("binary", LINEAR, {"onnx"}),
        ("multiclass", LINEAR, {"onnx"}),
        ("regression", RIDGE, {"onnx"}),
        ("multiclass", None, {"treelite"}),
        ("regression", None, {"treelite"}),
        ("binary", FOREST, {"onnx", "treelite", "sklearn"}),
        ("regression", BOOSTED, {"onnx", "treelite", "sklearn"}),
        ("binary", {"runtimes": ["sklearn"]} | LINEAR, {"sklearn"}),
    ],
)
def test_each_kind_of_model_trains_exports_and_loads(
    tmp_path: Path, task: str, model: dict[str, Any] | None, runtimes: set[str]
) -> None:
    """Whatever is declared: the chosen runtime reproduces scikit-learn, and a scorer loads the bundle."""
    spec = make_spec(task) if model is None else make_spec(task, model=model)
    kit = make_kit(tmp_path, task, spec)
    loaded = kit.store().get(kit.ref)
    assert loaded.manifest.runtime in runtimes
    assert loaded.manifest.parity <= spec.model.tolerance


def test_a_training_repeats(tmp_path: Path) -> None:
    """The same history and seed give the same golden scores, profile and figures."""
    one, two = make_kit(tmp_path / "1"), make_kit(tmp_path / "2")
    for name in (GOLDEN, REFERENCE):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert one.manifest().metrics == two.manifest().metrics
    assert one.manifest().metrics["auc"] > one.manifest().metrics["baseline_auc"] + 0.2


def test_golden_records_hold_no_personal_field(tmp_path: Path) -> None:
    """A declared personal field never enters a bundle; missing values do, so that they are tested too."""
    kit = make_kit(tmp_path)
    golden = msgspec.json.decode((kit.folder / GOLDEN).read_bytes(), type=Golden)
    records = [msgspec.json.decode(record) for record in golden.records]
    assert b"49 30" not in (kit.folder / GOLDEN).read_bytes()
    assert sum("stops" not in record for record in records) >= 16
    assert len(records) <= 64


def test_an_unfaithful_runtime_is_refused() -> None:
    """A forest that was fitted with missing values: what routes them elsewhere than scikit-learn does is not chosen."""
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(400, 3)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.3] = np.nan
    y = (np.isnan(matrix[:, 0]) ^ (np.nan_to_num(matrix[:, 1]) > 0)).astype(np.int64)
    forest = RandomForestClassifier(n_estimators=10, random_state=0).fit(matrix, y)
    made = export(
        forest, ("onnx", "treelite", "sklearn"), matrix, predict(forest, matrix), tolerance=1e-5, max_bytes=10**8
    )
    assert {tried.runtime for tried in made.tried if not tried.refused} >= {"sklearn"}
    assert all(tried.parity <= 1e-5 for tried in made.tried if not tried.refused)
    with pytest.raises(UserError, match="none of them reproduces scikit-learn"):
        export(forest, ("treelite",), matrix, predict(forest, matrix), tolerance=1e-5, max_bytes=10)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"estimator": "sklearn.ensemble.NoSuchForest"}, "there is no sklearn.ensemble.NoSuchForest"),
        ({"estimator": "sklearn.linear_model.Ridge"}, "not a classifier with probabilities"),
        ({"estimator": "sklearn.svm.LinearSVC"}, "not a classifier with probabilities"),
        ({"estimator": "sklearn.linear_model.LogisticRegression", "parameters": {"depth": 3}}, "model.parameters: "),
    ],
)
def test_a_wrong_estimator_is_named(model: dict[str, Any], words: str) -> None:
    """What the pipeline's file says wrongly of the model is one line with its key."""
    columns = (Column("weight", "numeric"), Column("stops", "numeric"), Column("carrier", "category", ("A", "B")))
    with pytest.raises(UserError, match=words):
        make_estimator(make_spec(model=model), columns)


def test_an_estimator_without_missing_values_says_what_to_declare(tmp_path: Path) -> None:
    """A linear model on features that may be missing fails with the remedy, not with a stack trace."""
    with pytest.raises(UserError, match=r"model.estimator: the training data is refused .*declare model.impute"):
        make_kit(tmp_path, spec=make_spec(model={"estimator": "sklearn.linear_model.LogisticRegression"}))


def test_the_profile_counts_every_record(tmp_path: Path) -> None:
    """Each feature's counts and missing add up to all records, in at most ten bins."""
    kit = make_kit(tmp_path)
    reference = msgspec.json.decode((kit.folder / REFERENCE).read_bytes(), type=Reference)
    assert list(reference.features) == ["weight", "stops", "carrier", "wind"]
    for feature in reference.features.values():
        assert sum(feature.counts) + feature.missing == reference.n
        assert len(feature.counts) <= 10
    assert sum(reference.base_rate) == pytest.approx(1.0)
    empty = profile((Column("x", "numeric"),), np.full((3, 1), np.nan, dtype=np.float32), [0.5] * 3, [1.0])
    assert (empty.features["x"].counts, empty.features["x"].missing) == ((0,), 3)
