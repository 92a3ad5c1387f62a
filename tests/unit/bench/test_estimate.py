"""`tailrace bench estimate`, on made-up flights: nothing is known too early, and what is missed is said."""

import msgspec
import numpy as np
import pytest

from services.monitor.analyst.estimate import CONDITION
from tailrace.bench import estimate as bench
from tailrace.bench.drift import Bar
from tailrace.bench.estimate import WANTED, measure, replayed, sums_of
from tailrace.bench.estimate_table import table
from tailrace.bench.flown import DAY_MS, Flown
from tests.support.cards import binary


def flown(days: int = 90, a_day: int = 120) -> Flown:
    """Flights of which every fifth is late, more so at high values of the first number, and the more the later."""
    rng = np.random.default_rng(21)
    n = days * a_day
    times = 1_700_000_000_000 + np.arange(n) * (DAY_MS // a_day)
    matrix = rng.normal(size=(n, 3)).astype(np.float32)
    late = (rng.random(n) < 1 / (1 + np.exp(1.5 - 1.5 * matrix[:, 0]))).astype(np.int8)
    learned = np.arange(60 * a_day)
    return Flown(
        matrix=matrix, late=late, times=times, landed=times + 3_600_000, categories=[],
        early=learned[: 44 * a_day], held=learned[45 * a_day :], learned=learned, later=np.arange(60 * a_day, n),
        patience=2 * DAY_MS,
    )  # fmt: skip


def test_no_label_is_known_before_it_is_there() -> None:
    """Turning all labels of the windows whose labels are not all there changes no estimate but those after them."""
    rng = np.random.default_rng(22)
    scores = rng.random((12, 500))
    truths = rng.random((12, 500)) < scores
    before = [sums_of(row, true, 0.5) for row, true in zip(scores, truths, strict=True)]
    after = [*before[:8], *(sums_of(row, ~true, 0.5) for row, true in zip(scores[8:], truths[8:], strict=True))]
    for lag in (1, 2, 3):
        one, two = replayed(before, lag, 0.5)[0], replayed(after, lag, 0.5)[0]
        assert [a == b for a, b in zip(one, two, strict=True)] == [i < 8 + lag for i in range(1, 12)]


def test_sums_are_those_of_a_scorecard() -> None:
    """Bins, hits and errors as a card has them, the score 1 included."""
    scores, truths = [0.0, 0.024, 0.025, 0.5, 0.999, 1.0], [False, True, False, True, False, True]
    made, card = sums_of(np.array(scores), np.array(truths), 0.5), binary(scores, truths)
    for name in ("n", "labelled", "errors", "scores", "labelled_scores", "hits"):
        assert getattr(made, name) == getattr(card, name)


def test_the_whole_run_at_its_smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is filled, each estimate has its condition, a change of meaning is seen to be missed, it prints."""
    monkeypatch.setattr(bench, "load", lambda _: flown())
    result = measure(lambda _: None)
    assert [(row.days, row.windows) for row in result.rows] == [(7, 4), (7, 4), (1, 29), (1, 29)]
    assert all(0 < row.mae < 0.2 for row in result.rows)
    assert result.condition == CONDITION
    assert result.blind.expected - result.blind.realised > 0.3
    assert result.ok == (not result.not_reached) == all(bar.ok for bar in result.bars)
    words = table(msgspec.json.decode(msgspec.json.encode(result), type=bench.Result))
    assert CONDITION in words
    assert "AUC" in words


def test_a_missed_bar_is_named() -> None:
    """Above what is wanted."""
    assert not Bar("x", WANTED + 0.001, WANTED).ok
