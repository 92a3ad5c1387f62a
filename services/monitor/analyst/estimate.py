"""What quality is to be expected before labels come: if the concept has not changed.

From scores alone: where a score meant something in past windows, it is taken to mean the same now. So a change of what
comes is seen, and a change of what it means is not: that is always on the side of "fine". No area under a curve is
estimated: on flights such estimates had nothing to do with what came true.

Classes: each score bin's share of hits in past windows, made rising, weighted by how many scores are in the bin now
(confidence-based performance estimation as NannyML calls it; average confidence in Garg and others, "Leveraging
unlabeled data to predict out-of-distribution performance", 2022). Numbers: the mean absolute error, by what
the answers of each bin of the reference were off in past windows, and by how the windows with other answers differed
from that (direct loss estimation, from sums: means a bin, and a ridge regression of what they miss).

How near it comes depends on the threshold: on flights it is off by 2.0 points of accuracy a week at the base rate, by
4.8 at 0.5, where accuracy hangs on how many come late, which scores hardly know (`tailrace bench estimate`).
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.monitor.analyst.intervals import student
from shared.core.monitor_records import SCORE_BINS, Sums
from shared.core.quality import Task
from shared.core.scorecards import SCALE, real

CONDITION = "if the concept has not changed"
BACKTESTED = 8  # past windows without which no interval can be given
_KEPT = 0.95  # of a window's weight a window later: after twenty it counts a third
_POOLED = 25  # labels' worth of belief that a bin's answers are as wrong as all
_RIDGE = 2.0  # windows' worth of belief that all answers are equally wrong
_NOTHING = 1e-9
_MIDDLES = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
Values = NDArray[np.float64]


class Expected(msgspec.Struct, frozen=True):
    """A figure that is expected of `n` predictions, and where 95 % of such estimates would hold.

    `value` is None where nothing can be said, for the reason `why`; `typical` is how far the same estimate was from
    what came true in past windows (root mean square).
    """

    figure: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    typical: float | None = None
    why: str = ""
    condition: str = CONDITION


def estimate(past: Sequence[Sums], now: Sums, task: Task, threshold: float = 0.5) -> Expected:
    """The accuracy (of a regression: the mean absolute error) to be expected of a window.

    Args:
        past: windows of the same version whose labels have come, the oldest first; the judged holdout may be first.
        now: the window; its labels, if there are any, are not looked at.
        task: of the pipeline.
        threshold: of a binary task, from which a score means the positive class.
    """
    figure = "mae" if task == "regression" else "accuracy"
    labelled = [sums for sums in past if sums.labelled]
    n = sum(now.answers.counts) if task == "regression" else sum(now.scores)
    if not n:
        return Expected(figure, 0, why="nothing was predicted, or the version has no reference profile")
    if not labelled:
        return Expected(figure, n, why="no window of this version has labels yet")
    says = _by_answers(labelled, now) if task == "regression" else _by_scores(labelled, now, task, threshold)
    missed = [says[i] - _realised(sums, task) for i, sums in enumerate(labelled) if i and not math.isnan(says[i])]
    value = float(says[-1])
    if len(missed) < BACKTESTED:
        return Expected(figure, n, value, why=f"no interval before {BACKTESTED + 1} windows have labels")
    typical = math.sqrt(sum(miss * miss for miss in missed) / len(missed))
    half = student(len(missed)) * typical
    most = math.inf if task == "regression" else 1.0
    return Expected(figure, n, value, max(value - half, 0.0), min(value + half, most), typical)


def curve(hits: Values, labelled: Values) -> Values:
    """What a score means, (40,): the share of hits of each bin, made rising; one record more says what it claims.

    Pool adjacent violators (Ayer, Brunk, Ewing, Reid, Silverman, "An empirical distribution function for sampling with
    incomplete information", 1955).
    """
    weights = labelled + 1.0
    pools: list[tuple[float, float, int]] = []
    for share, weight in zip(((hits + _MIDDLES) / weights).tolist(), weights.tolist(), strict=True):
        mean, total, bins = share, weight, 1
        while pools and pools[-1][0] >= mean:
            before, heavy, many = pools.pop()
            mean, total, bins = (before * heavy + mean * total) / (heavy + total), heavy + total, many + bins
        pools.append((mean, total, bins))
    return np.asarray(np.repeat([mean for mean, _, _ in pools], [bins for _, _, bins in pools]), dtype=np.float64)


def _by_scores(past: Sequence[Sums], now: Sums, task: Task, threshold: float) -> Values:
    """The accuracy expected of each window by those before it, (m + 1,), `now` the last; NaN without scores."""
    scores = _rows([sums.scores for sums in (*past, now)])
    hits = _remembered(_rows([(), *(sums.hits for sums in past)]))
    seen = _remembered(_rows([(), *(sums.labelled_scores for sums in past)]))
    means = np.array([curve(*row) for row in zip(hits, seen, strict=True)])
    right = means if task == "multiclass" else _right(means, threshold)
    n = scores.sum(axis=1)
    return np.asarray(np.divide((scores * right).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0))


def _remembered(rows: Values) -> Values:
    """For each row the sum of all up to it, the older ones fading."""
    summed = rows.copy()
    for i in range(1, len(rows)):
        summed[i] += _KEPT * summed[i - 1]
    return summed


def _right(means: Values, threshold: float) -> Values:
    """How often a binary answer is right, by score bin; the bin of the threshold is divided where that lies in it."""
    above = np.clip(np.arange(1, SCORE_BINS + 1) - threshold * SCORE_BINS, 0.0, 1.0)
    return np.asarray(above * means + (1 - above) * (1 - means))


def _by_answers(past: Sequence[Sums], now: Sums) -> Values:
    """The same of mean absolute errors: what each bin's answers were off before, and how windows differed from that.

    Windows count by their labels, older ones less; what they do not tell apart is held at their common mean (Hoerl and
    Kennard, "Ridge regression", 1970).
    """
    places = len(now.answers.counts)
    bins = [sums.answers.counts if len(sums.answers.counts) == places else () for sums in (*past, now)]
    counts = _rows(bins, places)
    n = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, n, out=np.full_like(counts, np.nan), where=n > 0)
    labels = np.array([float(sums.labelled) for sums in past])
    direct = _direct(past, shares)
    news = np.array([real(sums.loss) / sums.labelled for sums in past]) - direct[:-1]
    faded = _KEPT ** np.arange(len(past))[::-1]
    found = [
        max(float(direct[i]) + _ridge(shares[:i], labels[:i] * faded[-i:], news[:i], shares[i]), 0.0)
        for i in range(1, len(past) + 1)
    ]
    return np.array([np.nan, *found])


def _direct(past: Sequence[Sums], shares: Values) -> Values:
    """What windows would be off if each bin's answers were as far off as before, (m + 1,); 0 where no card says it."""
    places = shares.shape[1]
    told = [len(sums.answer_labels) == len(sums.answer_losses) == places for sums in past]
    if not any(told):
        return np.zeros(len(shares))
    labels = _remembered(_rows([sums.answer_labels if ok else () for sums, ok in zip(past, told, strict=True)], places))
    losses = _remembered(_rows([sums.answer_losses if ok else () for sums, ok in zip(past, told, strict=True)], places))
    n = labels.sum(axis=1, keepdims=True)
    common = np.divide(losses.sum(axis=1, keepdims=True), n, out=np.full_like(n, np.nan), where=n > 0)
    each = (losses + _POOLED * common) / (labels + _POOLED)
    return np.array([np.nan, *(shares[1:] * each).sum(axis=1) / SCALE])


def _ridge(shares: Values, labels: Values, losses: Values, now: Values) -> float:
    """The loss of a window by its shares, 0 where nothing is known of any; its sign is as it comes."""
    known = ~np.isnan(losses)
    if not known.any():
        return 0.0
    common = float(labels[known] @ losses[known] / labels[known].sum())
    usable = known & ~np.isnan(shares).any(axis=1)
    if not usable.any():
        return common if not np.isnan(now).any() else math.nan
    weights = labels[usable] / labels[usable].mean()
    usual = weights @ shares[usable] / weights.sum()
    apart, news = shares[usable] - usual, losses[usable] - common
    # Deviations of shares are small numbers: the belief is measured by what they amount to in a typical window.
    belief = _RIDGE * max(float((weights[:, None] * apart**2).sum()) / len(apart), _NOTHING)
    normal = apart.T @ (weights[:, None] * apart) + belief * np.eye(len(now))
    return float(common + (now - usual) @ np.linalg.solve(normal, apart.T @ (weights * news)))


def _realised(sums: Sums, task: Task) -> float:
    if task == "regression":
        return real(sums.loss) / sums.labelled
    return 1 - sums.errors / sums.labelled


def _rows(rows: Sequence[Sequence[int]], size: int = SCORE_BINS) -> Values:
    filled = np.zeros((len(rows), size))
    for one, row in zip(filled, rows, strict=True):
        one[: len(row)] = row
    return filled
