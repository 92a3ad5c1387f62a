"""When and how the truth becomes known: labels that come late, never, or wrong at first."""

import numpy as np

from shared.simulation.world import Floats, Ints, Labels


def delays(rng: np.random.Generator, median_s: Floats, *, spread: float, most_s: float) -> Floats:
    """Delays of labels in seconds: log-normal around a median that may depend on the class, cut at `most_s`: (n,).

    Args:
        rng: the dice.
        median_s: (n,) the median delay of each record's label.
        spread: standard deviation of the logarithm.
        most_s: the longest delay.
    """
    return np.minimum(median_s * np.exp(rng.normal(0.0, spread, len(median_s))), most_s)


def reveal(
    rng: np.random.Generator,
    times: Ints,
    y: Floats,
    delay_s: Floats,
    *,
    missing: float,
    corrected: float,
    wrong: Floats,
    after_s: Floats,
) -> Labels:
    """The labels of n records.

    Args:
        rng: the dice.
        times: (n,) event times (ms).
        y: (n,) what came true.
        delay_s: (n,) when it is known, after the event.
        missing: share of records that never get a label.
        corrected: share of the others whose first label is wrong and corrected later (revision 1).
        wrong: (n,) what such a first label says.
        after_s: (n,) how long after the first label the correction comes.
    """
    lot = rng.random((2, len(times)))
    known = lot[0] >= missing
    mended = known & (lot[1] < corrected) & (wrong != y)
    first, second = np.flatnonzero(known), np.flatnonzero(mended)
    at = times + np.maximum(np.rint(delay_s * 1000.0), 1.0).astype(np.int64)
    again = at + np.maximum(np.rint(after_s * 1000.0), 1.0).astype(np.int64)
    index = np.concatenate([first, second])
    time = np.concatenate([at[first], again[second]])
    value = np.concatenate([np.where(mended, wrong, y)[first], y[second]])
    revision = np.concatenate([np.zeros(len(first), np.int64), np.ones(len(second), np.int64)])
    order = np.lexsort((revision, index, time))
    return Labels(index[order], value[order], time[order], revision[order])
