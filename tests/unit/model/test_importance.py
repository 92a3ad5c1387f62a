"""How much a model goes by each feature, as its bundle says."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.retrainer.importance import ROWS, importance_of
from services.retrainer.tables import Table
from shared.core.bundle import REFERENCE, Column
from shared.core.features import Floats
from shared.core.reference import Reference
from tests.support.bundles import make_kit
from tests.support.spec import make_spec

COLUMNS = tuple(Column(name, "numeric") for name in ("used", "idle", "constant"))


def held(n: int, seed: int = 3) -> Table:
    """A holdout whose truth is its first column."""
    matrix = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    matrix[:, 2] = 1.0
    return Table(COLUMNS, matrix, matrix[:, 0].astype(np.float64), np.arange(n), np.arange(n))


def test_what_the_model_does_not_look_at_has_none() -> None:
    """A column that no answer depends on, and a constant, have exactly 0; the one that is the answer has its error."""
    found = importance_of(make_spec("regression"), held(5_000), lambda matrix: matrix[:, 0].astype(np.float64))

    assert (found["idle"], found["constant"]) == (0.0, 0.0)
    assert found["used"] == pytest.approx(2 / np.sqrt(np.pi), rel=0.05)  # mean distance of two normal values


def test_a_large_holdout_costs_no_more() -> None:
    """At most so many records are answered for each column."""
    asked: list[int] = []

    def answer(matrix: Floats) -> NDArray[np.float64]:
        asked.append(len(matrix))
        return matrix[:, 0].astype(np.float64)

    importance_of(make_spec("regression"), held(3 * ROWS), answer)

    assert asked == [ROWS] * (1 + len(COLUMNS))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_bundle_says_what_its_model_goes_by(tmp_path: Path, task: str) -> None:
    """Of parcels whose truth is their weight, weight comes first; the same training says the same."""
    references = [
        msgspec.json.decode((make_kit(tmp_path / name, task).folder / REFERENCE).read_bytes(), type=Reference)
        for name in ("one", "two")
    ]
    found = references[0].importance

    assert set(found) == {"weight", "stops", "carrier", "wind"}
    assert max(found, key=lambda name: found[name]) == "weight"
    assert found == references[1].importance
