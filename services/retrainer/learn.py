"""One training from a dataset to the content of a bundle: holdout, final fit, export, golden records, profile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retrainer.bundle import Content, choose_golden, make_golden
from services.retrainer.dataset import Dataset, take
from services.retrainer.export import Export, export
from services.retrainer.gate import DataRefused, check_matrix
from services.retrainer.scores import evaluate, positive_of
from services.retrainer.train import fit, make_estimator, predict
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Floats, learn_columns
from shared.core.pipeline import PipelineSpec
from shared.core.reference import profile

_PROBES = 2_000
_BLANKED = 16  # rows a column in which its value is taken away
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Learned:
    """The outcome. `n_fit` and `n_holdout` are the holdout's two sides, `n` what the final model was fitted on."""

    estimator: Any
    content: Content
    export: Export
    n: int
    n_fit: int
    n_holdout: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a dataset as a matrix; `index[i]` is the place in the dataset of row i."""

    columns: tuple[Column, ...]
    matrix: Floats
    y: NDArray[np.float64]
    index: NDArray[np.intp]


def learn(spec: PipelineSpec, codec: RecordCodec, data: Dataset, progress: Progress) -> Learned:
    """Train on a dataset that has passed the gate.

    Raises:
        DataRefused: too few records on one side of the split, or columns that teach nothing.
        UserError: the estimator or the runtimes refuse.
    """
    early, late = split(data, spec.history.holdout, int(spec.labels.horizon * 1000))
    progress(f"fitting {len(early):,} records, holding out {len(late):,}")
    first = table(spec, codec, data, early)
    held = table(spec, codec, data, late, first.columns)
    seen = fit(make_estimator(spec, first.columns), first.matrix, first.y, seed=spec.model.seed)
    held_scores = predict(seen, held.matrix)
    metrics = evaluate(spec, held.y, held_scores, first.y)

    progress(f"fitting all {len(data):,} records")
    final = table(spec, codec, data, np.arange(len(data)))
    warnings = check_matrix(final.columns, final.matrix, final.y.tolist())
    estimator = fit(make_estimator(spec, final.columns), final.matrix, final.y, seed=spec.model.seed)

    progress("exporting and measuring " + ", ".join(spec.model.runtimes))
    probes, told = make_probes(spec, estimator, final)
    exported = export(
        estimator,
        spec.model.runtimes,
        probes,
        predict(estimator, probes),
        tolerance=spec.model.tolerance,
        max_bytes=spec.model.max_bytes,
    )
    content = _content(spec, data, final, estimator, exported, metrics, _said(spec, held_scores))
    return Learned(estimator, content, exported, len(final.y), len(first.y), len(held.y), (*warnings, *told))


def split(data: Dataset, holdout: float, horizon_ms: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the records to fit on and of those to hold out: by time, with a gap of one label horizon.

    Without the gap the first holdout records would be scored by a model that learned from labels not yet known then.

    Raises:
        DataRefused: nothing is left on one side.
    """
    border = int(data.times[min(int(len(data) * (1 - holdout)), len(data) - 1)])
    early, late = np.flatnonzero(data.times < border - horizon_ms), np.flatnonzero(data.times >= border)
    if not len(early) or not len(late):
        raise DataRefused(
            f"training data: {len(early)} records to fit before a gap of {horizon_ms / 3.6e6:g} h, "
            f"{len(late)} to hold out after it; widen train_from and train_until, or lower labels.horizon",
        )
    return early, late


def table(
    spec: PipelineSpec,
    codec: RecordCodec,
    data: Dataset,
    index: NDArray[np.intp],
    columns: tuple[Column, ...] | None = None,
) -> Table:
    """The matrix of some records; those that the features refuse at scoring are left out here as well."""
    places = index.tolist()
    rows, found = [data.rows[i] for i in places], take(data.found, places)
    known = learn_columns(spec, codec, rows, found) if columns is None else columns
    built = FeatureBuilder(spec, codec, known).matrix(rows, found)
    good = np.array([i not in built.refused for i in range(len(rows))], dtype=np.bool_)
    kept = index[good]
    if not len(kept):
        raise DataRefused("training data: the features refuse every record; see features[].missing")
    return Table(known, built.values[good], data.y[kept], kept)


def make_probes(spec: PipelineSpec, estimator: Any, final: Table) -> tuple[Floats, list[str]]:
    """Records on which runtimes are compared: spread over time, and some with each value that may lack taken away.

    Returns:
        The matrix, and a warning where the estimator cannot score a record that lacks a value.
    """
    places = np.unique(np.linspace(0, len(final.matrix) - 1, _PROBES).astype(np.intp))
    real = final.matrix[places]
    blanked = []
    for j, feature in enumerate(spec.features):
        if feature.missing == "nan" or feature.kind == "category":
            some = real[np.linspace(0, len(real) - 1, _BLANKED).astype(np.intp)].copy()
            some[:, j] = np.nan
            blanked.append(some)
    if not blanked:
        return real, []
    probes = np.vstack([real, *blanked])
    try:
        predict(estimator, probes[len(real) :])
    except ValueError:
        told = "the estimator cannot score records that lack a value: declare model.impute, defaults, or `reject`"
        return real, [told]
    return probes, []


def _content(
    spec: PipelineSpec,
    data: Dataset,
    final: Table,
    estimator: Any,
    exported: Export,
    metrics: Mapping[str, float],
    said: Sequence[float],
) -> Content:
    chosen = choose_golden(np.isnan(final.matrix).sum(axis=1).tolist())
    places = final.index[chosen].tolist()
    golden = make_golden(
        spec, [data.rows[i] for i in places], take(data.found, places), predict(estimator, final.matrix[chosen])
    )
    regression = spec.task == "regression"
    rates = [float(final.y.mean())] if regression else np.bincount(final.y.astype(np.int64)) / len(final.y)
    return Content(
        spec=spec,
        columns=final.columns,
        chosen=exported.chosen,
        measured={tried.runtime: tried.micros for tried in exported.tried if tried.micros},
        golden=golden,
        reference=profile(final.columns, final.matrix, said, [float(rate) for rate in rates]),
        metrics=metrics,
        trained_from=int(data.times[0]),
        trained_until=int(data.times[-1]) + 1,
    )


def _said(spec: PipelineSpec, scores: NDArray[np.float64]) -> Sequence[float]:
    """Scores as predictions carry them."""
    if spec.task == "regression":
        return [float(score) for score in scores]
    column = scores[:, positive_of(spec)] if spec.task == "binary" else scores.max(axis=1)
    return [float(score) for score in column]
