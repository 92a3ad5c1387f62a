"""Trees as plain arrays, with the way that one row takes through them: what exact contributions need, and no more.

Path-dependent SHAP values (Lundberg et al. 2020, Nature Machine Intelligence 2, algorithm 2) depend on a row only by
which way it goes at each node. So that is worked out here by the model's own rules, missing values and categories
included, and given to shap as a threshold that is met or not: shap's own reading of HistGradientBoosting takes
categories for numbers, and is wrong by whole units where there are any.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.why.columns import Floats

_BITS = 32


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree, m nodes: children (-1: none), the column it asks of (-1: a leaf), and whether the row goes left.

    `values` are what leaves add to the raw score, `cover` how many of the training's records came through.
    """

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    column: NDArray[np.intp]
    goes_left: NDArray[np.bool_]
    values: Floats
    cover: Floats

    def answer(self) -> float:
        """What the row's leaf adds."""
        at = 0
        while self.left[at] >= 0:
            at = int(self.left[at] if self.goes_left[at] else self.right[at])
        return float(self.values[at])


def is_of_trees(model: Any) -> bool:
    """Whether its raw score is a sum over trees that `trees_of` can read."""
    if hasattr(model, "_predictors") or hasattr(model, "tree_"):
        return True
    return _is_forest(model) or _is_boosted(model)


def trees_of(model: Any, row: Floats, place: int) -> Iterator[Tree]:
    """The trees whose leaves add up to the raw score of a class (of a regression: the value), but for a constant.

    Args:
        model: a tree, forest, or gradient boosting of either kind, fitted.
        row: (t,), the model's own columns.
        place: the class; of two classes boosted trees are those of the second.
    """
    single = row.astype(np.float32)  # what scikit-learn's own trees compare
    if hasattr(model, "_predictors"):
        row = _encoded(model, row)
        known = _known(model)
        for stage in model._predictors:  # noqa: SLF001 - the only place where its trees are
            yield _histogram(stage[place if len(stage) > 1 else 0], row, known, _sign(len(stage), place, model))
    elif hasattr(model, "tree_"):
        yield _plain(model.tree_, single, 1.0, _shares(model, place))
    elif _is_boosted(model):
        for stage in model.estimators_:
            tree = stage[place if len(stage) > 1 else 0].tree_
            yield _plain(tree, single, model.learning_rate * _sign(len(stage), place, model), None)
    else:
        for one in model.estimators_:
            yield _plain(one.tree_, single, 1.0 / len(model.estimators_), _shares(model, place))


def origin_of(model: Any, columns: int) -> NDArray[np.intp]:
    """The column of the matrix that each column of the trees is: histogram boosting puts categories first."""
    if getattr(model, "_preprocessor", None) is None:
        return np.arange(columns)
    categorical = np.asarray(model.is_categorical_)
    return np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])


def _is_forest(model: Any) -> bool:
    trees = getattr(model, "estimators_", None)
    return isinstance(trees, list) and all(hasattr(one, "tree_") for one in trees) and hasattr(model, "bootstrap") and (
        not hasattr(model, "score_samples")  # an isolation forest's score is no sum
    )  # fmt: skip


def _is_boosted(model: Any) -> bool:
    return isinstance(getattr(model, "estimators_", None), np.ndarray) and hasattr(model, "init_")


def _sign(trees: int, place: int, model: Any) -> float:
    return -1.0 if trees == 1 and place == 0 and hasattr(model, "classes_") else 1.0


def _shares(model: Any, place: int) -> int | None:
    return place if hasattr(model, "classes_") else None


def _plain(tree: Any, row: NDArray[np.float32], weight: float, share: int | None) -> Tree:
    """A tree of scikit-learn; `share`: its leaves hold weights of classes, of which this one's share counts."""
    asked = np.maximum(tree.feature, 0)
    value = row[asked]
    with np.errstate(invalid="ignore"):
        goes_left = np.where(np.isnan(value), tree.missing_go_to_left.astype(np.bool_), value <= tree.threshold)
    values = tree.value[:, 0, :]
    out = values[:, 0] if share is None else values[:, share] / values.sum(axis=1)
    leaf = tree.children_left < 0
    return Tree(
        tree.children_left.astype(np.intp),
        tree.children_right.astype(np.intp),
        np.where(leaf, -1, asked).astype(np.intp),
        goes_left,
        weight * out.astype(np.float64),
        tree.weighted_n_node_samples.astype(np.float64),
    )


def _encoded(model: Any, row: Floats) -> Floats:
    """The row as histogram boosting's trees see it: categories first, as their codes; unknown ones are NaN."""
    prepare = getattr(model, "_preprocessor", None)
    return row if prepare is None else np.asarray(prepare.transform(row.reshape(1, -1)), dtype=np.float64)[0]


def _known(model: Any) -> dict[int, NDArray[Any]]:
    """The codes, by categorical column, that training had seen, as bits."""
    if getattr(model, "is_categorical_", None) is None:
        return {}
    bits, places = model._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001 - as its own prediction does
    count = int(np.asarray(model.is_categorical_).sum())
    return {column: bits[places[column]] for column in range(count)}


def _histogram(tree: Any, row: Floats, known: dict[int, NDArray[Any]], weight: float) -> Tree:
    nodes = tree.nodes
    leaf = nodes["is_leaf"].astype(np.bool_)
    asked = nodes["feature_idx"].astype(np.intp)
    value = row[asked]
    missing = np.isnan(value)
    with np.errstate(invalid="ignore"):
        goes_left = value <= nodes["num_threshold"]
    for i in np.flatnonzero(nodes["is_categorical"].astype(np.bool_) & ~missing & ~leaf).tolist():
        code = int(value[i])
        goes_left[i] = _has(tree.raw_left_cat_bitsets[int(nodes["bitset_idx"][i])], code)
        missing[i] = not goes_left[i] and not _has(known[int(asked[i])], code)
    goes_left = np.where(missing, nodes["missing_go_to_left"].astype(np.bool_), goes_left)
    return Tree(
        np.where(leaf, -1, nodes["left"].astype(np.intp)),
        np.where(leaf, -1, nodes["right"].astype(np.intp)),
        np.where(leaf, -1, asked),
        goes_left,
        weight * nodes["value"].astype(np.float64),
        nodes["count"].astype(np.float64),
    )


def _has(bits: NDArray[Any], code: int) -> bool:
    return code >= 0 and bool(int(bits[code // _BITS]) >> code % _BITS & 1)
