"""How much a model goes by each feature: by how much its loss on the holdout rises when the feature says nothing.

Permutation importance: Breiman, "Random forests" (2001), section 10, on records that the model had not seen. Features
that say the same share their importance: of two alike each may look dispensable.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from services.retrainer.scores import figures
from services.retrainer.tables import Table
from shared.core.features import Floats
from shared.core.pipeline import PipelineSpec

Values = NDArray[np.float64]
ROWS, ALL_ROWS = 2_000, 100_000
"""Records of the holdout that are shuffled at most, and answers that are made for it in all."""


def importance_of(spec: PipelineSpec, held: Table, answer: Callable[[Floats], Values]) -> dict[str, float]:
    """The rise of the log-loss (nats), or of the mean absolute error (the target's unit), by feature.

    Args:
        spec: the pipeline, whose seed shuffles.
        held: the holdout; of a large one evenly spaced records.
        answer: the model with all that is done to its output: a matrix (n, d) to (n, k) probabilities or (n,) values.
    """
    most = min(ROWS, ALL_ROWS // max(len(held.columns), 1))
    places = np.linspace(0, len(held) - 1, min(len(held), most)).astype(np.intp)
    some, dice = held.rows(places), np.random.default_rng(spec.model.seed)
    name = "mae" if spec.task == "regression" else "log_loss"
    usual, found = figures(spec, some.y, answer(some.matrix))[name], dict[str, float]()
    for j, column in enumerate(held.columns):
        shuffled = some.matrix.copy()
        shuffled[:, j] = shuffled[dice.permutation(len(some)), j]
        found[column.name] = figures(spec, some.y, answer(shuffled))[name] - usual
    return found
