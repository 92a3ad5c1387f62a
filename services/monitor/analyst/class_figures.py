"""Figures of classifiers from sums: each for all rows of a tally at once, NaN where it cannot be said.

The names are those of `shared.core.quality`, and what they mean is what the retrainer means by them.
"""

import numpy as np

from services.monitor.analyst.tally import Tally, Values
from shared.core.scorecards import LEAST

ECE_BINS = 10
_WELL = 2.0  # Agresti and Coull, "Approximate is better than exact" (1998): two hits and two misses more


def accuracy(of: Tally) -> Values:
    """Share of labels that were right."""
    return _over(of.labelled - of.errors, of.labelled)


def balanced_accuracy(of: Tally) -> Values:
    """Mean over the classes that came of the share of each that was found; NaN where fewer than two came."""
    came, found = of.confusion.sum(axis=-1), np.diagonal(of.confusion, axis1=-2, axis2=-1)
    some = came > 0
    mean = _over(np.where(some, _over(found, came), 0.0).sum(axis=-1), some.sum(axis=-1))
    return np.where(some.sum(axis=-1) > 1, mean, np.nan)


def balanced_error(of: Tally) -> Values:
    """Its standard error: recalls of different classes are independent shares."""
    came, found = of.confusion.sum(axis=-1), np.diagonal(of.confusion, axis1=-2, axis2=-1)
    some, n = came > 0, came + 2 * _WELL
    share = (found + _WELL) / n
    variance = np.where(some, share * (1 - share) / n, 0.0).sum(axis=-1)
    return _over(np.sqrt(variance), some.sum(axis=-1))


def macro_f1(of: Tally) -> Values:
    """Mean over the classes of F1; 0 for a class that neither came nor was predicted."""
    found = 2 * np.diagonal(of.confusion, axis1=-2, axis2=-1)
    either = of.confusion.sum(axis=-1) + of.confusion.sum(axis=-2)
    f1 = np.divide(found, either, out=np.zeros_like(found), where=either > 0)
    return np.where(of.confusion.sum(axis=(-1, -2)) > 0, f1.mean(axis=-1), np.nan)


def macro_f1_error(of: Tally) -> Values:
    """Its standard error by the delta method on the cells of the confusion matrix, which are multinomial.

    Source: Takahashi, Yamamoto, Kuchiba, Koyama, "Confidence interval for micro-averaged F1 and macro-averaged F1
    scores" (2022).
    """
    k = of.confusion.shape[-1]
    cells = of.confusion + 2 * _WELL / (k * k)
    n = cells.sum(axis=(-1, -2))
    found, either = np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(axis=-1) + cells.sum(axis=-2)
    own, other = 2 / either / k, found / either**2 / k
    slope = -(other[..., :, None] + other[..., None, :]) + own[..., :, None] * np.eye(k)
    share = cells / n[..., None, None]
    variance = (share * slope**2).sum(axis=(-1, -2)) - ((share * slope).sum(axis=(-1, -2))) ** 2
    # A slope is in labels: n of them make a share, and the variance of a mean of n is the n-th part.
    return np.asarray(np.sqrt(np.maximum(variance, 0.0) * n))


def auc(of: Tally) -> Values:
    """Area under the ROC curve through the edges of the score bins: scores in one bin count as tied.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve" (1982). NaN where one class came.
    """
    positives, negatives = of.hits, of.labelled_scores - of.hits
    below = np.cumsum(negatives, axis=-1) - negatives
    pairs = (positives * (below + negatives / 2)).sum(axis=-1)
    return _over(pairs, positives.sum(axis=-1) * negatives.sum(axis=-1))


def log_loss(of: Tally) -> Values:
    """Mean negative log probability of what came true, in nats; one label costs at most 13.87."""
    return _over(of.loss, of.labelled)


def brier(of: Tally) -> Values:
    """Mean squared error of the probability of the positive class (Brier, 1950)."""
    return _over(of.brier, of.labelled)


def binary_errors(of: Tally) -> tuple[Values, Values]:
    """Standard errors of log-loss and Brier score of a binary task, as if each score were the mean of its bin."""
    n = of.labelled_scores.sum(axis=-1)
    score = np.clip(_over(of.score_sums, of.labelled_scores, 0.5), LEAST, 1 - LEAST)
    misses = of.labelled_scores - of.hits

    def error(hit: Values, miss: Values) -> Values:
        mean = _over((of.hits * hit + misses * miss).sum(axis=-1), n)
        square = _over((of.hits * hit**2 + misses * miss**2).sum(axis=-1), n)
        return np.sqrt(_over(np.maximum(square - mean**2, 0.0), n))

    return error(-np.log(score), -np.log1p(-score)), error((1 - score) ** 2, score**2)


def ece(of: Tally) -> Values:
    """Expected calibration error over ten equal bins (Guo and others, 2017): how far scores are from shares."""
    gaps = _tenths(of.score_sums) - _tenths(of.hits)
    return _over(np.abs(gaps).sum(axis=-1), of.labelled_scores.sum(axis=-1))


def ece_error(of: Tally) -> Values:
    """Its standard error by the delta method; wide where a gap is about 0, as chance alone makes one there."""
    n, hits = _tenths(of.labelled_scores), _tenths(of.hits)
    share = (hits + _WELL) / (n + 2 * _WELL)
    return _over(np.sqrt((n * share * (1 - share)).sum(axis=-1)), n.sum(axis=-1))


def _tenths(bins: Values) -> Values:
    return np.asarray(bins.reshape(*bins.shape[:-1], ECE_BINS, -1).sum(axis=-1))


def _over(a: Values, b: Values, without: float = np.nan) -> Values:
    """The ratio, and what it is without anything below the line."""
    a, b = np.broadcast_arrays(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    return np.asarray(np.divide(a, b, out=np.full(a.shape, without), where=b > 0))
