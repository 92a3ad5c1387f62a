"""One training from a dataset to the content of a bundle: holdout, final fit, export, golden records, profile."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.retrainer.bundle import Content, choose_golden, make_golden
from services.retrainer.dataset import Dataset, take
from services.retrainer.export import Export, export
from services.retrainer.fingerprint import fingerprint_of
from services.retrainer.folds import by_time, horizon_ms
from services.retrainer.gate import check_matrix
from services.retrainer.judge import Judged, judge, unjudged
from services.retrainer.plots import Held
from services.retrainer.reference import reference_of
from services.retrainer.search import Searched, Watch, search
from services.retrainer.tables import Table, table
from services.retrainer.train import fit, make_estimator, predict
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec

_PROBES = 2_000
_BLANKED = 16  # rows a column in which its value is taken away
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Learned:
    """The outcome. `n_fit` and `n_holdout` are the holdout's two sides, `n` what the final model was fitted on.

    `content.spec` has the parameters that were used: those that the search found best, where there was one.
    `fingerprint` is of all that was learned from; `held` the judged holdout, None where nothing was judged.
    """

    estimator: Any
    content: Content
    export: Export
    n: int
    n_fit: int
    n_holdout: int
    warnings: tuple[str, ...]
    searched: Searched | None = None
    fingerprint: str = ""
    held: Held | None = None


def learn(
    spec: PipelineSpec, codec: RecordCodec, data: Dataset, progress: Progress, *, watch: Watch | None = None
) -> Learned:
    """Train on a dataset that has passed the gate.

    Args:
        spec: the pipeline.
        codec: that decoded the records.
        data: the labelled records.
        progress: told in a line what is being done.
        watch: asks for the declared search, and is told how far it is; None: the declared parameters are used.

    Raises:
        DataRefused: too few records on one side of the split, or columns that teach nothing.
        UserError: the estimator or the runtimes refuse, or a search is asked for where there are no labels.
    """
    early, late = split(data, spec.history.holdout, horizon_ms(spec))
    first = table(spec, codec, data, early)
    held = table(spec, codec, data, late, first.columns)
    searched = None
    if watch is not None:
        if not data.labelled:
            raise UserError("model.search: needs labels, and there are none", remedy="leave out --search")
        searched = search(spec, first, watch)
        spec = with_parameters(spec, searched.best)
    judged = judge(spec, first, held, progress) if data.labelled else unjudged(spec, first, held)

    progress(f"fitting all {len(data):,} records")
    final = table(spec, codec, data, np.arange(len(data)))
    warnings = check_matrix(final.columns, final.matrix, final.y.tolist())
    estimator = make_estimator(spec, final.columns)
    estimator = fit(estimator, final.matrix, final.y, seed=spec.model.seed, target=spec.model.target)

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
    content = _content(spec, data, final, held, estimator, exported, judged)
    return Learned(
        estimator, content, exported, len(final), len(first), len(held), (*warnings, *told), searched,
        fingerprint_of(spec, codec, data),
        Held(held.y, judged.answers, held.times, first.y) if data.labelled else None,
    )  # fmt: skip


def with_parameters(spec: PipelineSpec, found: dict[str, Any]) -> PipelineSpec:
    """The pipeline with some of its model's parameters replaced."""
    model = msgspec.structs.replace(spec.model, parameters={**spec.model.parameters, **found})
    return msgspec.structs.replace(spec, model=model)


def split(data: Dataset, holdout: float, gap_ms: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the records to fit on and of those to hold out: by time, with a gap of one label horizon.

    Raises:
        DataRefused: nothing is left on one side.
    """
    return by_time(data.times, holdout, gap_ms)


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
    held: Table,
    estimator: Any,
    exported: Export,
    judged: Judged,
) -> Content:
    chosen = choose_golden(np.isnan(final.matrix).sum(axis=1).tolist())
    places = final.index[chosen].tolist()
    golden = make_golden(
        spec, [data.rows[i] for i in places], take(data.found, places), predict(estimator, final.matrix[chosen])
    )
    return Content(
        spec=spec,
        columns=final.columns,
        chosen=exported.chosen,
        measured={tried.runtime: tried.micros for tried in exported.tried if tried.micros},
        golden=golden,
        reference=msgspec.structs.replace(
            reference_of(spec, final, held, judged.said, judged.baselines), importance=dict(judged.importance)
        ),
        metrics=judged.metrics,
        post=judged.post,
        trained_from=int(data.times[0]),
        trained_until=int(data.times[-1]) + 1,
    )
