"""What the worlds of values are made of: laws of a target, meters, streets' clock, weather, indices, slow change."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from shared.simulation.arrivals import DAY_MS, HOUR_MS
from shared.simulation.clock import wall_clock
from shared.simulation.columns import read_columns
from shared.simulation.lognormal import Mixture, normal_cdf, normal_nodes, normal_slice
from shared.simulation.metered import UNSAID, band_of, hidden_use
from shared.simulation.price_index import price_index
from shared.simulation.returning import returning
from shared.simulation.slow import slowly
from shared.simulation.stepped import stepped_count
from shared.simulation.weather import hourly_weather
from shared.simulation.world import START_MS

SEED = 5


def dice() -> np.random.Generator:
    """Seeded dice; the seed is printed."""
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def test_a_mixture_says_what_its_draws_say() -> None:
    """Mean and median of a mixture are those of a million draws; a part of weight 0 is none."""
    rng = dice()
    shares, logs = np.array([0.3, 0.7, 0.0]), np.array([0.0, 2.0, 9.0])
    part = rng.choice(3, 1_000_000, p=shares)
    draws = np.exp(logs[part] + 0.4 * rng.standard_normal(len(part)))
    law = Mixture(5 * shares[None], logs[None], np.array([0.4]))
    assert float(law.mean()[0]) == pytest.approx(draws.mean(), rel=0.005)
    assert float(law.median()[0]) == pytest.approx(np.median(draws), rel=0.005)


def test_a_law_of_one_part_is_a_log_normal() -> None:
    """Its median is the part's, its mean is larger by half the variance."""
    law = Mixture(np.ones((1, 2)), np.full((1, 2), 3.0), np.array([0.5]))
    assert float(law.median()[0]) == pytest.approx(np.exp(3.0))
    assert float(law.mean()[0]) == pytest.approx(np.exp(3.125))


def test_points_stand_for_a_standard_normal_variable() -> None:
    """Moments of nodes, the mean of slices, and known values of the distribution function."""
    points, weights = normal_nodes(5)
    assert [1.0, 0.0, 1.0, 3.0] == pytest.approx([float(weights @ points**k) for k in (0, 1, 2, 4)], abs=1e-9)
    assert float(normal_slice(0, 1, 7).mean()) == pytest.approx(0, abs=1e-9)
    assert float(normal_slice(2 / 3, 1, 7).mean()) == pytest.approx(1.09, abs=0.06)
    known = normal_cdf(np.array([-1.96, 0.0, 1.0]))
    np.testing.assert_allclose(known, [0.0249979, 0.5, 0.8413447], atol=2e-7)


def test_hours_behind_a_meter_are_as_likely_as_said() -> None:
    """Over many machines the mean of the true hours is the law's, for each kind of record; parts are calibrated."""
    rng = dice()
    n, sd, most = 200_000, 0.4, 1500.0
    usual = rng.uniform(2_000, 12_000, n)
    use = rng.standard_normal(n)
    true = usual * np.exp(sd * use)
    replaced = rng.random(n) < 0.05
    shown = np.where(replaced, rng.random(n) * most, true).round().astype(np.float64)
    gone = rng.random(n) < 0.3
    band = np.where(rng.random(n) < 0.5, band_of(use), UNSAID)
    values, weights = hidden_use(usual, sd, shown, gone, band, reset=(0.05, most))
    shares = weights / weights.sum(axis=1, keepdims=True)
    guess = (shares * values).sum(axis=1)
    for some in (gone, ~gone, ~gone & (shown < most), band == 0, band == 2, band == UNSAID):
        assert guess[some].mean() / true[some].mean() == pytest.approx(1, abs=0.02)
    read = ~gone & (shown < most)
    assert shares[read, 1:].sum(axis=1).mean() == pytest.approx(replaced[read].mean(), abs=0.01)


def test_a_stepped_count_is_the_platforms() -> None:
    """Counts are those of a slow look through the definition: stamps on the step, never the record itself."""
    rng = dice()
    times, codes = np.sort(rng.integers(0, 40_000, 400)), rng.integers(0, 3, 400)
    counts = stepped_count(times, codes, over_ms=5_000, every_ms=1_000)
    for i, (at, code) in enumerate(zip(times.tolist(), codes.tolist(), strict=True)):
        own = times[codes == code]
        stamps = [s for s in ((own // 1_000 + 1) * 1_000).tolist() if s <= at]
        expected = sum(stamps[-1] - 5_000 <= t < stamps[-1] for t in own.tolist()) if stamps else np.nan
        np.testing.assert_equal(counts[i], expected)


def test_the_clock_on_the_wall() -> None:
    """Hour, weekday and day of the year of a place behind UTC, across the turn of a leap year."""
    moments = [datetime(2024, 1, 1, 3, tzinfo=UTC), datetime(2024, 12, 31, 23, tzinfo=UTC)]
    shown = wall_clock(np.array([int(m.timestamp() * 1000) for m in moments]), -5)
    assert ([22, 18], [6, 1], [365, 366]) == (shown.hour.tolist(), shown.weekday.tolist(), shown.day.tolist())


def test_weather_is_published_as_it_acts() -> None:
    """What a record finds as of its time is what acts on it; winters are cold, and only the cold makes snow."""
    sky = hourly_weather(dice(), ("bronx", "queens"), START_MS, 366 * 24, mild_c=12.0)
    times = START_MS + HOUR_MS * np.array([0, 5, 4_000]) + 59 * 60_000
    found = sky.at(np.array(["queens", "bronx", "queens"]), times)
    updates = sky.updates("weather")
    for i, (place, time) in enumerate(zip(("queens", "bronx", "queens"), times.tolist(), strict=True)):
        last = np.flatnonzero((updates.entity == place) & (updates.time <= time))[-1]
        assert {name: found[name][i] for name in found} == {name: v[last] for name, v in updates.values.items()}
    temp, snow = sky.readings["temp_c"], sky.readings["snow_mm"]
    assert temp[:, : 30 * 24].mean() < 4
    assert temp[:, 180 * 24 : 210 * 24].mean() > 20
    assert temp[snow > 0].max() < 1.1


def test_an_index_is_known_when_it_is_published() -> None:
    """Never a month ahead; a longer stretch begins as a shorter one."""
    groups, swing = np.array(["BL", "WL"]), np.array([0.1, 0.1])
    made = [price_index(dice(), groups, START_MS, days, swing=swing, months=20, sd=0.02) for days in (400, 90)]
    end_of_january = START_MS + 31 * DAY_MS
    got = made[0].at(np.array([1, 1]), np.array([end_of_january - 1, end_of_january]))
    assert made[0].logs[1, :2].tolist() == got.tolist()
    short = made[1].logs.shape[1]
    np.testing.assert_array_equal(made[0].logs[:, :short], made[1].logs)


def test_what_is_slow_is_straight_between_its_knots() -> None:
    """A level half way between two knots is their mean."""
    slow = slowly(dice(), 2, START_MS, 100, sd=1.0, every_d=20)
    half = slow.at(np.array([1]), np.array([START_MS + 30 * DAY_MS]))
    assert float(half[0]) == pytest.approx(float(slow.levels[1:3, 1].mean()))


def test_entities_return_after_a_while() -> None:
    """About the share asked for is of an earlier entity, never sooner than the gap; who must be new is new."""
    times = np.arange(5_000) * HOUR_MS
    fresh = np.arange(5_000) >= 4_000
    first = returning(dice(), times, 0.3, 10 * DAY_MS, fresh=fresh)
    back = first != np.arange(5_000)
    assert 0.25 < back[:4_000].mean() < 0.32
    assert (times[back] - times[first[back]]).min() >= 10 * DAY_MS
    assert not back[fresh].any()
    assert (first[first] == first).all()


def test_a_folders_table_has_text_and_numbers(tmp_path: Path) -> None:
    """Columns by the header: floats, but for those named as text."""
    (tmp_path / "t.csv").write_text("zone,km\n12,1.5\nB,2\n", encoding="utf-8")
    table = read_columns(tmp_path / "t.csv", "zone")
    assert (["12", "B"], [1.5, 2.0]) == (table["zone"].tolist(), table["km"].tolist())
