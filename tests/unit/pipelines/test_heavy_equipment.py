"""The simulated auctions of `heavy_equipment`: the published schema, an honest truth, drift where it is scheduled."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.simulation.facts import facts
from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import Request, World
from tests.support.simulated import DAY_MS, absent, column, delays_of, halves, module_of, shown, spec_of, world_of

NAME = "heavy_equipment"
Floats = NDArray[np.float64]


def median_of(world: World) -> Floats:
    """The true median of the price."""
    assert world.truth.median is not None
    return world.truth.median


def test_every_record_finds_its_market(tmp_path: Path) -> None:
    """Every sale has the market of its group's month."""
    world = world_of(NAME)
    _, data = shown(NAME, world, tmp_path)
    assert not np.isnan(column(data, "market", "price_index")).any()


def test_values_are_in_their_ranges_and_plausible() -> None:
    """Prices lie between a wreck's and a large dozer's; a fifth of the sales are resales."""
    world = world_of(NAME, records=15_000)
    assert 500 < world.truth.y.min() < world.truth.y.max() < 700_000
    assert 30_000 < np.median(world.truth.y) < 50_000
    assert 0.12 < 1 - len(np.unique(world.records["machine_id"])) / len(world) < 0.25
    assert 7 < np.median(world.records["age_years"]) < 11


def test_a_machine_stays_what_it_is() -> None:
    """Model, year and cab of a machine are the same in each of its sales, and its age never falls."""
    world = world_of(NAME, records=15_000)
    order = np.lexsort((world.times, world.records["machine_id"]))
    same = np.flatnonzero(world.records["machine_id"][order[1:]] == world.records["machine_id"][order[:-1]])
    one, two = order[same], order[same + 1]
    assert len(one) > 1_000
    for name in ("model_id", "year_made", "enclosure", "hydraulics", "state"):
        assert (world.records[name][one] == world.records[name][two]).all()
    assert (world.records["age_years"][two] >= world.records["age_years"][one]).all()
    first = np.array([int(name[1:]) for name in world.records["machine_id"].tolist()])
    back = first != np.arange(len(world))
    assert (world.times[back] - world.times[first[back]]).min() >= 60 * DAY_MS


def test_the_age_is_that_at_the_sale() -> None:
    """It follows from the date and the year of manufacture, to a tenth of a year."""
    world = world_of(NAME)
    year = 1970 + world.times / (365.25 * DAY_MS)
    np.testing.assert_allclose(world.records["age_years"], year - world.records["year_made"], atol=0.051)


def test_the_truth_is_not_in_the_records() -> None:
    """Records have the declared fields and no other, and none says the price."""
    world = world_of(NAME)
    assert set(world.records) == set(spec_of(NAME).record.fields)
    numbers = [values for values in world.records.values() if values.dtype.kind in "if" and values.std() > 0]
    assert all(abs(np.corrcoef(values, np.log(world.truth.y))[0, 1]) < 0.9 for values in numbers)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_the_truth_is_the_law_of_what_comes_true(scenario: str) -> None:
    """Before and after every change half of the prices lie below the true median, whatever the meter shows or hides."""
    world = world_of(NAME, scenario, 12_000)
    start = world.changes[0].start_ms if world.changes else world.times[6_000]
    gone = absent(world.records["meter_hours"]) == 1
    some_hours = np.array([0 if value is None else value for value in world.records["meter_hours"].tolist()])
    odd = ~gone & (some_hours < 1_500) & (world.records["age_years"] > 10)
    for some in (world.times < start, world.times >= start, gone, ~gone, odd):
        below = (world.truth.y[some] < median_of(world)[some]).mean()
        assert abs(below - 0.5) < 4 * 0.5 / np.sqrt(some.sum())


def test_the_best_quality_leaves_room_above_the_goal() -> None:
    """Who knows the truth is within 15 % in 80 to 85 %, where the goal is 65 %, and far below the goal's RMSLE."""
    world = world_of(NAME, records=15_000)
    best, goal = facts(world, Request(SCENARIOS["stationary"], 15_000, 7)).best, spec_of(NAME).monitoring.goal
    print(f"best possible RMSLE {best['rmsle']:.4f}, within 15 % {best['within_15']:.4f}")
    assert goal["within_15"] + 0.1 < 0.8 < best["within_15"] < 0.86
    assert best["rmsle"] < 0.14 < goal["rmsle"]


def test_supply_acts_as_the_platform_counts_it(tmp_path: Path) -> None:
    """The model's sales of 90 days that a record finds are those that press its price."""
    world = world_of(NAME)
    codec, data = shown(NAME, world, tmp_path)
    place = {name: i for i, name in enumerate(world.records["sale"].tolist())}
    places = [place[str(codec.getter("sale")(row))] for row in data.rows]
    codes = np.unique(world.records["model_id"], return_inverse=True)[1]
    again = module_of(NAME)["stepped_count"](world.times, codes, over_ms=90 * DAY_MS, every_ms=DAY_MS)
    np.testing.assert_array_equal(column(data, "model_market", "model_sales"), np.nan_to_num(again[places]))
    assert np.nanmax(again) > 50


def test_labels_come_at_settlement() -> None:
    """Days after the sale, the dearer the later; some never, some wrong first; all in the horizon."""
    world = world_of(NAME, records=15_000)
    late, first = delays_of(world), world.labels.revision == 0
    truth = world.truth.y[world.labels.index]
    assert late[first & (truth > 100_000)].mean() > 1.5 * late[first & (truth < 15_000)].mean()
    assert 0 < late.min() < late.max() < spec_of(NAME).labels.horizon / 86_400
    assert 0.02 < 1 - len(np.unique(world.labels.index)) / len(world) < 0.04
    second = world.labels.revision == 1
    assert 0.014 < second.sum() / len(world) < 0.026
    assert (world.labels.value[second] == truth[second]).all()


def test_covariate_drift_sells_young_machines() -> None:
    """Ages fall at once, or bit by bit; what a machine of an age is worth stays."""
    world = world_of(NAME, "covariate_abrupt")
    before, after = halves(world, world.records["age_years"])
    assert after < before * 0.7
    gradual = world_of(NAME, "covariate_gradual").records["age_years"]
    assert gradual[:1_600].mean() > gradual[1_800:2_600].mean() > gradual[2_800:].mean()


def test_prior_drift_raises_the_level() -> None:
    """Dearer machines come from the change on."""
    world = world_of(NAME, "prior")
    before, after = halves(world, world.truth.y)
    assert after > before * 1.3


def test_concept_drift_takes_worth_from_old_engines() -> None:
    """The same sales; diggers, dozers and loaders over 8 years old fetch 0.7 of it, others what they did."""
    world, same = world_of(NAME, "concept"), world_of(NAME)
    late = world.times >= world.changes[0].start_ms
    ratio = world.truth.y / same.truth.y
    old = late & (world.records["age_years"] > 8.1) & np.isin(world.records["product_group"], ["TEX", "TTT", "WL"])
    young = late & (world.records["age_years"] < 7.9)
    assert float(np.median(ratio[old])) == pytest.approx(0.7, abs=0.01)
    assert (ratio[young | ~late] == 1).all()


def test_a_unit_error_is_an_auctioneer_sending_tenths() -> None:
    """Hours of auctioneer 2 are ten times what they were, those of others stay, and so does the truth."""
    world, same = world_of(NAME, "unit_error"), world_of(NAME)
    late = world.times >= world.changes[0].start_ms
    there = late & (absent(world.records["meter_hours"]) == 0)
    for who, factor in (("1", 1.0), ("2", 10.0)):
        some = there & (world.records["auctioneer"] == who)
        hours = [other.records["meter_hours"][some].astype(float) for other in (world, same)]
        np.testing.assert_allclose(hours[0], factor * hours[1])
    assert (world.truth.y == same.truth.y).all()


def test_a_field_goes_missing() -> None:
    """A fifth of the meters is not read before the change, four fifths after it."""
    world = world_of(NAME, "missing_field")
    before, after = halves(world, absent(world.records["meter_hours"]))
    assert 0.15 < before < 0.25
    assert 0.75 < after < 0.85


def test_a_new_category_appears() -> None:
    """Model 336 is never sold before the change, and ever more often after it."""
    world = world_of(NAME, "new_category")
    new = (world.records["model_id"] == "336").astype(np.float64)
    before, after = halves(world, new)
    assert 0.0 == before
    assert 0.02 < after < new[3_200:].mean()
