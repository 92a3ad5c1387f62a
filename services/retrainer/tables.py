"""Records of a dataset as the matrix that a model sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retrainer.dataset import Dataset, take
from services.retrainer.gate import DataRefused
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Floats, learn_columns
from shared.core.pipeline import PipelineSpec


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a dataset as a matrix (n, d), their targets and event times (ms); `index[i]` is row i's place there."""

    columns: tuple[Column, ...]
    matrix: Floats
    y: NDArray[np.float64]
    times: NDArray[np.int64]
    index: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, places: NDArray[np.intp]) -> "Table":
        """Some of its rows."""
        return Table(self.columns, self.matrix[places], self.y[places], self.times[places], self.index[places])


def table(
    spec: PipelineSpec,
    codec: RecordCodec,
    data: Dataset,
    index: NDArray[np.intp],
    columns: tuple[Column, ...] | None = None,
) -> Table:
    """The matrix of some records; those that the features refuse at scoring are left out here as well.

    Args:
        spec: the pipeline.
        codec: that decoded the records.
        data: the records.
        index: places of those that are wanted.
        columns: of a model that is there already; None: categories are learned from these records.

    Raises:
        DataRefused: the features refuse all of them.
    """
    places = index.tolist()
    rows, found = [data.rows[i] for i in places], take(data.found, places)
    known = learn_columns(spec, codec, rows, found) if columns is None else columns
    built = FeatureBuilder(spec, codec, known).matrix(rows, found)
    good = np.array([i not in built.refused for i in range(len(rows))], dtype=np.bool_)
    kept = index[good]
    if not len(kept):
        raise DataRefused("training data: the features refuse every record; see features[].missing")
    return Table(known, built.values[good], data.y[kept], data.times[kept], kept)
