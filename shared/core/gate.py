"""The gate: a challenger beside the champion on the same labels, and whether it has learned anything at all. Pure.

*Paired.* Of every label both models have a loss; what counts is the difference. Labels of one day go together (a day of
bad weather is bad for both), so the standard error is that of a ratio of sums over blocks (Cochran, Sampling
Techniques, 1977, chapter 6), and never below what independent labels would have: two or three blocks that agree by
chance must not look like certainty.

*On the whole* a challenger is refused that is worse by more than `errors` standard errors. *On a slice* the level is
the same for all of them together: it is divided by their number (Bonferroni), and the quantile is Student's, since a
slice of three blocks has two degrees of freedom.

*Learned nothing.* A model of shuffled labels can look better than a champion that a change has made confidently wrong.
So a challenger must show, on labels that it has not learnt, that what it says goes along with what came true.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.core.student import student

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
Mode = Literal["not_worse", "better", "significantly_better", "none"]

LEAST_LABELS = 50
"""Labels of the whole (of a slice as well) below which nothing is judged."""
LEAST_BLOCKS = 2
LEAST_SKILL = 0.05
"""The least skill on labels of the kind that was learned from: where those were shuffled, so were these."""
LEAST_ELSEWHERE = 0.3
"""The least skill on other labels: what a model makes of noise may lie along the truth of few features (0.17 seen)."""
SURE = 3.0
"""Standard errors, under chance alone, that a skill must lie above nothing."""
_BLURRED = 0.1  # a standard error of a skill above which its absence says nothing
_LEAST_PROBABILITY = 2.0**-20  # as scorecards have it
_NOTHING = 1e-9  # differences of losses that are rounding


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Two models on the same `labels` in so many `blocks`: mean losses, challenger minus champion, its standard error.

    The challenger is worse where `difference` exceeds `limit`; None: too little to say.
    """

    labels: int
    blocks: int
    champion: float
    challenger: float
    difference: float
    error: float | None = None
    limit: float | None = None

    @property
    def worse(self) -> bool:
        """Whether the challenger is significantly worse; False where that cannot be said."""
        return self.limit is not None and self.difference > self.limit + _NOTHING


class Skill(msgspec.Struct, frozen=True, array_like=True):
    """How far answers go along with the truth: 0 not at all, 1 perfectly (twice the AUC less 1, or a rank correlation).

    `error` is its standard error if they had nothing to do with each other; below `least` it means nothing.
    """

    value: float
    error: float
    labels: int
    least: float = LEAST_ELSEWHERE

    @property
    def shown(self) -> bool:
        """Whether it is there beyond chance, and large enough to mean something."""
        return self.value >= self.least and self.value > SURE * self.error

    @property
    def known(self) -> bool:
        """Whether there was enough to tell."""
        return self.shown or self.error <= _BLURRED


class GateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The answer with all its figures. `judged` is False where there was too little to compare; `reasons` say why."""

    passed: bool
    judged: bool
    mode: Mode
    errors: float
    reasons: tuple[str, ...]
    whole: Compared
    slices: dict[str, Compared] = {}
    skills: dict[str, Skill] = {}


def judge(
    champion_losses: Values,
    challenger_losses: Values,
    blocks: Places,
    slices: Mapping[str, Mask],
    mode: Mode = "not_worse",
    errors: float = 2.0,
    *,
    skills: Mapping[str, Skill] | None = None,
) -> GateFigures:
    """Decide whether a challenger may go on.

    Args:
        champion_losses: of n labels that neither model has learnt, (n,).
        challenger_losses: of the same, (n,).
        blocks: the block (day) of each, (n,).
        slices: of each declared slice which labels are in it, (n,) each.
        mode: what the challenger must show; `none`: nothing beside the champion.
        errors: standard errors.
        skills: what it showed on labels that it has not learnt, by a name for each set of them; it must have shown some
            on one of them. None: not asked.

    Raises:
        ValueError: the columns are of different lengths.
    """
    if not len(champion_losses) == len(challenger_losses) == len(blocks):
        raise ValueError("the columns are of different lengths")
    a, b = champion_losses, challenger_losses
    whole = _compared(a, b, blocks, lambda _: errors)
    level = (1 - NormalDist().cdf(errors)) / max(len(slices), 1)

    def among(freedom: int) -> float:
        return student(1 - level, freedom)

    found = {name: _compared(a[mask], b[mask], blocks[mask], among) for name, mask in slices.items()}
    known = dict(skills or {})
    against = [*_beside(whole, found, mode, errors), *_unlearned(known)]
    judged = whole.limit is not None
    said = [] if judged else [_too_little(whole)]
    if skills is not None and not against and not any(skill.shown for skill in known.values()):
        said.append("too few labels to tell whether it has learned anything")
    return GateFigures(
        passed=not against, judged=judged, mode=mode, errors=errors, reasons=(*against, *said), whole=whole,
        slices=found, skills=known,
    )  # fmt: skip


def losses(answers: Values, y: Values, metric: str = "") -> Values:
    """The loss of each answer.

    Args:
        answers: (n, k) probabilities in the order of class codes, or (n,) values.
        y: (n,) class codes, or values.
        metric: of values: `mae` and `within_15` mean the absolute error, everything else the squared one.

    Returns:
        Log-loss (at most 13.87), or the error, (n,).
    """
    if answers.ndim == 2:  # noqa: PLR2004 - a row a record, a column a class
        said = answers[np.arange(len(y)), y.astype(np.intp)]
        return np.asarray(-np.log(np.maximum(said, _LEAST_PROBABILITY)), dtype=np.float64)
    error = np.abs(answers - y)
    return error if metric in ("mae", "within_15") else np.square(error)


def skill(answers: Values, y: Values, blocks: Places, *, least: float = LEAST_ELSEWHERE) -> Skill:
    """How far answers go along with the truth inside blocks; between blocks even noise may, and so does not count.

    Of classes the chance that a record of the class has a higher probability of it than another one of its block
    (Mann-Whitney; over blocks as van Elteren, 1960), of several classes their mean; of values Spearman's correlation.

    Args:
        answers: (n, k) probabilities in the order of class codes, or (n,) values.
        y: (n,) class codes, or values.
        blocks: the block of each record, (n,).
        least: what it must be at least; `LEAST_SKILL` for a holdout of the training's own labels.
    """
    groups = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    if answers.ndim == 1:
        value, error = _correlation(answers, y, groups)
        return Skill(value, error, len(y), least)
    classes = range(1, 2) if answers.shape[1] == 2 else range(answers.shape[1])  # noqa: PLR2004 - of two, one says it all
    each = [found for code in classes if (found := _separation(answers[:, code], y == code, groups)) is not None]
    if not each:
        return Skill(0.0, 1.0, len(y), least)
    return Skill(float(np.mean([v for v, _ in each])), float(np.mean([e for _, e in each])), len(y), least)


def _compared(a: Values, b: Values, blocks: Places, quantile: Callable[[int], float]) -> Compared:
    """Both models on some labels; `quantile`: standard errors beyond which it is no chance, by degrees of freedom."""
    n = len(a)
    if not n:
        return Compared(labels=0, blocks=0, champion=0.0, challenger=0.0, difference=0.0)
    change, (_, at) = b - a, np.unique(blocks, return_inverse=True)
    count = int(at.max()) + 1
    mean = float(change.mean())
    error = limit = None
    if n >= LEAST_LABELS and count >= LEAST_BLOCKS:
        residuals = np.bincount(at, weights=change - mean)
        between = math.sqrt(count / (count - 1) * float(np.square(residuals).sum())) / n
        error = max(between, float(change.std(ddof=1)) / math.sqrt(n))
        limit = quantile(count - 1) * error
    return Compared(
        labels=n, blocks=count, champion=float(a.mean()), challenger=float(b.mean()), difference=mean, error=error,
        limit=limit,
    )  # fmt: skip


def _beside(whole: Compared, slices: Mapping[str, Compared], mode: Mode, errors: float) -> Sequence[str]:
    """What speaks against the challenger, beside the champion."""
    if mode == "none":
        return []
    against = [f"worse than the champion{_told(whole)}"] if whole.worse else []
    against += [f"worse than the champion on {name}{_told(part)}" for name, part in slices.items() if part.worse]
    if mode == "not_worse" or against:
        return against
    if whole.error is None:
        return [f"not shown to be better: {_too_little(whole)}"]
    if mode == "better" and whole.difference >= 0:
        return [f"not better than the champion{_told(whole)}"]
    if mode == "significantly_better" and whole.difference >= -errors * whole.error:
        return [f"not better than the champion by {errors:g} standard errors{_told(whole)}"]
    return []


def _unlearned(skills: Mapping[str, Skill]) -> Sequence[str]:
    told = [skill for skill in skills.values() if skill.known]
    if not told or any(skill.shown for skill in told):
        return []
    words = ", ".join(f"{value.value:+.3f} on {value.labels:,} labels ({name})" for name, value in skills.items())
    return [f"it has learned nothing: its answers do not go along with what came true ({words}; 0 is chance)"]


def _told(one: Compared) -> str:
    error = f" +- {one.error:.4g}" if one.error is not None else ""
    return (
        f" (loss {one.challenger:.4g} against {one.champion:.4g}, {one.difference:+.4g}{error}, {one.labels:,} labels)"
    )


def _too_little(whole: Compared) -> str:
    need = f"{LEAST_LABELS} labels in {LEAST_BLOCKS} blocks are needed"
    return f"not judged: {whole.labels:,} labels in {whole.blocks} blocks that neither model has learnt; {need}"


def _separation(scores: Values, came: Mask, groups: Sequence[NDArray[np.intp]]) -> tuple[float, float] | None:
    """Twice the AUC less 1 over pairs of one block, and its standard error by chance; None: no such pair."""
    above = variance = pairs = 0.0
    for group in groups:
        yes = int(came[group].sum())
        no = len(group) - yes
        if yes and no:
            above += float(_ranks(scores[group])[came[group]].sum()) - yes * (len(group) + 1) / 2
            variance += yes * no * (len(group) + 1) / 12
            pairs += yes * no
    return (2 * above / pairs, 2 * math.sqrt(variance) / pairs) if pairs else None


def _correlation(answers: Values, y: Values, groups: Sequence[NDArray[np.intp]]) -> tuple[float, float]:
    together = variance = mine = theirs = 0.0
    for group in groups:
        if len(group) > 1:
            a, b = (_ranks(column[group]) - (len(group) + 1) / 2 for column in (answers, y))
            of_a, of_b = float(a @ a), float(b @ b)
            together += float(a @ b)
            variance += of_a * of_b / (len(group) - 1)
            mine += of_a
            theirs += of_b
    size = math.sqrt(mine * theirs)
    return (together / size, math.sqrt(variance) / size) if size else (0.0, 1.0)


def _ranks(values: Values) -> Values:
    """Ranks from 1, equal values sharing theirs."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Any = last - (counts - 1) / 2
    return np.asarray(shared[at], dtype=np.float64)
