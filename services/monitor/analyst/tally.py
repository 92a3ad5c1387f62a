"""The sums of scorecards as columns of numbers, so that a figure is computed for one, or for 400 draws, alike."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from shared.core.monitor_records import SCORE_BINS, Ints, Sums
from shared.core.scorecards import SCALE

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums of b scorecards in their own units: (b,) each, `confusion` (b, k, k), and by score bins (b, 40).

    What each field counts, `Sums` says; `loss`, `brier` and the sums of squares are of labels, not means.
    """

    labelled: Values
    errors: Values
    loss: Values
    brier: Values
    squared: Values
    squared_log: Values
    unlogged: Values
    confusion: Values
    labelled_scores: Values
    hits: Values
    score_sums: Values


def tally(sums: Sequence[Sums], classes: int) -> Tally:
    """The sums of b scorecards of a pipeline with so many classes (0: a regression).

    Raises:
        ValueError: a scorecard has more places than the pipeline has classes: it is another pipeline's.
    """
    places = classes * classes
    return Tally(
        labelled=_plain([one.labelled for one in sums]),
        errors=_plain([one.errors for one in sums]),
        loss=_real([one.loss for one in sums]),
        brier=_real([one.brier for one in sums]),
        squared=_real([one.squared for one in sums]),
        squared_log=_real([one.squared_log for one in sums]),
        unlogged=_plain([one.unlogged for one in sums]),
        confusion=_places([one.confusion for one in sums], places).reshape(len(sums), classes, classes),
        labelled_scores=_places([one.labelled_scores for one in sums], SCORE_BINS),
        hits=_places([one.hits for one in sums], SCORE_BINS),
        score_sums=_places([one.score_sums for one in sums], SCORE_BINS) / SCALE,
    )


def drawn(blocks: Tally, weights: Values) -> Tally:
    """The tally of each of r draws from b blocks; `weights` (r, b) says how often each block is in it."""
    return Tally(**{f.name: np.tensordot(weights, getattr(blocks, f.name), axes=1) for f in fields(Tally)})


def _plain(numbers: Sequence[int]) -> Values:
    return np.array([float(number) for number in numbers])


def _real(numbers: Sequence[int]) -> Values:
    # Python divides integers of any size exactly rounded; a float64 array of them would round twice.
    return np.array([number / SCALE for number in numbers])


def _places(rows: Sequence[Ints], size: int) -> Values:
    found = np.zeros((len(rows), size))
    for filled, row in zip(found, rows, strict=True):
        if len(row) > size:
            raise ValueError(f"a scorecard has {len(row)} places where this pipeline has {size}")
        filled[: len(row)] = row
    return found
