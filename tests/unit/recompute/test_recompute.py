"""The offline recomputation: by hand on small journals, and beside the observer's own fold on mixed ones."""

import json
from collections import Counter
from random import Random
from typing import Any

import pytest

from tailrace.recompute.compare import Difference
from tailrace.recompute.main import PartitionReport, Report, WindowReport
from tailrace.recompute.partition import recompute
from tailrace.recompute.quality import quality
from tailrace.recompute.tables import STATUSES
from tailrace.recompute.terms import terms_of
from tailrace.recompute.text import report_text
from tests.support import journals
from tests.support.journals import HOUR, T0, as_bytes, label, make, observation
from tests.support.recomputed import alone, compared, known, online

TASKS = ("binary", "multiclass", "regression")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(3))
def test_the_observer_says_the_same(task: str, seed: int) -> None:
    """Labels of every kind, shadows, ids that come twice, rubbish: every figure of every window is equal."""
    print(f"seed {seed}")
    spec, dice = make(task), Random(seed)
    values = as_bytes(journals.journal(spec, dice, 500))
    values[7:7] = [b"{", b'{"type":"tick","time":"x","v":1}']
    mine, _ = recompute(spec, list(enumerate(values)), known)
    result = compared(online(spec, values), mine)
    assert [] == result.differences
    assert min(result.cards, result.accounts, result.blocks, result.outcomes) > 3
    assert result.figures > 2_000
    assert {True, False} == set(mine.closed.values())


def test_each_odd_label_has_its_own_status() -> None:
    """Early, unknown, twice, contradicting, corrected, older, left out by the sample, and after the horizon."""
    spec, dice = make(max_step="10d"), Random(1)
    entries = [
        label("early", "late", T0),
        *(observation(spec, name, T0, dice) for name in ("early", "twice", "after")),
        label("unknown", "late", T0 + HOUR, located=False),
        *(label("twice", value, T0 + HOUR, revision) for value, revision in (("late", 1), ("late", 1), ("on_time", 1))),
        label("twice", "on_time", T0 + HOUR, 2),
        label("twice", "late", T0 + HOUR, 0),
        label("left out", "late", T0 + HOUR, sampled=False),
        label("held", "late", T0 + HOUR + 1),
        label("after", "late", T0 + 4 * HOUR),
        {"type": "tick", "time": T0 + 4 * HOUR + 1, "v": 1},
    ]
    sums: Counter[str] = Counter()
    for figures in alone(spec, entries).accounts.values():
        sums.update(figures)
    expected = {
        "observations": 3, "ticks": 1, "labels": 10, "matched": 3, "orphaned": 1, "astray": 1, "duplicate": 2,
        "conflicting": 1, "corrected": 1, "unsampled": 1, "held": 1,
    }  # fmt: skip
    assert expected == sums


def test_a_label_beyond_the_horizon_is_late() -> None:
    """The watermark decides, which the label itself has moved: six hours count, a millisecond more does not."""
    spec, dice = make(max_step="10d"), Random(1)
    for late, status in ((0, "matched"), (1, "late")):
        entries = [observation(spec, "r1", T0, dice), label("r1", "late", T0 + 6 * HOUR + late)]
        figures = alone(spec, entries).accounts[T0 + 6 * HOUR]
        assert {"labels": 1, status: 1} == figures


def test_a_figure_that_was_tampered_with_is_named() -> None:
    """One count too many in one scorecard is one difference, with both values; so is an outcome that is missing."""
    spec, dice = make(), Random(2)
    values = as_bytes(journals.journal(spec, dice, 200))
    mine, _ = recompute(spec, list(enumerate(values)), known)
    found = online(spec, values)
    card = next(key for key, figures in found.cards.items() if figures.get("features.weight.counts[1]"))
    found.cards[card]["features.weight.counts[1]"] += 1
    (one,) = compared(found, mine).differences
    assert ("features.weight.counts[1]", 1) == (one.figure, one.published - one.recomputed)
    found.cards[card]["features.weight.counts[1]"] -= 1
    found.outcomes.pop()
    found.blocks.pop()
    assert ["errors", "outcomes"] == [one.topic for one in compared(found, mine).differences]


def test_an_observer_that_goes_on_meanwhile_is_looked_at_as_of_the_same_offsets() -> None:
    """What it published of later entries is left out: of each key the last value up to the end counts."""
    spec, dice = make(), Random(3)
    values = as_bytes(journals.journal(spec, dice, 300))
    mine, _ = recompute(spec, list(enumerate(values[:240])), known)
    assert [] == compared(online(spec, values, 240), mine, still=False).differences
    assert compared(online(spec, values, 240), mine, still=True).differences != []


def test_windows_that_lack_entries_are_not_compared() -> None:
    """Behind a gap the first windows are passed over, and no block is looked at."""
    spec, dice = make(), Random(4)
    values = as_bytes(journals.journal(spec, dice, 400))
    kept = [(offset, value) for offset, value in enumerate(values) if offset >= 200]
    mine, _ = recompute(spec, kept, known, gap=True)
    result = compared(online(spec, values), mine)
    assert result.skipped > 3
    assert 0 == result.blocks == result.outcomes


def test_figures_of_quality_are_those_of_the_labels() -> None:
    """Two right, one wrong, one without a label: worked out by hand; a window without labels has no figures."""
    spec, dice = make(), Random(1)
    entries = [observation(spec, f"r{i}", T0 + i, dice) for i in range(4)] + [
        observation(spec, "r9", T0 + 3 * HOUR, dice)
    ]
    for entry, score in zip(entries, (0.9, 0.8, 0.4, 0.7, 0.7), strict=True):
        entry["prediction"] |= {"score": score, "label": "late" if score >= 0.5 else "on_time"}
    entries += [label(f"r{i}", value, T0 + i + 60_000) for i, value in enumerate(("late", "on_time", "on_time"))]
    _, judged = recompute(spec, list(enumerate(as_bytes(entries))), known)
    first, second = quality([judged], terms_of(spec))
    assert (4, 3, 0.75, 60.0) == tuple(first[name] for name in ("n", "labelled", "coverage", "delay_median_s"))
    assert pytest.approx((2 / 3, 0.75, 1.0)) == tuple(first[name] for name in ("accuracy", "balanced_accuracy", "auc"))
    assert pytest.approx((0.01 + 0.64 + 0.16) / 3, abs=1e-6) == first["brier"]
    assert {"version": "v1", "shadow": False, "window": T0 + 2 * HOUR, "n": 1, "labelled": 0, "coverage": 0.0} == second


def test_a_record_that_cannot_be_read_is_missing_everywhere() -> None:
    """A weight that is text: each feature counts one as missing, and its slices are those of no value."""
    spec, dice = make(), Random(1)
    one = observation(spec, "r1", T0, dice)
    one["record"]["weight"] = "heavy"
    (figures,) = alone(spec, [json.loads(json.dumps(one))]).cards.values()
    told = {name: n for name, n in figures.items() if name.startswith(("features", "slices"))}
    names = [f"features.{name}.missing" for name in ("carrier", "weight", "wind")]
    assert dict.fromkeys([*names, "slices.carrier=*.n", "slices.weight=?.n"], 1) == told


@pytest.mark.parametrize("task", TASKS)
def test_nothing_of_some_kind_is_no_fault(task: str) -> None:
    """No entries, ticks alone, observations without labels, labels without observations, a tick of a far future."""
    spec, dice = make(task), Random(1)
    seen, tick = observation(spec, "r1", T0, dice), {"type": "tick", "time": 253_402_300_799_999, "v": 1}
    known_later = label("r2", journals.value_of(spec, dice), T0)
    of: list[list[dict[str, Any]]] = [[], [tick], [known_later], [tick, seen, known_later], [seen]]
    for entries, windows in zip(of, (0, 0, 0, 0, 1), strict=True):
        values = as_bytes(entries)
        mine, judged = recompute(spec, list(enumerate(values)), known)
        assert [] == compared(online(spec, values), mine).differences
        assert windows == len(quality([judged, judged], terms_of(spec)))


def test_an_entry_of_another_pipeline_is_none() -> None:
    """A label in words where numbers are expected, look-ups that are no object: invalid, and the others count."""
    spec = make("regression")
    seen = observation(spec, "r1", T0, Random(1))
    wrong: list[Any] = [5, None, [], {"weather": 5}]
    entries = [seen, label("r1", "late", T0), *(seen | {"lookups": one} for one in wrong)]
    assert {T0: {"observations": 1, "invalid": 5}} == alone(spec, entries).accounts


def test_look_ups_that_have_no_value_are_missing() -> None:
    """No group, nothing in it, null in its place, or a field that is null."""
    spec = make()
    given: list[dict[str, Any]] = [{}, {"weather": None}, {"weather": {}}, {"weather": {"wind": None}}]
    for wrong in given:
        entry = observation(spec, "r1", T0, Random(1)) | {"lookups": wrong}
        (figures,) = alone(spec, [entry]).cards.values()
        assert figures["features.wind.missing"] == 1


def test_the_text_names_what_differs_and_what_was_left_out() -> None:
    """Labels by status, a line a window with dashes for what is not known, the differences, and the sum of it all."""
    labels = dict.fromkeys((*STATUSES, "labels", "astray"), 0) | {"labels": 3, "matched": 2, "late": 1}
    counts = {"cards": 1, "accounts": 2, "blocks": 0, "outcomes": 2, "figures": 40}
    windows = [
        WindowReport("1", False, T0, {"n": 2, "labelled": 2, "accuracy": 0.5}, {"n": 2}),
        WindowReport("1", True, T0, {"n": 1, "labelled": 0}, {"n": 1}),
    ]
    different = Difference(0, "scorecards", f"1 window {T0}", "n", 3, 2)
    parts = [PartitionReport(0, 0, 9, 5, T0, labels)]
    report = Report("parcels", False, 1, counts, 4, labels, parts, windows, [different], {"7": "digest: no"})
    lines = report_text(report).splitlines()
    assert ["all", "3", "2", "0", "1", *"00000"] == lines[2].split()
    assert ["1", "2026-01-01T00:00", "2", "2", "0.5"] == lines[5].split()
    assert ["1", "(shadow)", "2026-01-01T00:00", "1", "0", "-"] == lines[6].split()
    assert "version 7 has no counts over its reference: digest: no" == lines[8]
    assert "4 windows lack entries that retention took: not compared" == lines[9]
    assert f"partition 0, scorecards, 1 window {T0}, n: published 3, recomputed 2" == lines[10]
    assert "1 differ: 40 figures of 1 scorecards, 2 accounts and 0 error blocks, and 2 outcomes" == lines[11]
