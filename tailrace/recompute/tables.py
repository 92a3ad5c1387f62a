"""The tables that figures are counted from: one row an observation that counts, and one a label or other entry."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from tailrace.recompute.fold import Told
from tailrace.recompute.lives import Life, Seen
from tailrace.recompute.terms import UNIT, Terms, Times, units

KEY = ["version", "shadow", "window"]
STATUSES = ("matched", "corrected", "late", "held", "orphaned", "duplicate", "conflicting", "unsampled")
_EXACT = ("loss", "bias", "brier", "squared", "squared_log", "target", "target_squared", "pair_loss", "pair_squared")
_COLUMNS = (
    *(*KEY, "time", "score", "label", "flags", "ages", "record", "lookups", "duplicate", "conflicting", "corrected"),
    *("labelled", "value", "delay", "errors", *_EXACT, "hit", "unlogged", "champion", "champion_errors"),
)


def observations(told: Told, times: Times, terms: Terms) -> pd.DataFrame:
    """One row an observation that counts in a scorecard, with the label in force and how wrong the prediction was.

    Sums of units are kept as Python's integers (columns of objects), which do not overflow. Where there is no label,
    the columns that are about one are 0 or None.
    """
    rows = [row for life in told.lives for row in _rows(life, times, terms)]
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in _COLUMNS}, dtype=object)
    return frame.astype({"shadow": bool, "labelled": bool})


def _rows(life: Life, times: Times, terms: Terms) -> Iterator[dict[str, Any]]:
    for seen, shadow in life.all():
        if not seen.counts:
            continue
        made = {**dict.fromkeys(("errors", "unlogged", *_EXACT), 0), **_described(seen, times), "shadow": shadow}
        if not shadow:
            made |= {status: life.repeats[status] for status in ("duplicate", "conflicting")}
        if life.label is not None:
            made |= _judged(seen, life.label.value, life.label.time, terms)
            if shadow and life.seen is not None:
                made |= _beside(made, life.seen, life.label.value, terms)
        yield made


def _described(seen: Seen, times: Times) -> dict[str, Any]:
    one, prediction = seen.observation, seen.observation.prediction
    return {
        "version": prediction.version, "window": times.window(seen.time), "time": seen.time, "label": prediction.label,
        "score": prediction.score, "flags": prediction.flags, "ages": prediction.ages or {}, "record": one.record,
        "lookups": one.lookups, "duplicate": 0, "conflicting": 0, "corrected": seen.corrected, "labelled": False,
    }  # fmt: skip


def _judged(seen: Seen, value: Any, known: int, terms: Terms) -> dict[str, Any]:
    """How wrong it was, for whatever is summed. Brier (1950): of the positive class, or over all classes."""
    prediction = seen.observation.prediction
    error, loss = terms.verdict(prediction, value)
    made = {"labelled": True, "value": value, "delay": known - seen.time, "errors": error, "loss": loss}
    if terms.task == "regression":
        return made | _of_number(prediction.score, value)
    hit = int(value == (terms.positive if terms.task == "binary" else prediction.label))
    score = min(max(prediction.score, 0.0), 1.0)
    if terms.task == "binary":
        brier = (score - hit) * (score - hit)
    else:
        shares = prediction.probabilities or {}
        brier = math.fsum((share - (name == value)) ** 2 for name, share in shares.items())
    return made | {"hit": hit, "bias": units(score) - hit * UNIT, "brier": units(brier)}


def _of_number(score: float, value: float) -> dict[str, Any]:
    off = score - value
    logged = score > -1 and value > -1
    return {
        "bias": units(off), "squared": units(off * off), "target": units(value), "target_squared": units(value * value),
        "squared_log": units((math.log1p(score) - math.log1p(value)) ** 2) if logged else 0,
        "unlogged": int(not logged),
    }  # fmt: skip


def _beside(mine: dict[str, Any], champion: Seen, value: Any, terms: Terms) -> dict[str, Any]:
    error, loss = terms.verdict(champion.observation.prediction, value)
    more = mine["loss"] - loss
    who = {"champion": champion.version, "champion_errors": error}
    return {**who, "pair_loss": more, "pair_squared": more * more // UNIT}


def entries(told: Told) -> pd.DataFrame:
    """One row an entry: the account's window, and what it was; a label's is its status. `astray` of orphaned ones."""
    rows = [(window, what, False) for window, what in told.entries]
    rows += [(window, status, astray) for window, status, astray in told.labels.values()]
    return pd.DataFrame(rows, columns=["window", "what", "astray"])


def accounts(frame: pd.DataFrame) -> dict[int, dict[str, int]]:
    """What became of the entries, by window of the watermark; without zeros."""
    made: dict[int, dict[str, int]] = {}
    if frame.empty:
        return made
    sums = pd.crosstab(frame["window"], frame["what"])
    sums["labels"] = sums[[name for name in STATUSES if name in sums]].sum(axis=1)
    sums["astray"] = frame.groupby("window")["astray"].sum()
    for window, row in sums.to_dict("index").items():
        made[int(str(window))] = {str(name): int(n) for name, n in row.items() if n}
    return made
