"""Figures with intervals from merged scorecards, against scikit-learn on the raw answers."""

import math
from functools import reduce

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from services.monitor.analyst.panes import panes
from services.monitor.analyst.quality import NO_LABELS, ONE_CLASS, UNLOGGED, Quality, measured, quality
from shared.core.monitor_records import Scorecard, Sums
from shared.core.quality import FIGURES
from shared.core.scorecards import fixed, merge
from tests.support.cards import DAY, binary, card, multiclass

Values = NDArray[np.float64]


def _drawn(n: int, seed: int) -> tuple[Values, NDArray[np.bool_]]:
    """Scores, and truths that they nearly know: they are a little too sure."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(2, 3, n)
    return scores, rng.random(n) < 0.1 + 0.8 * scores


def _numbers(n: int, seed: int) -> tuple[Values, Values]:
    rng = np.random.default_rng(seed)
    truths = rng.lognormal(2, 0.5, n)
    return truths * rng.lognormal(0, 0.15, n), truths


def _regression(said: Values, truths: Values, within: float = 0.1) -> Sums:
    logged = [(a, b) for a, b in zip(said, truths, strict=True) if a > -1 and b > -1]
    return Sums(
        n=len(said), labelled=len(said), errors=int((np.abs(said - truths) > within * np.abs(truths)).sum()),
        loss=sum(fixed(abs(a - b)) for a, b in zip(said, truths, strict=True)),
        squared=sum(fixed((a - b) ** 2) for a, b in zip(said, truths, strict=True)),
        squared_log=sum(fixed((math.log1p(a) - math.log1p(b)) ** 2) for a, b in logged),
        unlogged=len(said) - len(logged),
    )  # fmt: skip


def _one(sums: Sums, task: str, classes: int) -> Quality:
    return quality(panes([card(sums)]), task, classes)  # type: ignore[arg-type] # a task, by the test's own word


def test_a_window_without_labels_is_unknown() -> None:
    """Nothing came: every figure is unknown and says why, none is 0."""
    for task, classes in (("binary", 2), ("multiclass", 3), ("regression", 0)):
        found = _one(Sums(n=500), task, classes)
        assert found.coverage == 0.0
        assert found.delays == ()
        assert found.figures
        assert {(m.value, m.low, m.high, m.n, m.why) for m in found.figures.values()} == {(None,) * 3 + (0, NO_LABELS)}
    assert _one(Sums(), "binary", 2).coverage is None


def test_one_class_only_has_neither_area_nor_balance() -> None:
    """All came on time: AUC and balanced accuracy are unknown with their reason, accuracy is not."""
    scores, _ = _drawn(300, 1)
    found = _one(binary(scores.tolist(), [False] * 300), "binary", 2).figures
    for name in ("auc", "balanced_accuracy"):
        assert (found[name].value, found[name].why) == (None, ONE_CLASS)
    assert found["accuracy"].value == float((scores < 0.5).mean())


def test_what_has_no_logarithm_has_no_rmsle() -> None:
    """A truth of -2 leaves RMSLE unknown, as the retrainer does, and the other figures known."""
    found = _one(_regression(np.array([1.0, 2.0]), np.array([-2.0, 2.0])), "regression", 0).figures
    assert (found["rmsle"].value, found["rmsle"].why) == (None, UNLOGGED)
    assert found["mae"].value == 1.5


def test_windows_of_two_versions_are_not_one() -> None:
    """Adding up two versions would be nobody's quality."""
    both = panes([card(Sums(n=1)), card(Sums(n=1), version="v2")])
    with pytest.raises(ValueError, match="one version"):
        quality(both, "binary", 2)


def test_another_pipelines_card_is_refused() -> None:
    """A confusion matrix of three classes does not fit a pipeline of two."""
    with pytest.raises(ValueError, match="9 places"):
        _one(multiclass([[0.2, 0.3, 0.5]], [1]), "binary", 2)


def test_binary_figures_are_those_of_the_raw_answers() -> None:
    """Every figure equals scikit-learn's on the scores themselves; the area that of scores cut into their bins."""
    scores, truths = _drawn(4_000, 2)
    found = {n: m.value for n, m in _one(binary(scores.tolist(), truths.tolist()), "binary", 2).figures.items()}
    chosen, cut = scores >= 0.5, np.floor(scores * 40) / 40
    tenths = np.floor(scores * 10)
    gaps = [abs((scores[tenths == i] - truths[tenths == i]).sum()) for i in range(10)]
    expected = {
        "accuracy": metrics.accuracy_score(truths, chosen),
        "balanced_accuracy": metrics.balanced_accuracy_score(truths, chosen),
        "macro_f1": metrics.f1_score(truths, chosen, average="macro"),
        "log_loss": metrics.log_loss(truths, scores),
        "brier": metrics.brier_score_loss(truths, scores),
        "auc": metrics.roc_auc_score(truths, cut),
        "ece": sum(gaps) / 4_000,
    }
    assert found == pytest.approx(expected, abs=1e-6)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truths, scores), abs=0.002)
    assert set(found) <= set(FIGURES)


def test_figures_of_several_classes_are_those_of_the_raw_answers() -> None:
    """The same for three classes."""
    rng = np.random.default_rng(3)
    shares = rng.dirichlet([1.0, 1.5, 2.0], 2_000)
    truths = np.array([rng.choice(3, p=row) for row in shares])
    found = {n: m.value for n, m in _one(multiclass(shares.tolist(), truths.tolist()), "multiclass", 3).figures.items()}
    chosen = shares.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(truths, chosen),
        "balanced_accuracy": metrics.balanced_accuracy_score(truths, chosen),
        "macro_f1": metrics.f1_score(truths, chosen, average="macro"),
        "log_loss": metrics.log_loss(truths, shares),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_regression_figures_are_those_of_the_raw_answers() -> None:
    """The same for a regression."""
    said, truths = _numbers(2_000, 4)
    found = {n: m.value for n, m in _one(_regression(said, truths), "regression", 0).figures.items()}
    expected = {
        "within_10": float((np.abs(said - truths) <= 0.1 * truths).mean()),
        "mae": metrics.mean_absolute_error(truths, said),
        "rmse": metrics.root_mean_squared_error(truths, said),
        "rmsle": metrics.root_mean_squared_log_error(truths, said),
    }
    assert found == pytest.approx(expected, abs=1e-5)


def test_intervals_hold_what_they_promise() -> None:
    """Of 300 draws of 400 labels, about 95 % of the intervals contain the truth; nine tenths at the very least."""
    print("seeds 1000 to 1299")
    scores, truths = _drawn(400_000, 5)
    truth = {n: m.value for n, m in _one(binary(scores.tolist(), truths.tolist()), "binary", 2).figures.items()}
    inside = dict.fromkeys(truth, 0)
    for seed in range(1_000, 1_300):
        drawn = binary(*(part.tolist() for part in _drawn(400, seed)))
        for name, one in measured(drawn, [], "binary", 2).items():
            assert one.low is not None
            assert one.high is not None
            inside[name] += one.low <= (truth[name] or 0.0) <= one.high
    del inside["ece"]  # of few labels it is biased upwards by its nature: its interval is of what it measures
    assert min(inside.values()) >= 270, inside


def test_bursts_widen_intervals() -> None:
    """Errors that come by the day tell less than independent ones: the interval is wider than Wilson's."""
    rng = np.random.default_rng(6)
    days = [binary([0.3] * 200, (rng.random(200) < rng.choice([0.05, 0.5])).tolist()) for _ in range(20)]
    by_day = measured(reduce(merge, days), days, "binary", 2)
    plain = measured(reduce(merge, days), [], "binary", 2)
    for name in ("accuracy", "log_loss", "brier"):
        wide, narrow = by_day[name], plain[name]
        assert wide.value == narrow.value
        assert (wide.high or 0) - (wide.low or 0) > 3 * ((narrow.high or 0) - (narrow.low or 0))
        assert "20 blocks" in wide.source or "design effect" in wide.source


def test_root_mean_squares_have_an_interval_where_there_are_blocks() -> None:
    """Nothing in one card says how much squares vary: no interval then, and one that holds the truth with twenty."""
    alone = measured(_regression(*_numbers(400, 7)), [], "regression", 0)["rmse"]
    assert (alone.low, alone.high) == (None, None)
    assert "7 windows" in alone.why
    days = [_regression(*_numbers(400, seed)) for seed in range(20)]
    one = measured(reduce(merge, days), days, "regression", 0)["rmse"]
    truth = metrics.root_mean_squared_error(*reversed(_numbers(400_000, 8)))
    assert (one.low or 0) < truth < (one.high or 0)


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3)), min_size=40, max_size=40), st.randoms())
@settings(max_examples=25, deadline=None)
def test_splits_change_nothing(where: list[tuple[int, int]], dice: object) -> None:
    """However records fall into windows and partitions, and in whatever order cards come, figures are the same."""
    scores, truths = _drawn(400, 9)
    parts: dict[tuple[int, int], Sums] = {}
    for i, place in enumerate(where):
        chunk = slice(i * 10, i * 10 + 10)
        sums = binary(scores[chunk].tolist(), truths[chunk].tolist())
        parts[place] = merge(parts.get(place, Sums()), sums)
    cards = [card(sums, *place) for place, sums in parts.items()]
    dice.shuffle(cards)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    split = quality(panes([*cards, *cards[:3]]), "binary", 2)
    whole = _one(binary(scores.tolist(), truths.tolist()), "binary", 2)
    assert {n: m.value for n, m in split.figures.items()} == {n: m.value for n, m in whole.figures.items()}
    assert (split.observed, split.labelled, split.delays) == (whole.observed, whole.labelled, whole.delays)


def test_partitions_do_not_change_an_interval() -> None:
    """Ten windows on one partition and the same on four: equal to the last digit, intervals included."""
    rng = np.random.default_rng(10)
    one, four = list[Scorecard](), list[Scorecard]()
    for window in range(10):
        scores, truths = _drawn(200, window)
        one.append(card(binary(scores.tolist(), truths.tolist()), window))
        places = rng.integers(0, 4, 200)
        for p in range(4):
            sums = binary(scores[places == p].tolist(), truths[places == p].tolist())
            four.append(card(sums, window, p))
    assert quality(panes(one), "binary", 2) == quality(panes(four), "binary", 2)


def test_as_known_then_and_as_known_now() -> None:
    """Of a window published three times, each moment sees the last card that was there, by time and by offset."""
    told = [card(Sums(n=10, labelled=i), 0, watermark=i * DAY, offset=i * 100) for i in (1, 2, 3)]

    def labelled(**when: object) -> list[int]:
        return [pane.sums.labelled for pane in panes(reversed(told), **when)]  # type: ignore[arg-type] # by name

    assert labelled() == [3]
    assert labelled(until=2 * DAY + 5) == [2]
    assert labelled(offsets={0: 100}) == [1]
    assert labelled(until=0) == labelled(offsets={}) == []
    compacted = [pane.sums.labelled for pane in panes(told[-1:], until=2 * DAY)]
    assert compacted == []


def test_a_gap_is_seen_in_the_whole() -> None:
    """One partition's card that lacks entries makes the window incomplete, and an open one makes it open."""
    cards = [card(Sums(n=1), closed=True), card(Sums(n=1), 0, 1, complete=False)]
    found = _one_of(cards)
    assert (found.complete, found.closed) == (False, False)
    closed = [msgspec.structs.replace(one, complete=True, closed=True) for one in cards]
    assert (_one_of(closed).complete, _one_of(closed).closed) == (True, True)


def _one_of(cards: list[Scorecard]) -> Quality:
    return quality(panes(cards), "binary", 2)
