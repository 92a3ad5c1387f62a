"""Is the challenger worse than the champion? Cell by cell, so that neither gains from an easier hour.

A cell is a window in a partition. Both versions score keys of each cell, drawn by a hash, so within a cell they have
the same world; between cells the world differs, and so do the shares of a canary. Hence differences are taken within
cells, and how much they vary between cells says how sure their mean is: labels of one hour are not independent, which
the count of labels would make one believe.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.retrainer.rollout.cards import CellSums, Place
from shared.core.scorecards import real

CELLS = 6  # fewer do not say how much cells vary
LABELS = 50  # of the challenger
_HUGE = 100.0  # no float overflows, and no difference reaches it


class Pair(NamedTuple):
    """One cell: the difference of the mean losses, challenger minus champion, and what it weighs."""

    difference: float
    weight: float
    labels: int


class Difference(NamedTuple):
    """The mean difference of loss with its standard error; `labels` of the challenger are in it, from so many cells."""

    value: float
    error: float
    labels: int
    cells: int

    def worse(self, errors: float, tests: int = 1) -> bool:
        """Whether the challenger is worse by more than so many standard errors; see `limit`."""
        return self.value > limit(errors, tests, self.cells) * self.error and self.value > 0


def limit(errors: float, tests: int, cells: int) -> float:
    """By how many standard errors a difference may be off, such that chance passes it as seldom as `errors` say.

    Of several tests that are looked at together: sqrt(errors**2 + 2 ln tests), from the Gaussian tail bound
    exp(-z**2 / 2) and the union. Of an error that is itself estimated from few cells: Student's quantile at the same
    tail (Wallace, "Bounds on normal approximations to Student's and the chi-square distributions", 1959).
    """
    z, freedom = math.sqrt(errors**2 + 2 * math.log(max(tests, 1))), cells - 1
    known = z * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(min(known**2 / freedom, _HUGE)))


def difference(pairs: Sequence[Pair]) -> Difference | None:
    """The mean over cells, by weight; None where there is too little to say how sure it is.

    The error is that of a weighted mean of b independent values: sqrt(b / (b - 1) sum w**2 (d - mean)**2) / sum w
    (Cochran, "Sampling techniques", 1977, 6.5, for a ratio).
    """
    used = [pair for pair in pairs if pair.weight > 0]
    labels = sum(pair.labels for pair in used)
    if len(used) < CELLS or labels < LABELS:
        return None
    total = math.fsum(pair.weight for pair in used)
    mean = math.fsum(pair.weight * pair.difference for pair in used) / total
    spread = math.fsum((pair.weight * (pair.difference - mean)) ** 2 for pair in used)
    return Difference(mean, math.sqrt(spread * len(used) / (len(used) - 1)) / total, labels, len(used))


def beside(challenger: Mapping[Place, CellSums], champion: Mapping[Place, CellSums]) -> list[Pair]:
    """Cells in which both have labels, of keys of their own: the weight is that of a difference of two means."""
    both = [(challenger[place], champion[place]) for place in sorted(challenger.keys() & champion.keys())]
    return [_pair(one.loss, one.labelled, other.loss, other.labelled) for one, other in both]


def paired(shadow: Mapping[Place, CellSums], champion: str) -> list[Pair]:
    """Cells in which a shadow and this champion scored the same records."""
    found = [cell.pairs[champion] for _, cell in sorted(shadow.items()) if champion in cell.pairs]
    return [Pair(real(p.loss) / p.n, p.n, p.n) for p in found if p.n]


def sliced(challenger: Mapping[Place, CellSums], champion: Mapping[Place, CellSums]) -> dict[str, list[Pair]]:
    """The same as `beside`, for each declared slice."""
    found: dict[str, list[Pair]] = {}
    for place in sorted(challenger.keys() & champion.keys()):
        one, other = challenger[place].slices, champion[place].slices
        for name in sorted(one.keys() & other.keys()):
            pair = _pair(one[name].loss, one[name].labelled, other[name].loss, other[name].labelled)
            found.setdefault(name, []).append(pair)
    return found


def added(cells: Iterable[CellSums]) -> tuple[list[int], list[int]]:
    """Answers of cells together: over the 40 equal bins of scores, and over the bins of the version's reference."""
    scores: list[int] = []
    answers: list[int] = []
    for cell in cells:
        scores = _sum(scores, cell.scores)
        answers = _sum(answers, cell.answers.counts)
    return scores, answers


def _sum(one: Sequence[int], other: Sequence[int]) -> list[int]:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return [a + b for a, b in zip(longer, shorter, strict=False)] + list(longer[len(shorter) :])


def _pair(loss: int, n: int, other_loss: int, other_n: int) -> Pair:
    if not n or not other_n:
        return Pair(0.0, 0.0, 0)
    return Pair(real(loss) / n - real(other_loss) / other_n, n * other_n / (n + other_n), n)
