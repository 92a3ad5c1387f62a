"""Thresholds from the reference's own windows: dependence is no drift, and a shift is seen none the less."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.monitor.analyst.calibration import (
    Calibration,
    Drift,
    DriftTerms,
    Panes,
    calibrate,
    compare,
    stands,
)

TERMS = DriftTerms()
EDGES = np.array([-1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28])
PANE, SPAN = 1_000, 5
Values = NDArray[np.float64]


def _counts(values: Values) -> list[int]:
    return [int(n) for n in np.bincount(np.searchsorted(EDGES, values), minlength=10)]


def _dependent(rng: np.random.Generator, n: int, share: float) -> Values:
    values = rng.normal(size=n)
    values[1:] *= (1 - share**2) ** 0.5
    for i in range(1, n):
        values[i] += share * values[i - 1]
    return values


def _panes(values: Values) -> Panes:
    return Panes(tuple(tuple(_counts(part)) for part in values.reshape(-1, PANE)))


def _calibrated(series: dict[str, Values]) -> Calibration:
    found = calibrate({name: _panes(values[: 100 * PANE]) for name, values in series.items()}, SPAN, TERMS)
    assert found is not None
    return found


def _windows(series: dict[str, Values]) -> list[dict[str, list[int]]]:
    later = {name: values[100 * PANE :].reshape(-1, SPAN * PANE) for name, values in series.items()}
    return [{name: _counts(rows[i]) for name, rows in later.items()} for i in range(len(next(iter(later.values()))))]


def test_too_short_a_reference_calibrates_nothing() -> None:
    """Nine windows do not say what is usual: nothing is said of drift, instead of something wrong."""
    nine = Panes(((5, 5),) * 9)
    assert calibrate({"x": nine}, 1, TERMS) is None
    assert calibrate({"x": Panes(((5, 5),) * 49)}, SPAN, TERMS) is None
    assert calibrate({}, 1, TERMS) is None


def test_a_constant_feature_is_no_drift_until_it_changes() -> None:
    """It has one bin: a window with more of the same scores nothing, and a window without a record is left out."""
    found = calibrate({"x": Panes(((1_000,),) * 20), "y": Panes(((999, 1),) * 20)}, 1, TERMS)
    assert found is not None
    assert compare(found, {"x": [700], "y": [0, 0]}, TERMS) == [Drift("x", 700, 0.0, 0.0, 0.0)]
    assert compare(found, {"y": [500, 500]}, TERMS)[0].score > 1


@pytest.mark.parametrize("share", [0.0, 0.9, 0.99])
def test_dependence_is_no_drift(share: float) -> None:
    """Ten features that depend on their past or do not: one alarm at most in the 100,000 records after a reference."""
    rng = np.random.default_rng(round(share * 100))
    print("seed", round(share * 100))
    series = {f"f{j}": _dependent(rng, 200 * PANE, share) for j in range(10)}
    calibration = _calibrated(series)
    alarms = [compare(calibration, window, TERMS)[0].score >= 1 for window in _windows(series)]
    assert sum(alarms) <= 1


def test_a_restless_feature_does_not_hide_a_shift_in_another() -> None:
    """A quarter of a deviation in one of ten is seen, and named first, beside a feature that always wanders."""
    rng = np.random.default_rng(4)
    series = {f"f{j}": rng.normal(size=110 * PANE) for j in range(9)}
    series["restless"] = _dependent(rng, 110 * PANE, 0.99)
    calibration = _calibrated(series)
    series["f3"][100 * PANE :] += 0.25
    for window in _windows(series):
        first, *_ = compare(calibration, window, TERMS)
        assert (first.feature, first.score >= 1) == ("f3", True)


def test_what_matters_to_nobody_is_no_alarm() -> None:
    """A shift of a fiftieth of a deviation is no alarm, in however many records it shows beyond doubt."""
    rng = np.random.default_rng(5)
    calibration = _calibrated({"x": rng.normal(size=100 * PANE)})
    assert compare(calibration, {"x": _counts(rng.normal(0.02, 1.0, 2_000_000))}, TERMS)[0].score < 1


def test_too_few_records_say_nothing() -> None:
    """However far apart they are: unknown is not drift, and not its absence."""
    found = calibrate({"x": Panes(((500, 500),) * 20)}, 1, TERMS)
    assert found is not None
    assert compare(found, {"x": [199, 0]}, TERMS) == []
    assert [drift.score > 1 for drift in compare(found, {"x": [200, 0]}, TERMS)] == [True]


def test_a_thin_window_is_not_taken_for_drift() -> None:
    """A tenth of the usual records differs ten times as much by chance: the threshold knows."""
    rng = np.random.default_rng(6)
    calibration = _calibrated({"x": rng.normal(size=100 * PANE)})
    scores = [
        compare(calibration, {"x": _counts(rng.normal(size=SPAN * PANE // 10))}, TERMS)[0].score for _ in range(50)
    ]
    assert max(scores) < 1


def test_drift_ends_well_below_where_it_begins() -> None:
    """A score that swings about the threshold is one drift."""
    scores, state, said = (0.7, 1.1, 0.9, 1.0, 0.85, 0.7, 0.9), False, []
    for score in scores:
        state = stands(state, [Drift("x", 1, 0.0, 0.0, score)], TERMS)
        said.append(state)
    assert said == [False, True, True, True, True, False, False]
    assert not stands(True, [], TERMS)
