"""One look at one version: what is known is said with its size, what is not is unknown, and bad input alarms nobody."""

import msgspec
import pytest

from services.monitor.analyst.findings import Finding
from services.monitor.analyst.heard import begin
from services.monitor.analyst.look import Before, Look, look
from services.monitor.analyst.subject import Subject
from shared.core.monitor_records import FeatureCounts, Scorecard
from shared.core.reference import FeatureProfile
from tests.support.looks import DAY, EVEN, JUMPED, MOVED, PARTITIONS, T0, TERMS, account, card, days, subject

ACCOUNTS = [account(day, partition) for day in range(20) for partition in range(PARTITIONS)]


def _look(cards: list[Scorecard], at: Subject | None = None, before: Before | None = None, **more: object) -> Look:
    terms = msgspec.structs.replace(TERMS, **more)
    found = look(cards, [], None, at or subject(), before or Before(), terms)
    assert found is not None
    return found


def _found(seen: Look) -> dict[str, Finding]:
    return {one.metric: one for one in seen.findings}


def _alarms(seen: Look) -> set[str]:
    return {one.metric for one in seen.findings if one.level == "alarm"}


def test_nothing_of_a_version_is_no_look() -> None:
    """Cards of others, or none: there is nothing to look at."""
    assert look([], [], None, subject(), Before(), TERMS) is None
    assert look(days(0, 3), ACCOUNTS, None, subject("v2"), Before(), TERMS) is None


def test_a_version_nobody_knows_has_figures_and_no_drift() -> None:
    """A scorecard of a version without a bundle: its quality is told, its features are unknown and alarm nobody."""
    seen = _look(days(0, 12, shares=()), Subject("v1"))
    assert seen.quality is not None
    assert seen.quality.figures["accuracy"].value == pytest.approx(0.8)
    assert (_found(seen)["features"].level, _found(seen)["unit_jump"].level) == (None, None)
    assert _alarms(seen) == set()


def test_a_window_without_labels_is_unknown_never_0() -> None:
    """No label came for days: every figure is unknown with its reason, so is rolling quality, and nothing alarms."""
    seen = _look(days(0, 9, labelled=0), goal={"accuracy": 0.99})
    assert seen.quality is not None
    for of in (seen.quality, *seen.windows):
        assert {one.value for one in of.figures.values()} == {None}
        assert {one.why for one in of.figures.values()} == {"no label has come"}
    assert {one.level for one in seen.findings if one.trigger == "quality"} == {None}
    assert _alarms(seen) == set()


def test_before_labels_have_had_their_time_quality_is_unknown() -> None:
    """Of a day that is just over the early labels say nothing: quality is unknown and says how long labels take."""
    seen = _look(days(0, 1, wrong=0.9), goal={"accuracy": 0.7})
    assert seen.quality is not None
    assert {(one.value, one.why) for one in seen.quality.figures.values()} == {(None, "labels take 1d")}
    assert seen.windows[0].figures["accuracy"].value == pytest.approx(0.1)
    assert _alarms(seen) == set()


def test_windows_are_compared_at_equal_label_age() -> None:
    """The first labels of young days are all wrong, as they always are: only days whose labels are there count."""
    ripe = days(0, 6, known=9, delay=10)
    young = days(6, 9, known=9, labelled=0.3, wrong=1.0, closed=False)
    seen = _look([*ripe, *young], goal={"accuracy": 0.7}, horizon=3 * DAY)
    assert seen.quality is not None
    assert (seen.quality.since, seen.quality.until) == (T0, T0 + 6 * DAY)
    assert seen.quality.figures["accuracy"].value == pytest.approx(0.8)
    assert _alarms(seen) == set()


def test_labels_that_come_fast_are_not_waited_for() -> None:
    """Within minutes 99 % of all labels came: quality goes up to yesterday, whatever the horizon."""
    seen = _look(days(0, 12), horizon=5 * DAY)
    assert seen.quality is not None
    assert (seen.now, seen.quality.until) == (T0 + 12 * DAY, T0 + 11 * DAY)


def test_rolling_quality_is_of_whole_windows_so_long_in_all() -> None:
    """Seven days are seven windows; what was long ago is not in it."""
    seen = _look([*days(0, 10, wrong=0.9, known=18), *days(10, 18)], goal={"accuracy": 0.7})
    assert seen.quality is not None
    assert seen.quality.observed == 7 * PARTITIONS * 500
    assert seen.quality.figures["accuracy"].value == pytest.approx(0.8)
    assert len(seen.windows) == 18


def test_without_predictions_for_long_nothing_is_said_of_now() -> None:
    """The last record was scored a month ago: quality and features of then are no news."""
    seen = _look([*days(0, 12, shares=MOVED), *days(43, 44, shares=MOVED, n=0)], goal={"accuracy": 0.99})
    quiet = _look(days(0, 12, shares=MOVED, watermark=T0 + 45 * DAY), goal={"accuracy": 0.99})
    for one in (seen, quiet):
        assert {m.value for m in one.quality.figures.values()} == {None} if one.quality else False
        assert _alarms(one) == set()


def test_one_class_only_has_neither_area_nor_balance() -> None:
    """All labels are of one class: AUC and balanced accuracy are unknown, the rest is told; nothing breaks."""
    seen = _look(days(0, 12, one_class=True))
    assert seen.quality is not None
    values = {name: one.value for name, one in seen.quality.figures.items()}
    assert (values["auc"], values["balanced_accuracy"], values["accuracy"]) == (None, None, 0.5)
    assert {_found(seen)[name].level for name in ("auc", "balanced_accuracy")} == {None}


def test_constant_features_are_calm_until_they_vary() -> None:
    """A feature with one value in the reference and now is no drift; that it begins to vary is one."""
    known = subject()
    assert known.reference is not None
    rows = tuple((1_000, 0) for _ in range(30))
    still = msgspec.structs.replace(known.reference.features["temp"], edges=(3.0,), counts=(30_000, 0), panes=rows)
    constant = Subject("v1", msgspec.structs.replace(known.reference, features={"temp": still}))
    assert _alarms(_look(_with_temp(days(0, 12), (500, 0)), constant)) == set()
    assert _alarms(_look(_with_temp(days(0, 12), (300, 200)), constant)) == {"features"}


def _with_temp(cards: list[Scorecard], counts: tuple[int, ...]) -> list[Scorecard]:
    features = {"temp": FeatureCounts(counts)}
    replace = msgspec.structs.replace
    return [replace(one, sums=replace(one.sums, features=features)) for one in cards]


def test_features_that_moved_are_told_in_sizes() -> None:
    """A shifted feature stands first, with PSI, distance and records; their finding alarms, no other does."""
    seen = _look([*days(0, 11, known=12), *days(11, 12, shares=MOVED)])
    assert (seen.drifts[0].feature, seen.drifts[0].n) == ("temp", 1_000)
    assert seen.drifts[0].psi > 0.1
    assert _alarms(seen) == {"features"}
    assert {drift.feature for drift in seen.drifts} == {"temp", "score", "label"}


def test_a_part_of_a_day_is_no_drift() -> None:
    """A day that still runs has the records of its morning only: it is compared with nothing yet."""
    morning = card(12, shares=JUMPED, known=12, watermark=T0 + 12 * DAY + DAY // 4, n=250, closed=False)
    seen = _look([*days(0, 12, watermark=T0 + 12 * DAY + DAY // 4, known=12), morning])
    assert seen.now == T0 + 12 * DAY + DAY // 4
    assert _alarms(seen) == set()


def test_a_unit_jump_is_seen_before_the_day_is_over() -> None:
    """When three fifths of a day's records are there, nearly all at one end, no whole day can look as usual."""
    late = T0 + 12 * DAY + DAY // 2
    running = [card(12, p, shares=JUMPED, known=12, watermark=late, n=400, closed=False) for p in range(PARTITIONS)]
    assert "unit_jump" in _alarms(_look([*days(0, 12, watermark=late, known=12), *running]))


def test_a_fault_of_a_day_that_nobody_looked_at_is_told() -> None:
    """The analyst was away for four days, and one of them was spoiled: it is told beside the newest one's."""
    cards = [*days(0, 8, known=12), *days(8, 9, shares=JUMPED, known=12), *days(9, 12)]
    away = _look(cards, before=Before(now=T0 + 8 * DAY, version="v1"))
    jumps = [one for one in away.findings if one.metric == "unit_jump"]
    assert [(one.level, one.window[0]) for one in jumps] == [("alarm", T0 + 8 * DAY), ("ok", T0 + 11 * DAY)]
    assert _alarms(_look(cards, before=Before(now=T0 + 11 * DAY, version="v1"))) == set()


@pytest.mark.parametrize("panes", [0, 9])
def test_a_reference_too_short_is_no_alarm(panes: int) -> None:
    """Without panes, or with fewer than ten, nothing is known of drift, however far features have moved."""
    seen = _look([*days(0, 4, known=5), *days(4, 5, shares=MOVED)], subject(panes=panes))
    found = _found(seen)["features"]
    assert (found.level, found.value) == (None, None)
    assert "too short" in found.words
    assert _alarms(seen) == set()


def test_without_panes_the_first_windows_are_the_reference() -> None:
    """A bundle of before: after ten whole days of its own a version is compared with those."""
    old = subject(panes=0)
    assert _found(_look(days(0, 12), old))["features"].level == "ok"
    moved = [*days(0, 12, known=13), *days(12, 13, shares=MOVED)]
    assert _alarms(_look(moved, old)) == {"features"}


def test_a_clock_that_jumps_forward_in_one_partition_moves_nothing() -> None:
    """One partition's event time is forty years ahead: now is that of the one behind, and the figures are as before."""
    ahead = T0 + 40 * 365 * DAY
    wild = card(40 * 365, 1, n=900, wrong=1.0, shares=JUMPED)
    seen, usual = _look([*days(0, 12), wild], goal={"accuracy": 0.7}), _look(days(0, 12), goal={"accuracy": 0.7})
    assert wild.watermark > ahead
    assert (seen.now, seen.quality, seen.windows) == (usual.now, usual.quality, usual.windows)
    assert _alarms(seen) == set()


def test_a_clock_that_jumps_in_all_partitions_says_so() -> None:
    """All are years ahead: what is old is not taken for now, and observations that come too late are a fault."""
    jump = 40 * 365
    accounts = [account(jump, p, expired=480, labels=0, matched=0) for p in range(PARTITIONS)]
    seen = look(days(0, 12, shares=MOVED, wrong=0.9), [*ACCOUNTS, *accounts], None, subject(), Before(), TERMS)
    assert seen is not None
    assert seen.now == T0 + (jump + 1) * DAY
    assert (seen.quality, seen.windows, seen.drifts) == (None, (), ())
    assert _alarms(seen) == {"expired_observations"}


def test_a_clock_that_jumps_back_leaves_event_time_where_it_was() -> None:
    """Cards with watermarks of years ago: event time never falls."""
    seen = _look(days(0, 12), before=Before(now=T0 + 30 * DAY, version="v1"))
    assert (seen.now, seen.before.now) == (T0 + 30 * DAY, T0 + 30 * DAY)


def test_cards_of_another_pipeline_are_left_out() -> None:
    """A confusion matrix of three classes cannot be this pipeline's: it is not read, and does not move the clock."""
    strange = msgspec.structs.replace(card(30), sums=msgspec.structs.replace(card(30).sums, confusion=(1,) * 9))
    assert _look([*days(0, 12), strange]) == _look(days(0, 12))


def test_counts_over_other_bins_are_left_out() -> None:
    """A card whose feature has other bins than its reference is not compared with it."""
    seen = _look(_with_temp(days(0, 12), (200, 150, 150)))
    assert _found(seen)["features"].level is None
    assert _alarms(seen) == set()


def test_the_estimate_is_of_the_days_whose_labels_are_to_come() -> None:
    """Nine days of labels say what scores mean: the three days after them have an estimate with its condition."""
    cards = [*days(0, 9, known=12, delay=10), *days(9, 12, labelled=0, delay=10)]
    seen = _look(cards, horizon=3 * DAY)
    assert seen.estimate is not None
    assert (seen.estimate.n, seen.estimate.condition) == (3_000, "if the concept has not changed")
    assert seen.estimate.value == pytest.approx(0.8, abs=0.005)
    assert _found(seen)["estimated_accuracy"].window == (T0 + 9 * DAY, T0 + 12 * DAY)


def test_labels_are_counted_when_their_windows_are_let_go() -> None:
    """A version that lives long keeps its number of labels, also when the cards of its first days are gone."""
    young = _look(days(0, 12))
    assert young.labels == 12_000
    first = T0 + 300 * DAY
    late = [card(299, p) for p in range(PARTITIONS)]
    old = _look([*days(0, 12, known=12), *late], before=young.before)
    assert (begin(old.now, TERMS) > first - 200 * DAY, len(old.windows), old.labels) == (True, 1, 13_000)
    assert _look(late, before=old.before).labels == 13_000


def test_regression_truths_and_answers_are_compared() -> None:
    """A regression's answers and truths stand beside the reference's, over the bins of its scores."""
    rows = tuple((500, 500) for _ in range(30))
    known = subject(labels=FeatureProfile((0.5,), counts=(500, 500), panes=rows))
    replace = msgspec.structs.replace
    cards = [
        replace(one, sums=replace(one.sums, confusion=(), truths=FeatureCounts((250, 250))))
        for one in days(0, 12, shares=EVEN)
    ]
    seen = _look(cards, known, task="regression", classes=0)
    assert {drift.feature for drift in seen.drifts} == {"temp", "score", "label"}
    assert {name: _found(seen)[name].level for name in ("features", "score", "label")} == dict.fromkeys(
        ("features", "score", "label"), "ok"
    )
