"""Figures against formulas written out anew, and against scikit-learn's where it has the same."""

import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, root_mean_squared_log_error

from services.retrainer.scores import calibration_error, evaluate, figures
from shared.core.quality import FIGURES
from tests.support.spec import make_spec

SEED = 11


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_figure_of_a_model_is_measured(task: str) -> None:
    """Each name that the pipeline's file may use for the task is there, for ours and for the trivial answer."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    spec = make_spec(task)
    k = len(spec.labels.classes)
    y = rng.integers(0, k, 200).astype(float) if k else rng.gamma(2, size=200)
    scores = rng.dirichlet(np.ones(k), 200) if k else rng.gamma(2, size=200)
    band = None if k else (scores - 1, scores + 1)
    found = evaluate(spec, y, scores, y, band)
    wanted = {name for name, figure in FIGURES.items() if spec.task in figure.tasks and figure.by_model}
    assert wanted <= set(found)
    assert {f"baseline_{name}" for name in wanted - {"coverage"}} <= set(found)
    assert all(map(math.isfinite, found.values()))


def test_the_figures_of_classes() -> None:
    """Balanced accuracy and the calibration error, each as written out for six records."""
    spec = make_spec("multiclass")
    y = np.array([0, 0, 0, 1, 1, 2], dtype=float)
    scores = np.array(
        [[0.9, 0.1, 0], [0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.6, 0.4, 0], [0, 0.35, 0.65]]
    )
    found = figures(spec, y, scores)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, scores.argmax(axis=1)))
    # Bins of the top probability: .6 wrong, .6 wrong, .65 right; .7 right; .8 right; .9 right.
    expected = (3 * abs((0.6 + 0.6 + 0.65) / 3 - 1 / 3) + abs(0.7 - 1) + abs(0.8 - 1) + abs(0.9 - 1)) / 6
    assert found["ece"] == pytest.approx(expected)


def test_the_calibration_error_bin_by_bin() -> None:
    """The same as a loop over ten bins, 1 being in the last; none for probabilities that come true as often as said."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    p = np.append(rng.random(5_000), [0.0, 1.0])
    came = rng.random(len(p)) < p**2
    expected = 0.0
    for i in range(10):
        inside = (p >= i / 10) & ((p < (i + 1) / 10) | (i == 9))
        expected += inside.sum() / len(p) * abs(p[inside].mean() - came[inside].mean())
    assert calibration_error(p, came) == pytest.approx(expected)
    assert calibration_error(p, rng.random(len(p)) < p) < 0.03


def test_the_figures_of_values() -> None:
    """Coverage with its ends, within 15 % of the truth, and the logarithmic error as scikit-learn has it."""
    y = np.array([10.0, 20.0, 30.0, 0.0])
    predicted = np.array([11.5, 16.9, 30.0, 0.1])
    low, high = np.array([10.0, 16.0, 31.0, -1.0]), np.array([12.0, 20.0, 32.0, 1.0])
    found = figures(make_spec("regression"), y, predicted, (low, high))
    assert (found["coverage"], found["interval_width"]) == (0.75, (2 + 4 + 1 + 2) / 4)
    assert found["within_15"] == 0.5
    assert found["rmsle"] == pytest.approx(root_mean_squared_log_error(y, predicted))


def test_what_cannot_be_said_is_left_out() -> None:
    """No area with one class, no logarithm at or below -1, no coverage without intervals; the rest is there."""
    one = figures(make_spec(), np.ones(5), np.tile([0.4, 0.6], (5, 1)))
    assert "auc" not in one
    assert one["balanced_accuracy"] == 1.0
    below = figures(make_spec("regression"), np.array([1.0, -1.0]), np.array([1.0, 2.0]))
    assert not {"rmsle", "coverage"} & set(below)
