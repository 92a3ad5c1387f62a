"""What each feature adds to one answer, and whether it adds up."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.answering import Target
from shared.core.errors import UserError
from tailrace.why.columns import Columns, Floats, columns_of, summed, taken_apart
from tailrace.why.linear import is_linear, linear
from tailrace.why.raw import raw_scores, scale_of
from tailrace.why.terms import Contributions
from tailrace.why.trees import Tree, is_of_trees, origin_of, trees_of

TOLERANCE = 1e-6


def contributions(
    estimator: Any, names: Sequence[str], row: NDArray[Any], usual: NDArray[Any], place: int, target: Target = "none"
) -> Contributions:
    """Take one raw score apart.

    Args:
        estimator: scikit-learn's, fitted, with the preparation that training gave it.
        names: of the d features, in the matrix's order.
        row: (1, d), the matrix of the one record.
        usual: (n, d), golden records: what the contributions of a linear model are measured from.
        place: the class that is explained (its column of probabilities); of a regression 0.
        target: what of the target the model learned; only its name is used.

    Raises:
        UserError: no exact way is known for this kind of model.
    """
    prepare, model = taken_apart(estimator)
    if not (is_linear(model) or is_of_trees(model)):
        raise UserError(
            f"{type(model).__name__}: no exact way is known to share its scores out to features",
            remedy="leave out --contributions",
        )
    if is_linear(model):  # in 32 bits it would be off by more than it has to be; trees ask in 32 bits
        row, usual = row.astype(np.float64), usual.astype(np.float64)
    seen, scale = columns_of(prepare, row), scale_of(estimator, model, target)
    raw = float(raw_scores(estimator, row, place)[0])
    if is_linear(model):
        base, parts = linear(model, seen, columns_of(prepare, usual), place, len(names))
    else:
        base, shares = by_trees(list(trees_of(model, seen.values[0], place)), seen.values.shape[1])
        base += _constant(estimator, prepare, usual, place)
        parts = summed(seen.origin[origin_of(model, len(shares))], shares, len(names))
    total = base + float(parts.sum())
    said = dict(zip(names, parts.tolist(), strict=True))
    exact = abs(total - raw) <= TOLERANCE
    return Contributions("linear" if is_linear(model) else "trees", scale, base, said, total, raw, exact)


def by_trees(trees: Sequence[Tree], columns: int) -> tuple[float, Floats]:
    """The mean answer of trees over the training's records, and what each column of one row adds to it.

    Args:
        trees: with the row's way through each.
        columns: how many there are.
    """
    import shap  # noqa: PLC0415 - takes seconds, and only trees need it

    grown = [tree for tree in trees if tree.left[0] >= 0]
    base = sum(float(tree.values[0]) for tree in trees if tree.left[0] < 0)  # a root alone says the same of all
    if not grown:
        return base, np.zeros(columns)
    explainer = shap.TreeExplainer(
        {"trees": [_for_shap(tree) for tree in grown]}, feature_perturbation="tree_path_dependent"
    )
    found = explainer.shap_values(np.zeros((1, columns)), check_additivity=False)
    return base + float(np.ravel(explainer.expected_value)[0]), np.asarray(found, dtype=np.float64).reshape(columns)


def _constant(estimator: Any, prepare: Any, usual: NDArray[Any], place: int) -> float:
    """What a raw score has beside its trees: the same for every record, so taken from another one."""
    _, model = taken_apart(estimator)
    other = usual[:1]
    columns: Columns = columns_of(prepare, other)
    trees = trees_of(model, columns.values[0], place)
    return float(raw_scores(estimator, other, place)[0]) - sum(tree.answer() for tree in trees)


def _for_shap(tree: Tree) -> dict[str, Any]:
    """A row of zeros goes the row's way: below a threshold of 1, above one of -1."""
    leaf = tree.left < 0
    return {
        "children_left": tree.left.astype(np.int64),
        "children_right": tree.right.astype(np.int64),
        "children_default": tree.left.astype(np.int64),
        "features": np.where(leaf, -2, tree.column).astype(np.int64),
        "thresholds": np.where(tree.goes_left, 1.0, -1.0),
        "values": tree.values.reshape(-1, 1),
        "node_sample_weight": tree.cover,
    }
