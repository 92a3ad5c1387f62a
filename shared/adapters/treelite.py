"""Tree models by treelite's own interpreter (GTIL): no compiler, no scikit-learn, one thread."""

from pathlib import Path
from typing import Any

import numpy as np
import treelite
from treelite import gtil

from shared.core.errors import ModelRefused

_BINARY, _REGRESSION, _MULTICLASS, _UNUSUAL = 0, 1, 2, 4  # treelite's task types; the last of isolation forests


class TreeliteRuntime:
    """A loaded tree model: `predict` as in `shared.core.ports.Runtime`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._dtype = np.dtype(model.input_type)
        self._task = int(model.get_header_accessor().get_field("task_type")[0])
        if self._task not in {_BINARY, _REGRESSION, _MULTICLASS, _UNUSUAL}:
            raise ModelRefused(f"model: treelite task {self._task} is neither classification nor regression")
        self._one_value = self._task in {_REGRESSION, _UNUSUAL}

    def predict(self, matrix: Any) -> Any:
        """Scores of a float32 (n, d) matrix: float64, (n, k) for a classifier, else (n,)."""
        n = len(matrix)
        if n == 0:
            return np.empty((0,) if self._one_value else (0, 2))
        raw = gtil.predict(self._model, np.ascontiguousarray(matrix, dtype=self._dtype), nthread=1)
        scores = np.asarray(raw, dtype=np.float64).reshape(n, -1)
        if self._one_value:
            return scores[:, 0]
        return np.hstack([1.0 - scores, scores]) if scores.shape[1] == 1 else scores


def load(path: Path) -> TreeliteRuntime:
    """Load a model file; it holds only trees.

    Raises:
        ModelRefused: not a treelite model.
    """
    try:
        return TreeliteRuntime(treelite.Model.deserialize(str(path)))
    except treelite.TreeliteError as error:
        raise ModelRefused(f"model: not a loadable treelite file ({str(error)[:200]})") from None
