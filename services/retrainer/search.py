"""The declared search: every combination of `model.search`, judged by the declared folds before the holdout.

Processes and not threads: most of a fit of many small trees holds the interpreter. Each takes the data once, has one
thread, and leaves Ctrl-C to the parent, which ends them.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from sklearn.model_selection import ParameterGrid, ParameterSampler

from services.retrainer.crew import spread
from services.retrainer.dask_crew import spread_on_dask
from services.retrainer.folds import Split, folds_of
from services.retrainer.gate import DataRefused
from services.retrainer.judge import answered, fitted_output
from services.retrainer.scores import figures
from services.retrainer.tables import Table
from services.retrainer.train import construct
from shared.core.answering import Post
from shared.core.errors import UserError
from shared.core.mistakes import near
from shared.core.pipeline import PipelineSpec
from shared.core.quality import DEFAULT_METRIC, is_better


class Tried(msgspec.Struct, frozen=True):
    """One combination: mean and standard deviation of the metric over the folds."""

    parameters: dict[str, Any]
    mean: float
    std: float


class Searched(msgspec.Struct, frozen=True):
    """What a search found. `table` has every combination, the best first; `seconds` is the time that it took.

    `records` is how many it looked at, in all folds together.
    """

    metric: str
    records: int
    folds: int
    fits: int
    seconds: float
    best: dict[str, Any]
    mean: float
    std: float
    table: tuple[Tried, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """How far a search is, after each fit. `best` is None until one combination has all its folds."""

    metric: str
    done: int
    total: int
    seconds: float
    best: Tried | None

    @property
    def left(self) -> float:
        """Seconds until the end, at the pace so far."""
        return self.seconds / max(self.done, 1) * (self.total - self.done)


Watch = Callable[[Step], None]
Scores = dict[int, dict[int, float]]


@dataclass(frozen=True, slots=True)
class _Work:
    """What every fit needs."""

    spec: PipelineSpec
    data: Table
    folds: Sequence[Split]
    grid: Sequence[Mapping[str, Any]]
    metric: str


def search(spec: PipelineSpec, data: Table, watch: Watch, *, jobs: int = 0) -> Searched:
    """Try every combination of `model.search`, or as many as `model.draws` says, drawn by the seed.

    Args:
        spec: the pipeline; `model.folds` and `model.metric` say how combinations are judged, `retraining.backend` where
            they are fitted: the answer is the same.
        data: the records before the holdout, in order of time.
        watch: told after each fit.
        jobs: processes of this machine; 0: one a core; 1: no other process.

    Raises:
        DataRefused: too few records for the folds, or a fold in which the metric has no meaning.
        UserError: nothing to search is declared, or a value that the estimator refuses; names the key.
    """
    check_search(spec)
    grid = combinations(spec)
    metric = spec.model.metric or DEFAULT_METRIC[spec.task]
    data = drawn(spec, data)
    work = _Work(spec, data, folds_of(spec, data.y, data.times), grid, metric)
    begin, scores = time.monotonic(), Scores()
    best: Tried | None = None
    places = [(at, fold) for at in range(len(grid)) for fold in range(len(work.folds))]
    if spec.retraining.backend == "dask":
        fits = spread_on_dask(work, places, _score, spec.retraining.dask_address)
    else:
        fits = spread(work, places, _score, jobs or len(os.sched_getaffinity(0)))
    with closing(fits) as made:
        for done, ((at, fold), score) in enumerate(made, 1):
            scores.setdefault(at, {})[fold] = score
            if len(scores[at]) == len(work.folds):
                tried = _tried(grid[at], scores[at])
                best = tried if best is None or is_better(metric, tried.mean, best.mean) else best
            watch(Step(metric, done, len(places), time.monotonic() - begin, best))
    return _searched(work, scores, time.monotonic() - begin)


def combinations(spec: PipelineSpec) -> list[dict[str, Any]]:
    """What is tried: all, in the order in which they are declared, or a draw without repeats.

    Source: Bergstra and Bengio, Random Search for Hyper-Parameter Optimization (2012).
    """
    everything, draws = ParameterGrid(spec.model.search), spec.model.draws
    if draws is None or draws >= len(everything):
        return [dict(one) for one in everything]
    return [dict(one) for one in ParameterSampler(spec.model.search, draws, random_state=spec.model.seed)]


def drawn(spec: PipelineSpec, data: Table) -> Table:
    """The records that a search looks at: all, or `model.folds.records` of them, drawn by the seed, in order of time.

    Many small fits choose as well as few large ones, and a grid of a thousand fits is otherwise a matter of hours.
    """
    most = spec.model.folds.records
    if most is None or most >= len(data):
        return data
    rng = np.random.default_rng(spec.model.seed)
    return data.rows(np.sort(rng.choice(len(data), most, replace=False)))


def check_search(spec: PipelineSpec) -> None:
    """Look at the declared search before hours go into it.

    Raises:
        UserError: there is none, or a name or value that the estimator refuses; names the key.
    """
    if not spec.model.search:
        raise UserError(
            "model.search: nothing to search is declared",
            remedy="list values to try, by parameter, or leave out --search",
        )
    if spec.model.metric == "coverage":
        raise UserError("model.metric: a search needs a figure of values, not of intervals", remedy="name another")
    known = construct(spec).get_params()
    for name, values in spec.model.search.items():
        if name not in known:
            raise UserError(
                f"model.search.{name}: {spec.model.estimator} has no such parameter", remedy=near(name, known)
            )
        for value in values:
            try:
                construct(spec).set_params(**{name: value})._validate_params()  # noqa: SLF001 - else it is found hours later
            except ValueError as error:
                words = str(error).splitlines()[0].removesuffix(".")
                raise UserError(f"model.search.{name}: {words}", remedy="mend or remove the value") from None


def _score(work: _Work, place: tuple[int, int]) -> float:
    """The metric of one combination on one fold."""
    at, fold = place
    model = work.spec.model
    model = msgspec.structs.replace(model, parameters={**model.parameters, **work.grid[at]})
    spec = msgspec.structs.replace(work.spec, model=model)
    fitted, judged = (work.data.rows(places) for places in work.folds[fold])
    scores = answered(spec, Post(target=model.target), fitted_output(spec, fitted, judged))
    found = figures(spec, judged.y, scores)
    if work.metric not in found:
        words = f"fold {fold + 1} of {len(work.folds)} has no {work.metric}: its {len(judged)} records do not allow one"
        raise DataRefused(f"training data: {words}; lower model.folds.count, or name another model.metric")
    return found[work.metric]


def _tried(parameters: Mapping[str, Any], scores: Mapping[int, float]) -> Tried:
    values = list(scores.values())
    return Tried(dict(parameters), float(np.mean(values)), float(np.std(values)))


def _searched(work: _Work, scores: Scores, seconds: float) -> Searched:
    tried = [_tried(combination, scores[at]) for at, combination in enumerate(work.grid)]
    higher = is_better(work.metric, 1.0, 0.0)
    ordered = sorted(tried, key=lambda one: -one.mean if higher else one.mean)  # stable: of equals the first declared
    best, fits = ordered[0], len(work.grid) * len(work.folds)
    return Searched(
        work.metric,
        len(work.data),
        len(work.folds),
        fits,
        round(seconds, 1),
        best.parameters,
        best.mean,
        best.std,
        tuple(ordered),
    )
