"""Contributions of features: they add up to what the estimator says, whatever it is, and are what they should be."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from services.retrainer.train import fit, make_estimator
from shared.core.bundle import Column
from shared.core.errors import UserError
from shared.core.features import Floats
from tailrace.why.contributions import contributions
from tailrace.why.terms import Contributions
from tailrace.why.trees import trees_of
from tests.support.spec import make_spec

SEED = 20_261_121
N, PLAIN = 600, ("weight", "stops", "wind")
COLUMNS = (
    Column("weight", "numeric"),
    Column("stops", "numeric"),
    Column("carrier", "category", tuple("ABCDEFGH")),
    Column("wind", "numeric"),
)
NAMES = [column.name for column in COLUMNS]
HGB = "sklearn.ensemble.HistGradientBoosting"


def made_up(task: str, *, missing: bool) -> tuple[Floats, NDArray[np.float64]]:
    """Records whose truth hangs on all columns, on the categories without order; and what came true."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    matrix = rng.normal(size=(N, 4)).astype(np.float32)
    matrix[:, 2] = rng.integers(0, 8, N)
    value = matrix[:, 0] + 2.0 * np.isin(matrix[:, 2], [1, 4, 6]) + 0.5 * matrix[:, 3] * matrix[:, 1]
    if missing:
        matrix[rng.random(matrix.shape) < 0.1] = np.nan
    value = value + rng.normal(size=N)
    if task == "regression":
        return matrix, np.abs(value) + 0.1
    return matrix, np.digitize(value, [0.5] if task == "binary" else [0.0, 1.5]).astype(np.float64)


def trained(estimator: str, task: str, *, missing: bool = False, **model: Any) -> tuple[Any, Floats]:
    """What training makes of it with our own preparation, and the matrix."""
    matrix, y = made_up(task, missing=missing)
    parameters = model.pop("parameters", {})
    spec = make_spec(task, model={"estimator": estimator, "parameters": parameters, **model})
    return fit(make_estimator(spec, COLUMNS), matrix, y, seed=1), matrix


def parts_of(estimator: Any, matrix: Floats, row: int, place: int) -> Contributions:
    """Of one row; the first 64 stand for golden records."""
    return contributions(estimator, NAMES, matrix[row : row + 1], matrix[:64], place)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of histogram boosting wait for each other by spinning."""
    with threadpool_limits(1):
        yield


PREPARED = {"numeric": "standard", "category": "onehot", "impute": "median"}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("prepared", [{}, PREPARED], ids=["bare", "prepared"])
def test_a_logistic_regression_is_taken_apart_exactly(place: int, prepared: dict[str, str]) -> None:
    """Base and contributions are its log odds of either class, through scaling, imputation and one-hot."""
    estimator, matrix = trained("sklearn.linear_model.LogisticRegression", "binary", missing=bool(prepared), **prepared)
    for row in range(20):
        found = parts_of(estimator, matrix, row, place)
        shares = estimator.predict_proba(matrix[row : row + 1].astype(np.float64))[0]
        assert ("linear", "log odds", True) == (found.method, found.scale, found.exact)
        assert np.log(shares[place] / shares[1 - place]) == pytest.approx(found.total, abs=1e-9)


def test_a_linear_contribution_is_the_coefficient_times_the_distance_from_the_mean() -> None:
    """By hand: of standardised columns the mean is the training's; of a category, its own column against all shares."""
    estimator, matrix = trained("sklearn.linear_model.Ridge", "regression", numeric="standard", category="onehot")
    model, scaler = estimator.steps[-1][1], estimator.steps[0][1].transformers_[0][1].named_steps["scale"]

    found = parts_of(estimator, matrix, 7, 0)

    by_hand = model.coef_[0] * (float(matrix[7, 0]) - scaler.mean_[0]) / scaler.scale_[0]
    assert by_hand == pytest.approx(found.parts["weight"], abs=1e-6)
    code = int(matrix[7, 2])
    shares = np.bincount(matrix[:64, 2].astype(int), minlength=8) / 64
    assert model.coef_[3 + code] - model.coef_[3:] @ shares == pytest.approx(found.parts["carrier"], abs=1e-9)
    assert list(found.parts) == NAMES


@pytest.mark.parametrize(
    ("model", "task", "scale"),
    [
        (LogisticRegression(), "multiclass", "log share of the class"),
        (SGDClassifier(loss="modified_huber", random_state=1), "binary", "decision value"),
        (SGDClassifier(loss="log_loss", random_state=1), "binary", "log odds"),
        (LinearRegression(), "regression", "value"),
        (Ridge(), "regression", "value"),
        (PoissonRegressor(), "regression", "log of the value"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_linear_models_of_every_kind_add_up(model: Any, task: str, scale: str) -> None:
    """Of every class, and through a logarithm where the model has one."""
    matrix, y = made_up(task, missing=False)
    model.fit(matrix, y)
    for row in range(5):
        for place in range(len(getattr(model, "classes_", [0]))):
            found = parts_of(model, matrix, row, place)
            assert (scale, True) == (found.scale, found.exact), found


TREES = [
    (RandomForestClassifier(20, max_depth=6, random_state=1), "binary", True, "probability"),
    (RandomForestClassifier(20, max_depth=6, random_state=1), "multiclass", False, "probability"),
    (RandomForestRegressor(20, max_depth=6, random_state=1), "regression", True, "value"),
    (ExtraTreesRegressor(20, max_depth=6, random_state=1), "regression", False, "value"),
    (DecisionTreeClassifier(max_depth=5, random_state=1), "binary", True, "probability"),
    (GradientBoostingClassifier(n_estimators=20, random_state=1), "binary", False, "log odds"),
    (GradientBoostingClassifier(n_estimators=10, random_state=1), "multiclass", False, "log share of the class"),
    (GradientBoostingRegressor(n_estimators=20, random_state=1), "regression", False, "value"),
    (HistGradientBoostingClassifier(max_iter=20, random_state=1), "binary", True, "log odds"),
    (
        HistGradientBoostingClassifier(max_iter=20, random_state=1, categorical_features=[2]),
        "binary",
        True,
        "log odds",
    ),
    (
        HistGradientBoostingClassifier(max_iter=10, random_state=1, categorical_features=[2]),
        "multiclass",
        True,
        "log share of the class",
    ),
    (HistGradientBoostingRegressor(max_iter=20, random_state=1, categorical_features=[2]), "regression", True, "value"),
    (
        HistGradientBoostingRegressor(max_iter=20, random_state=1, loss="poisson", categorical_features=[1, 2]),
        "regression",
        False,
        "log of the value",
    ),
]


@pytest.mark.parametrize(("model", "task", "missing", "scale"), TREES, ids=lambda v: getattr(type(v), "__name__", v))
def test_trees_of_every_kind_add_up(model: Any, task: str, missing: bool, scale: str) -> None:  # noqa: FBT001 - a table
    """Missing values and categories included; a number that no category of the training has goes where missing go."""
    matrix, y = made_up(task, missing=missing)
    if getattr(model, "categorical_features", None) == [1, 2]:
        matrix[:, 1] = np.digitize(matrix[:, 1], [-1.0, 0.0, 1.0])
    model.fit(matrix, y)
    strange = matrix[:1].copy()
    strange[0, 2] = 23.0
    for row in (*(matrix[i : i + 1] for i in range(3)), strange):
        for place in range(len(getattr(model, "classes_", [0]))):
            found = contributions(model, NAMES, row, matrix[:64], place)
            assert ("trees", scale, True) == (found.method, found.scale, found.exact), found
            assert abs(found.total - found.raw) < 1e-9


def by_definition(trees: Sequence[Any], columns: int) -> NDArray[np.float64]:
    """Shapley's sum over all subsets of columns, a tree's answer without some of them being the mean over both ways."""

    def answer(tree: Any, known: int, at: int = 0) -> float:
        if tree.left[at] < 0:
            return float(tree.values[at])
        left, right = tree.left[at], tree.right[at]
        if known >> int(tree.column[at]) & 1:
            return answer(tree, known, left if tree.goes_left[at] else right)
        share = tree.cover[left] / (tree.cover[left] + tree.cover[right])
        return float(share * answer(tree, known, left) + (1 - share) * answer(tree, known, right))

    worth = [sum(answer(tree, known) for tree in trees) for known in range(1 << columns)]
    factorial = [1, 1, 2, 6, 24]
    found = np.zeros(columns)
    for known in range(1 << columns):
        size = known.bit_count()
        for column in range(columns):
            if not known >> column & 1:
                weight = factorial[size] * factorial[columns - size - 1] / factorial[columns]
                found[column] += weight * (worth[known | 1 << column] - worth[known])
    return found


def test_what_trees_give_is_shapleys_sum_over_all_subsets() -> None:
    """Not only the total is right: each share is, where there are categories and missing values, by the definition."""
    estimator, matrix = trained(
        HGB + "Classifier", "binary", missing=True, parameters={"max_iter": 8, "early_stopping": False}
    )
    order = [2, 0, 1, 3]  # categories come first in its trees
    for row in range(3):
        found = parts_of(estimator, matrix, row, 1)
        shares = by_definition(list(trees_of(estimator, matrix[row].astype(np.float64), 1)), 4)
        assert [found.parts[NAMES[j]] for j in order] == pytest.approx(shares.tolist(), abs=1e-9)


@pytest.mark.parametrize(
    "model",
    [{"category": "onehot", "impute": "median"}, {"numeric": "standard", "impute": "mean"}],
    ids=["onehot", "ordinal"],
)
def test_a_prepared_forest_and_a_prepared_histogram_give_their_features_back(model: dict[str, str]) -> None:
    """Columns that preparation made, moved or multiplied are told by the feature that they came from."""
    for estimator in ("sklearn.ensemble.RandomForestClassifier", HGB + "Classifier"):
        fitted, matrix = trained(estimator, "binary", missing=True, **model)
        found = parts_of(fitted, matrix, 3, 1)
        assert (NAMES, True) == (list(found.parts), found.exact), estimator
        assert max(abs(found.parts[name]) for name in ("weight", "carrier")) > abs(found.parts["stops"])


@pytest.mark.parametrize("model", [IsolationForest(n_estimators=10, random_state=1), MLPClassifier((4,), max_iter=200)])
def test_what_cannot_be_taken_apart_exactly_is_refused(model: Any) -> None:
    """No number that is nearly right: it says that there is no exact way."""
    matrix, y = made_up("binary", missing=False)
    model.fit(matrix, y)
    with pytest.raises(UserError, match="no exact way"):
        contributions(model, NAMES, matrix[:1], matrix[:64], 0)


def test_contributions_that_do_not_add_up_say_so() -> None:
    """An estimator whose answer is not what its weights make is shown as it is: not exact."""

    class Odd(Ridge):  # type: ignore[misc] # scikit-learn has no types
        def predict(self, matrix: Any) -> Any:
            """A little more than it should."""
            return super().predict(matrix) + 2e-6

    matrix, y = made_up("regression", missing=False)
    found = parts_of(Odd().fit(matrix, y), matrix, 0, 0)
    assert not found.exact
    assert found.raw - found.total == pytest.approx(2e-6, abs=1e-9)
