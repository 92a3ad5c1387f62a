"""Figures of quality as they were known when the journal had been read up to some offsets: from predictions and labels.

What is known of a prediction at an offset is the label that came into force last before it. The figures are those that
the analyst names, written anew from their definitions in docs/monitor.md.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.recompute.fold import Told
from tailrace.recompute.lives import Life, Seen
from tailrace.recompute.terms import UNIT, Terms, Times, units

BINS, TENTHS = 40, 10
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One prediction that counts, at an offset; `forces` are (offset, value) of the labels that came into force."""

    offset: int
    score: float
    label: str | float
    probabilities: dict[str, float] | None
    forces: tuple[tuple[int, Any], ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one version and some windows; a figure that cannot be said is None."""

    observed: int
    labelled: int
    values: dict[str, float | None]


@dataclass(slots=True)
class Then:
    """What is kept of the recomputation for questions about the past.

    Args:
        times: how event time is measured.
        terms: how wrong a prediction was.
    """

    times: Times
    terms: Terms
    _rows: dict[tuple[str, bool, int, int], list[Row]] = field(default_factory=lambda: defaultdict(list))

    def keep(self, partition: int, told: Told) -> None:
        """Take in a partition."""
        for life in told.lives:
            for seen, shadow in life.all():
                if seen.counts:
                    key = (seen.version, shadow, self.times.window(seen.time), partition)
                    self._rows[key].append(_row(life, seen))

    def figures(
        self, version: str, since: int, until: int, offsets: Mapping[int, int], *, shadow: bool = False
    ) -> Figures:
        """The figures of a version's windows in [since, until) ms, as known before these offsets of each partition."""
        judged: list[tuple[Row, Any]] = []
        observed = 0
        for (name, role, window, partition), rows in self._rows.items():
            if (name, role) == (version, shadow) and since <= window < until:
                end = offsets.get(partition, 0)
                seen = [row for row in rows if row.offset < end]
                observed += len(seen)
                judged += _labelled(seen, end)
        made = _numbers(judged, self.terms) if self.terms.task == "regression" else _classes(judged, self.terms)
        return Figures(observed, len(judged), {name: _or_none(value) for name, value in made.items()})


def _row(life: Life, seen: Seen) -> Row:
    said = seen.observation.prediction
    forces = tuple((max(offset, seen.offset), label.value) for offset, label in life.forces)
    return Row(seen.offset, said.score, said.label, said.probabilities, forces)


def _labelled(rows: Iterable[Row], end: int) -> Iterator[tuple[Row, Any]]:
    """Each row that has a label by then, with the one in force."""
    for row in rows:
        known = [value for offset, value in row.forces if offset < end]
        if known:
            yield row, known[-1]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _mean(values: Sequence[int], n: int) -> float:
    """Of exact sums in units."""
    return sum(values) / UNIT / n if n else math.nan


def _numbers(judged: list[tuple[Row, Any]], terms: Terms) -> dict[str, float]:
    n = len(judged)
    verdicts = [terms.verdict(row, value) for row, value in judged]
    off = [row.score - value for row, value in judged]
    logged = [(row.score, value) for row, value in judged if row.score > -1 and value > -1]
    logs = [units((math.log1p(score) - math.log1p(value)) ** 2) for score, value in logged]
    return {
        f"within_{terms.within * 100:g}": 1 - sum(error for error, _ in verdicts) / n if n else math.nan,
        "rmse": math.sqrt(_mean([units(one * one) for one in off], n)),
        "mae": _mean([loss for _, loss in verdicts], n),
        "rmsle": math.sqrt(_mean(logs, n)) if len(logs) == n else math.nan,  # one without a logarithm makes it unknown
    }


def _classes(judged: list[tuple[Row, Any]], terms: Terms) -> dict[str, float]:
    n = len(judged)
    verdicts = [terms.verdict(row, value) for row, value in judged]
    made = {
        "accuracy": 1 - sum(error for error, _ in verdicts) / n if n else math.nan,
        "log_loss": _mean([loss for _, loss in verdicts], n),
        **_confused(judged, terms.classes),
    }
    score = np.array([min(max(row.score, 0.0), 1.0) for row, _ in judged])
    wanted: Callable[[Row], Any] = (lambda _: terms.positive) if terms.task == "binary" else (lambda row: row.label)
    hits = np.array([value == wanted(row) for row, value in judged], dtype=np.float64)
    at = np.minimum((score * BINS).astype(int), BINS - 1) if n else np.zeros(0, dtype=int)
    made["ece"] = _ece(score, hits, at)
    if terms.task == "binary":
        made["auc"] = _auc(hits, at)
        squares = [units((s - h) * (s - h)) for s, h in zip(score.tolist(), hits.tolist(), strict=True)]
        made["brier"] = _mean(squares, n)
    return made


def _confused(judged: list[tuple[Row, Any]], classes: tuple[str, ...]) -> dict[str, float]:
    """Recall averaged over the classes that came (two at least), and F1 over all classes."""
    pairs = [(str(value), str(row.label)) for row, value in judged]
    recalls, scores = list[float](), list[float]()
    for name in classes:
        came = sum(true == name for true, _ in pairs)
        said = sum(told == name for _, told in pairs)
        both = sum(true == name == told for true, told in pairs)
        scores.append(2 * both / (came + said) if came + said else 0.0)
        if came:
            recalls.append(both / came)
    return {
        "balanced_accuracy": sum(recalls) / len(recalls) if len(recalls) > 1 else math.nan,
        "macro_f1": sum(scores) / len(scores) if pairs else math.nan,
    }


def _ece(score: Values, hits: Values, at: NDArray[np.int_]) -> float:
    """Guo and others (2017), over tenths; scores as they are counted, in units."""
    if not len(score):
        return math.nan
    tenth = at // (BINS // TENTHS)
    exact = np.array([units(one) for one in score.tolist()], dtype=np.float64) / UNIT
    gaps = [abs(float(exact[tenth == i].sum() - hits[tenth == i].sum())) for i in range(TENTHS)]
    return sum(gaps) / len(score)


def _auc(hits: Values, at: NDArray[np.int_]) -> float:
    """By ranks (Mann and Whitney, 1947), scores of one bin being tied."""
    n, m = int(hits.sum()), int(len(hits) - hits.sum())
    if not n or not m:
        return math.nan
    counts = np.bincount(at, minlength=BINS)
    first = np.cumsum(counts) - counts
    ranks = first[at] + (counts[at] + 1) / 2
    return float((ranks[hits == 1].sum() - n * (n + 1) / 2) / (n * m))
