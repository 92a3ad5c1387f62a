"""A shuffled split looks better than a drifting world is, and no better where nothing drifts."""

import numpy as np
import pytest

from services.retrainer.optimism import optimism
from services.retrainer.tables import Table
from shared.core.bundle import Column
from tests.support.bundles import HOUR, START
from tests.support.spec import make_spec

SEED = 17
COLUMNS = tuple(Column(name, "numeric") for name in ("weight", "stops", "carrier", "wind"))


def records(drift: float) -> Table:
    """Values an hour apart, whose level and slope move with time; one column is a clock, as a date is."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    n = 3_000
    clock = np.arange(n) / n
    matrix = rng.normal(size=(n, 4)).astype(np.float32)
    matrix[:, 3] = clock
    y = matrix[:, 0] * (1 + drift * clock) + drift * 3 * clock + rng.normal(size=n) * 0.5
    return Table(COLUMNS, matrix, y.astype(float), START + HOUR * np.arange(n, dtype=np.int64), np.arange(n))


def test_a_shuffled_split_would_have_looked_better_than_it_is() -> None:
    """With drift the shuffled error is far below the chronological one, which is what the next weeks would show."""
    chronological, shuffled = optimism(make_spec("regression"), records(drift=3.0))
    print(chronological, shuffled)
    assert shuffled["rmse"] < 0.7 * chronological["rmse"]


def test_without_drift_both_say_the_same() -> None:
    """Where nothing moves, the two splits differ by chance alone: the gap above is time's, and not the helper's."""
    chronological, shuffled = optimism(make_spec("regression"), records(drift=0.0))
    assert shuffled["rmse"] == pytest.approx(chronological["rmse"], rel=0.1)
