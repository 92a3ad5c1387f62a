"""`tailrace bench drift`, at its smallest: the streams are the published ones, and every row is filled."""

import msgspec
import numpy as np
import pytest

from services.monitor.analyst.calibration import DriftTerms
from services.monitor.analyst.cusum import Terms
from tailrace.bench import drift_errors
from tailrace.bench.drift import Bar, Result, summary_us
from tailrace.bench.drift_alarms import DUMMY, measure_alarms
from tailrace.bench.drift_detectors import Ddm, Detector, PageHinkley, detectors
from tailrace.bench.drift_errors import CHANGES, Errors, Stream
from tailrace.bench.drift_features import OURS, measure_nulls, measure_shift
from tailrace.bench.drift_streams import NULLS, agrawal, null, sea


def _silent(_: str) -> None:
    pass


def test_a_bar_is_reached_up_to_its_very_figure() -> None:
    """At most, not below."""
    assert [Bar("x", found, 5.0).ok for found in (4.9, 5.0, 5.1)] == [True, True, False]


def test_sea_and_agrawal_are_as_published() -> None:
    """Shares of the classes, worked out by hand: triangles in a square of 10; ages 40 to 59 of 20 to 80."""
    rng = np.random.default_rng(1)
    for concept, edge in enumerate((8.0, 9.0, 7.0, 9.5)):
        _, y = sea(100_000, concept, rng)
        above = 1 - edge**2 / 200
        assert y.mean() == pytest.approx(0.9 * above + 0.1 * (1 - above), abs=0.01)
    assert agrawal(100_000, 0, rng)[1].mean() == pytest.approx(41 / 61, abs=0.01)
    x, y = agrawal(1_000, 3, rng)
    assert (x.shape, set(y.tolist())) == ((1_000, 9), {0, 1})


@pytest.mark.parametrize("kind", NULLS)
def test_nulls_have_variance_one_and_go_on_where_they_stopped(kind: str) -> None:
    """Over many panes; and neighbours depend on each other within a pane as between two."""
    name = next(other for other in NULLS if other == kind)
    stream = null(name, 1_000, 4, np.random.default_rng(2))
    values = np.concatenate([next(stream) for _ in range(100)])
    assert values.var(axis=0) == pytest.approx(1.0, abs=0.25)
    seams, inside = values[999:-1:1_000] * values[1_000::1_000], values[:-1] * values[1:]
    assert seams.mean() == pytest.approx(inside.mean(), abs=0.2)


def test_the_published_detectors_see_a_gross_rise() -> None:
    """DDM and Page-Hinkley, where their library is not installed."""
    rng = np.random.default_rng(3)
    errors = np.concatenate([rng.random(2_000) < 0.05, rng.random(1_000) < 0.6]).astype(int).tolist()
    for make in (Ddm, PageHinkley):
        reader, found = make(), list[int]()
        for i, error in enumerate(errors):
            reader.update(error)
            if reader.drift_detected:
                found.append(i)
        assert any(2_000 <= alarm < 2_400 for alarm in found)


def test_every_detector_has_a_row_and_so_has_the_dummy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed, few records: the large change is seen by ours within its bar."""
    for name, records in (("TRAINED", 4_000), ("BEFORE", 2_000), ("AFTER", 1_000)):
        monkeypatch.setattr(drift_errors, name, records)
    given = [detector for detector in detectors(Terms()) if detector.longest is None]
    rows, facts = measure_alarms(given, seeds=1, records=2_000, real=False, say=_silent)
    assert [*(detector.name for detector in given), DUMMY] == [row.detector for row in rows]
    large = CHANGES[-1]
    assert rows[0].delays[large.name].most <= large.wanted
    assert {row.null_records for row in rows} == {2_000}
    assert facts[f"{large.name}: share of errors after"] > 0.4


def test_alarms_before_a_change_are_told_apart_and_what_is_missed_counts_in_full() -> None:
    """A detector that alarms once, too early, has missed."""
    nothing = Errors(np.zeros(100, dtype=np.int8), np.zeros(100))
    from tailrace.bench.drift_alarms import _Tally  # noqa: PLC0415 - a white-box test

    tally = _Tally(Detector("early", lambda _: [10]))
    tally.run(Stream("any", nothing, nothing, change=40))
    delay = tally.row().delays["any"]
    assert (delay.mean, delay.missed, delay.early) == (60.0, 1, 1)


def test_features_are_run_in_every_stream() -> None:
    """Few records: ours is quiet, and a quarter of a deviation is seen within 5,000."""
    rows = measure_nulls(10_000, DriftTerms(), (3,), _silent)
    assert [row.stream for row in rows] == list(NULLS)
    assert all(row.records[OURS] == 10_000 for row in rows)
    shift = measure_shift(1, DriftTerms(), _silent, d=4)
    assert (shift.missed[OURS], shift.most[OURS] <= 5_000) == (0, True)


def test_summaries_are_timed_and_the_result_is_one_json_object() -> None:
    """Microseconds a record, above 0; every field of the result can be encoded."""
    assert summary_us(1_000, 3) > 0
    assert msgspec.json.schema(Result)["$defs"]
