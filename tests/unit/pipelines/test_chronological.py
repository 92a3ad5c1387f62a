"""A shuffled split would have looked better than taxi and heavy_equipment are: their worlds move with time."""

from pathlib import Path

import numpy as np
import pytest

from services.retrainer.optimism import optimism
from services.retrainer.tables import table
from tests.support.simulated import shown, spec_of, world_of


@pytest.mark.parametrize(
    ("pipeline", "records", "figure", "gap"),
    [("taxi", 30_000, "rmse", 0.02), ("heavy_equipment", 30_000, "rmsle", 0.02)],
)
def test_a_shuffled_split_would_have_looked_better(
    pipeline: str, records: int, figure: str, gap: float, tmp_path: Path
) -> None:
    """Without any drift on schedule, the declared model errs more on the time that follows than on shuffled records."""
    spec = spec_of(pipeline)
    codec, data = shown(pipeline, world_of(pipeline, records=records), tmp_path)
    chronological, shuffled = optimism(spec, table(spec, codec, data, np.arange(len(data))))
    print(f"{pipeline}: {figure} {chronological[figure]:.4f} in order of time, {shuffled[figure]:.4f} shuffled")
    assert shuffled[figure] < (1 - gap) * chronological[figure]
