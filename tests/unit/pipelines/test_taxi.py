"""The simulated trips of `taxi`: the published schema, an honest truth, drift where it is scheduled."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.simulation.facts import facts
from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import Request, World
from tests.support.simulated import DAY_MS, absent, column, delays_of, halves, module_of, shown, spec_of, world_of

NAME = "taxi"
Floats = NDArray[np.float64]


def mean_of(world: World) -> Floats:
    """The true mean of the minutes."""
    assert world.truth.mean is not None
    return world.truth.mean


def test_every_record_finds_its_weather(tmp_path: Path) -> None:
    """Every trip has the weather of its borough and hour."""
    world = world_of(NAME)
    _, data = shown(NAME, world, tmp_path)
    assert not np.isnan(column(data, "weather", "temp_c")).any()


def test_values_are_in_their_ranges_and_plausible() -> None:
    """Minutes are 15 to 20 on average at 10 to 15 km/h, an airport in every tenth trip."""
    world = world_of(NAME, records=12_000)
    assert 15 < world.truth.y.mean() < 20
    assert 0 < world.truth.y.min() < world.truth.y.max() < 300
    km = np.array([value or np.nan for value in world.records["distance_km"].tolist()])
    assert 10 < np.nanmedian(km / world.truth.y * 60) < 15
    ends = [
        np.char.endswith(world.records[name].astype(np.str_), "Airport") for name in ("pickup_zone", "dropoff_zone")
    ]
    assert 0.07 < (ends[0] | ends[1]).mean() < 0.13


def test_the_truth_is_not_in_the_records() -> None:
    """Records have the declared fields and no other, and none says how long the trip took."""
    world = world_of(NAME)
    assert set(world.records) == set(spec_of(NAME).record.fields)
    numbers = [values for values in world.records.values() if values.dtype.kind in "if"]
    assert all(abs(np.corrcoef(values, world.truth.y)[0, 1]) < 0.9 for values in numbers)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_the_truth_is_the_mean_of_what_comes_true(scenario: str) -> None:
    """Before and after every change minutes scatter around the true mean, and half of them lie below the median."""
    world = world_of(NAME, scenario, 12_000)
    assert world.truth.median is not None
    start = world.changes[0].start_ms if world.changes else world.times[6_000]
    for some in (world.times < start, world.times >= start):
        error = world.truth.y[some] - mean_of(world)[some]
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(some.sum())
        below = (world.truth.y[some] < world.truth.median[some]).mean()
        assert abs(below - 0.5) < 4 * 0.5 / np.sqrt(some.sum())


def test_the_best_quality_leaves_room_above_the_goal() -> None:
    """Who knows the truth errs by 5 to 6 minutes; the goal is 8."""
    world = world_of(NAME, records=12_000)
    best = facts(world, Request(SCENARIOS["stationary"], 12_000, 7)).best["rmse"]
    print(f"best possible RMSE {best:.3f}")
    assert 5 < best < 6.2 < spec_of(NAME).monitoring.goal["rmse"]


def test_traffic_acts_as_the_platform_counts_it(tmp_path: Path) -> None:
    """More trips of the zone within the hour, as training and scoring see them, slow a trip down, all else alike."""
    world = world_of(NAME)
    codec, data = shown(NAME, world, tmp_path)
    counts = column(data, "zone_traffic", "zone_trips")
    place = {name: i for i, name in enumerate(world.records["trip"].tolist())}
    places = [place[str(codec.getter("trip")(row))] for row in data.rows]
    again = module_of(NAME)["stepped_count"](
        world.times,
        np.unique(world.records["pickup_zone"], return_inverse=True)[1],
        over_ms=3_600_000,
        every_ms=60_000,
    )
    np.testing.assert_array_equal(counts, np.nan_to_num(again[places]))
    assert np.nanmax(counts) >= 5


def test_labels_come_when_the_trip_is_over_and_sent() -> None:
    """Later than the trip's own minutes, vendor 2's later still; some never, some wrong first; all in the horizon."""
    world = world_of(NAME)
    late, first = delays_of(world) * 1_440, world.labels.revision == 0
    truth = world.truth.y[world.labels.index]
    assert (late > truth).all()
    vendor = world.records["vendor"][world.labels.index]
    waits = late - truth
    assert np.median(waits[first & (vendor == "2")]) > 5 * np.median(waits[first & (vendor == "1")])
    long = first & (truth > 30)
    assert late[long].mean() > late[first & (truth < 10)].mean() + 25
    assert late.max() * 60 < spec_of(NAME).labels.horizon
    assert 0.01 < 1 - len(np.unique(world.labels.index)) / len(world) < 0.03
    second = world.labels.revision == 1
    assert 0.008 < second.sum() / len(world) < 0.025
    assert (world.labels.value[second] == truth[second]).all()


def test_covariate_drift_sends_trips_outward() -> None:
    """Longer trips from the change on; their minutes given what is shown keep their law."""
    before, after = halves(
        world_of(NAME, "covariate_abrupt"), world_of(NAME, "covariate_abrupt").records["distance_km"]
    )
    assert after > before * 1.1
    gradual = world_of(NAME, "covariate_gradual")
    km = np.array([value or 0.0 for value in gradual.records["distance_km"].tolist()])
    assert km[1_600:2_000].mean() < km[2_800:].mean()


def test_prior_drift_makes_trips_longer() -> None:
    """The level of the minutes rises at once."""
    world = world_of(NAME, "prior")
    before, after = halves(world, world.truth.y)
    assert after > before * 1.15


def test_concept_drift_slows_the_core_by_day() -> None:
    """The same trips take longer inside the core; distances are what they were."""
    world, same = world_of(NAME, "concept"), world_of(NAME)
    assert (world.records["trip"] == same.records["trip"]).all()
    late = world.times >= world.changes[0].start_ms
    slower = world.truth.y[late] / same.truth.y[late]
    assert 0.3 < (slower > 1.2).mean() < 0.9
    assert slower.max() < 1 / 0.7 + 0.01


def test_a_unit_error_is_vendor_2_sending_miles() -> None:
    """Distances of vendor 2 shrink to 0.62 of what they were, those of vendor 1 stay, and so does the truth."""
    world, same = world_of(NAME, "unit_error"), world_of(NAME)
    late = world.times >= world.changes[0].start_ms
    there = late & (absent(world.records["distance_km"]) == 0)
    for vendor, factor in (("1", 1.0), ("2", 0.621)):
        some = there & (world.records["vendor"] == vendor)
        ratio = world.records["distance_km"][some].astype(float) / same.records["distance_km"][some].astype(float)
        assert float(np.median(ratio)) == pytest.approx(factor, abs=0.005)
    assert (world.truth.y == same.truth.y).all()


def test_a_field_goes_missing() -> None:
    """Hardly a distance is missing before the change, most are after it, and the best possible error grows."""
    world = world_of(NAME, "missing_field")
    before, after = halves(world, absent(world.records["distance_km"]))
    assert before < 0.02
    assert 0.5 < after < 0.7


def test_a_new_category_appears() -> None:
    """Hudson Yards is never seen before the change, and ever more often after it."""
    world = world_of(NAME, "new_category")
    new = (world.records["dropoff_zone"] == "Hudson Yards").astype(np.float64)
    before, after = halves(world, new)
    assert 0.0 == before
    assert 0.02 < after < new[3_400:].mean()


def test_the_city_changes_slowly_by_itself() -> None:
    """Trips take longer from month to month in every scenario: growth that is no drift on schedule."""
    world = world_of(NAME, records=60_000)
    month = (world.times - world.times[0]) // (20 * DAY_MS)
    assert () == world.changes
    assert mean_of(world)[month == month.max()].mean() > 1.02 * mean_of(world)[month == 0].mean()
