"""The seeded streams with known changes: 50,000 records, 500 a day, a pipeline's file for each.

The generators are river's: SEA (Street and Kim, "A streaming ensemble algorithm for large-scale classification", 2001),
Agrawal (Agrawal, Imielinski and Swami, "Database mining: a performance perspective", 1993) and a turning hyperplane
(Hulten, Spencer and Domingos, "Mining time-changing data streams", 2001).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.bundle import Column
from shared.core.errors import UserError
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from tailrace.backtest.stream import DAY, Stream

RECORDS, A_DAY, LEARNED = 50_000, 500, 10
"""Records in all; a day; and the days that the first model learns from."""
BEGIN = 1_356_998_400_000  # 2013-01-01, ms
_WIDTH = 10_000  # records that a gradual change takes
Codes = NDArray[np.int8]
Made = tuple[Floats, Codes]


@dataclass(frozen=True, slots=True)
class Kind:
    """One stream: how its records are made, and what its pipeline's file says of retraining."""

    make: Callable[[int], Made]
    retraining: dict[str, Any]


def of_generator(name: str, seed: int) -> Stream:
    """A stream by its name in `KINDS`; the same seed gives the same records.

    Raises:
        UserError: river is not installed.
    """
    try:
        matrix, y = KINDS[name].make(seed)
    except ModuleNotFoundError as error:
        raise UserError(f"stream {name} needs river ({error})", remedy="pip install 'tailrace[demo]'") from None
    spec = file_of(name, matrix.shape[1])
    times = BEGIN + np.arange(len(y), dtype=np.int64) * (DAY // A_DAY)
    return Stream(
        name=name, spec=spec, columns=tuple(Column(feature.name, "numeric") for feature in spec.features),
        matrix=matrix, y=y.astype(np.float64), times=times, known=times, partitions=np.zeros(len(y), np.int8),
        first=BEGIN + LEARNED * DAY,
    )  # fmt: skip


def file_of(name: str, width: int) -> PipelineSpec:
    """Its pipeline's file, decoded: as many numbers as the stream has, and its declared retraining."""
    numbers = [f"x{j}" for j in range(width)]
    fields: dict[str, Any] = {"id": {"type": "string"}, "key": {"type": "string"}, "at": {"type": "timestamp"}}
    tree = {
        "schema": 1, "name": name, "title": f"A stream of river: {name}", "task": "binary",
        "record": {
            "id": "id", "key": "key", "event_time": "at", "fields": fields | {x: {"type": "number"} for x in numbers}
        },
        "features": [{"name": x} for x in numbers],
        "labels": {"horizon": "1d", "classes": ["no", "yes"], "positive": "yes"},
        "model": {
            "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
            "parameters": {"max_iter": 60, "early_stopping": False},
        },
        "retraining": KINDS[name].retraining, "partitions": 1,
    }  # fmt: skip
    return decode(tree, f"{name}/pipeline.yaml")


def _of_river(generator: Iterable[tuple[dict[Any, Any], Any]], n: int) -> Made:
    rows, classes = zip(*islice(generator, n), strict=True)
    return np.array([[float(v) for v in row.values()] for row in rows], np.float32), np.array(classes, np.int8)


def _sea(seed: int) -> Made:
    from river.datasets import synth  # noqa: PLC0415 - seconds of imports

    part = RECORDS // 4
    made = [
        _of_river(synth.SEA(variant=variant, noise=0.1, seed=seed * 10 + j), part)
        for j, variant in enumerate((0, 2, 1, 3))
    ]
    return np.vstack([x for x, _ in made]), np.concatenate([y for _, y in made])


def _agrawal(concept: int, seed: int, n: int) -> Made:
    from river.datasets import synth  # noqa: PLC0415 - seconds of imports

    return _of_river(synth.Agrawal(classification_function=concept, perturbation=0.05, seed=seed), n)


def _abrupt(seed: int) -> Made:
    made = [_agrawal(concept, seed * 10 + j, RECORDS // 4) for j, concept in enumerate((0, 3, 5, 1))]
    return np.vstack([x for x, _ in made]), np.concatenate([y for _, y in made])


def _gradual(seed: int) -> Made:
    """One concept comes in place of another by and by: the share of the new one is a logistic curve."""
    before, after = _agrawal(0, seed, RECORDS), _agrawal(3, seed + 100, RECORDS)
    share = 1 / (1 + np.exp(-4 * (np.arange(RECORDS) - RECORDS // 2) / _WIDTH))
    new = np.random.default_rng(seed).random(RECORDS) < share
    return np.where(new[:, None], after[0], before[0]), np.where(new, after[1], before[1])


def _hyperplane(seed: int) -> Made:
    from river.datasets import synth  # noqa: PLC0415 - seconds of imports

    plane = synth.Hyperplane(
        seed=seed, n_features=20, n_drift_features=10, mag_change=0.001, noise_percentage=0.05, sigma=0.1
    )
    return _of_river(plane, RECORDS)


# Changes are rare and sudden: the clock is slow, and what follows an alarm does the work.
_SUDDEN = {
    "window": "10d", "every": None, "alarm_period": "5d", "cooldown": "1d", "short": 0.3,
    "follow_ups": ["5d", "10d", "20d"], "gate": {"holdout": "2d"},
}  # fmt: skip
KINDS = {
    "sea_abrupt": Kind(_sea, _SUDDEN),
    "agrawal_abrupt": Kind(_abrupt, _SUDDEN),
    "agrawal_gradual": Kind(_gradual, _SUDDEN),
    "hyper_gradual": Kind(_hyperplane, {**_SUDDEN, "every": "10d"}),
    "no_drift": Kind(lambda seed: _agrawal(3, seed, RECORDS), _SUDDEN),
}
