"""Figures of regressions from sums: each for all rows of a tally at once, NaN where it cannot be said."""

import numpy as np

from services.monitor.analyst.tally import Tally, Values


def mae(of: Tally) -> Values:
    """Mean absolute error, in the target's unit."""
    return _mean(of.loss, of.labelled)


def mae_error(of: Tally) -> Values:
    """Its standard error: the sum of squares says how much absolute errors vary."""
    variance = np.maximum(_mean(of.squared, of.labelled) - mae(of) ** 2, 0.0)
    return np.sqrt(_mean(variance, of.labelled))


def rmse(of: Tally) -> Values:
    """Root mean squared error, in the target's unit."""
    return np.sqrt(_mean(of.squared, of.labelled))


def rmsle(of: Tally) -> Values:
    """Root mean squared error of log(1 + value); NaN where a value or a truth was not above -1."""
    return np.where(of.unlogged > 0, np.nan, np.sqrt(_mean(of.squared_log, of.labelled)))


def within(of: Tally) -> Values:
    """Share of values within the tolerance of the truth."""
    return _mean(of.labelled - of.errors, of.labelled)


def _mean(total: Values, n: Values) -> Values:
    return np.asarray(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))
