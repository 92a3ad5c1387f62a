"""The reference profile: how features and scores were distributed when a model was trained, as exact counts."""

from collections.abc import Sequence

import msgspec
import numpy as np

from shared.core.baseline import Baseline
from shared.core.bundle import Column
from shared.core.features import Floats

BINS = 10


class FeatureProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One feature, or the score.

    `counts[i]` values lie in `(edges[i-1], edges[i]]`, the last in the open rest; for a category, `counts[i]` values
    are `words[i]`, the last all others. `missing` counts what had no value, or an unseen category. `panes[p]` are the
    counts over the same bins in the reference's pane p, in order of event time: from them is learned what is usual.
    """

    edges: tuple[float, ...] = ()
    words: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    missing: int = 0
    panes: tuple[tuple[int, ...], ...] = ()


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """The profile of n records; `base_rate` is the share of each class, or the mean of the target.

    `scores` are of the judged holdout, so they have fewer panes than features. `labels` are what came true: by class
    (`words`, in the order of the model's columns), or over the bins of `scores`, as a scorecard's `truths` are. A
    pane is `pane_ms` of event time long; 0: there are none. `baselines` are of errors and of loss on the judged
    holdout; empty where that is too short, and in bundles of before. `importance` is by how much the loss on the
    holdout rises when a feature says nothing: of a sample, and by the model that was judged.
    """

    n: int
    features: dict[str, FeatureProfile]
    scores: FeatureProfile
    base_rate: tuple[float, ...]
    v: int = 1
    labels: FeatureProfile = FeatureProfile()
    pane_ms: int = 0
    baselines: tuple[Baseline, ...] = ()
    importance: dict[str, float] = {}


def profile(
    columns: Sequence[Column], matrix: Floats, scores: Sequence[float], base_rate: Sequence[float]
) -> Reference:
    """Profile the records that a model was trained on.

    Args:
        columns: d columns.
        matrix: float32 (n, d).
        scores: n scores as predictions carry them, on records that the model had not seen.
        base_rate: the share of each class, or the mean of the target.
    """
    features = {
        column.name: _words(column, matrix[:, j]) if column.kind == "category" else _numbers(matrix[:, j])
        for j, column in enumerate(columns)
    }
    return Reference(len(matrix), features, _numbers(np.asarray(scores, dtype=np.float32)), tuple(base_rate))


def _numbers(values: Floats) -> FeatureProfile:
    present = values[~np.isnan(values)].astype(np.float64)
    missing = len(values) - len(present)
    if not len(present):
        return FeatureProfile(counts=(0,), missing=missing)
    # Deciles; equal ones fall together, so that a value that half of all records have gets a bin of its own.
    edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    return FeatureProfile(edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), missing=missing)


def _words(column: Column, codes: Floats) -> FeatureProfile:
    present = codes[~np.isnan(codes)].astype(np.int64)
    counts = np.bincount(present, minlength=len(column.categories))
    order = np.argsort(-counts, kind="stable")
    top, rest = order[: BINS - 1], order[BINS - 1 :]
    return FeatureProfile(
        words=tuple(column.categories[i] for i in top.tolist()),
        counts=(*counts[top].tolist(), int(counts[rest].sum())),
        missing=len(codes) - len(present),
    )
