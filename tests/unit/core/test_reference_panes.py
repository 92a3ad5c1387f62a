"""Panes of a reference: windows long, or parts of one; never so many that a profile is large."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from services.monitor.analyst.calibration import DriftTerms, Panes, calibrate
from shared.core.bundle import Column
from shared.core.reference import FeatureProfile, Reference, profile
from shared.core.reference_panes import MOST, Cut, cut, panes_of, span_of
from shared.core.summaries import bins_of, count

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_123
WINDOWS = DriftTerms().windows
Times = NDArray[np.int64]


def even(days: float, n: int = 5_000) -> Times:
    """Event times of n records, evenly over so many days."""
    return START + np.linspace(0, days * DAY - 1, n).astype(np.int64)


def profiles(panes: Cut) -> FeatureProfile:
    """A profile with as many panes."""
    return FeatureProfile(panes=((1, 1),) * len(panes.begins))


def test_a_training_that_is_too_short_says_so() -> None:
    """Where there are fewer panes than windows are needed, and in bundles of before, no window can be made."""
    assert span_of(FeatureProfile(), 0, DAY, WINDOWS) == 0
    assert span_of(FeatureProfile(panes=((1, 1),) * (WINDOWS - 1)), DAY, DAY, WINDOWS) == 0
    one = cut(np.array([START], dtype=np.int64), DAY)
    assert len(one.begins) <= MOST


@pytest.mark.parametrize("days", [0.01, 0.4, 1, 3, 9.9, 10, 31, 40, 64, 65, 180, 365.25, 2_000])
@pytest.mark.parametrize("window", [HOUR, 6 * HOUR, DAY, 31 * DAY, 1_000_003])
def test_panes_divide_the_window(days: float, window: int) -> None:
    """They rise, do not overlap, lie inside the training up to its last record, and a whole number makes a window."""
    times = even(days)
    panes = cut(times, window)
    assert len(panes.begins) <= MOST
    assert window % panes.length == 0
    assert (np.diff(panes.begins) >= panes.length).all()
    ends = [*(panes.begins + panes.length).tolist(), times[-1] + 1]
    assert set(ends[-2:]) == {times[-1] + 1}
    assert len(panes.begins) >= min(WINDOWS, days * DAY // window)
    assert panes.begins.tolist() == [at for at in panes.begins.tolist() if times[0] <= at <= times[-1]]


@pytest.mark.parametrize(("days", "length", "span"), [(31, DAY // 2, 2), (5, DAY // 12, 6), (200, DAY, 1)])
def test_windows_are_as_long_as_those_that_are_watched(days: float, length: int, span: int) -> None:
    """31 days give windows of a day from halves; five days only give shorter ones; of 200 days each pane is a day."""
    panes = cut(even(days), DAY)
    assert panes.length == length
    assert span_of(profiles(panes), panes.length, DAY, WINDOWS) == span
    assert len(panes.begins) >= span * WINDOWS


def test_a_year_is_covered_whole() -> None:
    """Of more windows than are kept the kept ones lie over all of the time, so that the seasons are in them."""
    panes = cut(even(365), DAY)
    assert len(panes.begins) == MOST
    assert panes.begins[0] < START + 7 * DAY
    assert np.diff(panes.begins).max() <= 7 * DAY


def test_a_record_of_years_ago_leaves_the_panes_where_records_are() -> None:
    """One wrong clock in the history: all panes but one are filled."""
    panes = cut(np.concatenate([[START - 3_000 * DAY], even(31)]), DAY)
    inside = np.searchsorted(even(31), panes.begins + panes.length) > np.searchsorted(even(31), panes.begins)
    assert inside.sum() >= 30
    assert (~inside).sum() <= 1


def test_panes_count_what_scorecards_would() -> None:
    """Numbers on an edge, missing values, and words beyond the commonest: the panes add up to the profile's counts."""
    rng = np.random.default_rng(3)
    words = tuple(f"w{i}" for i in range(14))
    columns = (Column("x", "numeric"), Column("rain", "numeric"), Column("c", "category", words))
    x = rng.normal(size=4_800).astype(np.float32).round(1)
    rain = np.where(rng.random(4_800) < 0.8, 0, rng.random(4_800)).astype(np.float32)
    matrix = np.stack([x, rain, rng.integers(0, 14, 4_800).astype(np.float32)], axis=1)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    times = even(32, 4_800)
    known = profile(columns, matrix, [0.5], [0.5]).features
    panes = cut(times, DAY)
    found = panes_of(columns, known, matrix, times, panes)
    bins = bins_of(columns, known)
    for j, (name, one) in enumerate(found.items()):
        assert len(one.panes) == len(panes.begins) == MOST
        assert tuple(np.sum(one.panes, axis=0).tolist()) == one.counts == known[name].counts
        own = (times >= panes.begins[7]) & (times < panes.begins[8])
        assert one.panes[7] == tuple(bins.of(count(bins, matrix[own]), j)[0].tolist())


def test_two_hundred_features_are_under_a_megabyte() -> None:
    """Numbers and long words, most panes, five million records: the encoded profile is small, and calibrates."""
    rng = np.random.default_rng(5)
    n, words = 20_000, tuple(f"a category of thirty letters {i:02}" for i in range(30))
    columns = [
        Column(f"a_feature_with_a_long_name_{j:03}", "category" if j % 2 else "numeric", words if j % 2 else ())
        for j in range(200)
    ]
    matrix = rng.normal(size=(n, 200)).astype(np.float32)
    matrix[:, 1::2] = rng.integers(0, 30, size=(n, 100))
    times = even(32, n)
    known = profile(columns, matrix, rng.random(n).tolist(), [0.5, 0.5])
    features = panes_of(columns, known.features, matrix, times, cut(times, DAY))
    large = {
        name: msgspec.structs.replace(
            one,
            counts=tuple(250 * count for count in one.counts),
            panes=tuple(tuple(250 * count for count in pane) for pane in one.panes),
        )
        for name, one in features.items()
    }
    encoded = msgspec.json.encode(msgspec.structs.replace(known, n=250 * n, features=large, pane_ms=DAY // 2))
    print(f"{len(encoded):,} bytes")
    assert sum(large[columns[0].name].counts) == 5_000_000
    assert len(encoded) < 1_000_000
    back = msgspec.json.decode(encoded, type=Reference)
    panes = {name: Panes(one.panes, ordered=not one.words) for name, one in back.features.items()}
    assert calibrate(panes, span_of(next(iter(back.features.values())), back.pane_ms, DAY, WINDOWS), DriftTerms())
