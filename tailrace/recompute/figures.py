"""Scorecards counted from the tables: by version, role and window, each figure under the name that it has there.

A figure's name is its path in the published JSON: `labelled`, `confusion[2]`, `features.weight.counts[0]`.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tailrace.recompute.tables import KEY
from tailrace.recompute.terms import Terms, units

Card = tuple[str, bool, int]
"""A version, whether as a shadow, and the start of its window (ms)."""
Figures = dict[str, int]
DELAYS = (0, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000)
"""Edges of the histogram of label delays, s."""
BINS = 40
FLAGS = ("degraded", "first", "out_of_range", "stale", "unseen")
"""All that there are: others are not counted, nor are groups that the pipeline has not."""
_SUMS = ("duplicate", "conflicting", "corrected", "errors", "loss", "brier", "squared", "squared_log", "unlogged")
_MORE = ("bias", "target", "target_squared")


class Cards:
    """Figures by scorecard, added up from groups of tables."""

    def __init__(self) -> None:
        self.of: dict[Card, Counter[str]] = defaultdict(Counter)

    def count(self, frame: pd.DataFrame, name: str, place: str = "") -> None:
        """Rows of each card; with `place` at each value of that column: `name` has a `{}` for it."""
        by = [*KEY, place] if place else KEY
        for key, n in frame.groupby(by, sort=False).size().items():
            self._add(key, name, int(n))

    def sum(self, frame: pd.DataFrame, column: str, name: str, place: str = "") -> None:
        """A column's sum for each card, exactly; with `place` at each value of that column."""
        by = [*KEY, place] if place else KEY
        for key, values in frame.groupby(by, sort=False)[column]:
            self._add(key, name, sum(map(int, values)))

    def _add(self, key: Any, name: str, n: int) -> None:
        version, shadow, window, *place = key
        self.of[str(version), bool(shadow), int(window)][name.format(*place)] += n

    def figures(self) -> dict[Card, Figures]:
        """Without zeros, which nobody tells from nothing."""
        return {key: {name: n for name, n in sorted(of.items()) if n} for key, of in sorted(self.of.items())}


def count_all(cards: Cards, frame: pd.DataFrame, terms: Terms) -> None:
    """Everything but features and slices.

    Args:
        cards: added to.
        frame: of `observations`.
        terms: of the pipeline.
    """
    cards.count(frame, "n")
    _looked_up(cards, frame, terms)
    flags = frame[[*KEY, "flags"]].explode("flags")
    cards.count(flags[flags["flags"].isin(FLAGS)], "flags.{}", "flags")
    for name in (*_SUMS, *_MORE):
        cards.sum(frame, name, name)
    judged = frame[frame["labelled"]]
    cards.count(judged, "labelled")
    delays = judged["delay"].map(lambda ms: bisect_right(DELAYS, ms / 1_000))
    cards.count(judged.assign(at=delays), "delays[{}]", "at")
    if terms.task != "regression":
        _classes(cards, frame, judged, terms)
    _pairs(cards, judged[judged["champion"].notna()])


def _classes(cards: Cards, frame: pd.DataFrame, judged: pd.DataFrame, terms: Terms) -> None:
    cards.count(frame.assign(at=frame["score"].map(_bin)), "scores[{}]", "at")
    at, place = judged["score"].map(_bin), {name: i for i, name in enumerate(terms.classes)}
    cards.count(judged.assign(at=at), "labelled_scores[{}]", "at")
    cards.sum(judged.assign(at=at), "hit", "hits[{}]", "at")
    score = judged["score"].map(lambda p: units(min(max(p, 0.0), 1.0)))
    cards.sum(judged.assign(at=at, exact=score), "exact", "score_sums[{}]", "at")
    known = judged[judged["value"].isin(place) & judged["label"].isin(place)]
    cell = [place[t] * len(place) + place[p] for t, p in zip(known["value"], known["label"], strict=True)]
    cards.count(known.assign(at=cell), "confusion[{}]", "at")


def _bin(score: float) -> int:
    return min(max(int(score * BINS), 0), BINS - 1)


def _looked_up(cards: Cards, frame: pd.DataFrame, terms: Terms) -> None:
    rows = [
        (*key, group, age)
        for *key, ages in frame[[*KEY, "ages"]].itertuples(index=False)
        for group, age in ages.items()
        if group in terms.groups
    ]
    found = pd.DataFrame(rows, columns=[*KEY, "group", "age"], dtype=object)
    missing = found["age"].isna()
    cards.count(found[missing], "groups.{}.missing", "group")
    cards.count(found[~missing], "groups.{}.found", "group")
    exact = found[~missing].assign(ms=[round(age * 1_000) for age in found["age"][~missing]])
    cards.sum(exact, "ms", "groups.{}.age", "group")


def _pairs(cards: Cards, frame: pd.DataFrame) -> None:
    """A shadow's predictions beside the champion's, on the same labels."""
    mine, theirs = frame["errors"] > 0, frame["champion_errors"] > 0
    cards.count(frame, "pairs.{}.n", "champion")
    ends = {"both_right": ~mine & ~theirs, "champion_only": mine & ~theirs, "shadow_only": ~mine & theirs}
    for name, rows in ends.items():
        cards.count(frame[rows], f"pairs.{{}}.{name}", "champion")
    cards.sum(frame, "pair_loss", "pairs.{}.loss", "champion")
    cards.sum(frame, "pair_squared", "pairs.{}.loss_squared", "champion")


def merged(parts: list[Mapping[Card, Figures]]) -> dict[Card, Figures]:
    """The cards of several partitions as one."""
    sums: dict[Card, Counter[str]] = defaultdict(Counter)
    for part in parts:
        for key, figures in part.items():
            sums[key].update(figures)
    return {key: {name: n for name, n in sorted(of.items()) if n} for key, of in sorted(sums.items())}
