"""The simulated customers of `churn`: the published schema, an honest truth, drift where it is scheduled."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.simulation.facts import facts
from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import Request, World
from tests.support.simulated import DAY_MS, column, delays_of, halves, module_of, shown, spec_of, world_of

NAME = "churn"
Floats = NDArray[np.float64]


def chance(world: World) -> Floats:
    """The true probability of churn."""
    assert world.truth.posterior is not None
    return world.truth.posterior[:, 1]


def test_the_truth_is_not_in_the_records() -> None:
    """Records have the declared fields and no other, and none says what became of the customer."""
    world = world_of(NAME)
    assert set(world.records) == set(spec_of(NAME).record.fields)
    assert not {"churn", "churned", "Churn", "p", "label"} & set(world.records)


def test_values_are_the_published_ones() -> None:
    """Categories, tenure and charges are those of the sample data; total charges follow from both."""
    records = world_of(NAME).records
    assert {"Month-to-month", "One year", "Two year"} == set(records["contract"])
    assert {"No", "DSL", "Fiber optic"} == set(records["internet_service"])
    assert {"Electronic check", "Mailed check", "Bank transfer", "Credit card"} == set(records["payment_method"])
    assert 1 == records["tenure_months"].min() < records["tenure_months"].max() == 72
    assert 18.25 <= records["monthly_charges"].min() < records["monthly_charges"].max() <= 118.75
    assert not records["streaming_tv"][records["internet_service"] == "No"].any()
    total = records["monthly_charges"] * records["tenure_months"]
    np.testing.assert_allclose(records["total_charges"], total, atol=0.006)


def test_the_truth_is_what_record_and_features_show(tmp_path: Path) -> None:
    """The probability can be computed again from what a model is given: fields, the account, the last use."""
    world, made = world_of(NAME), module_of(NAME)
    codec, data = shown(NAME, world, tmp_path)

    def field(name: str) -> NDArray[np.generic]:
        return np.array([codec.getter(name)(row) for row in data.rows])

    panel = {name: field(name) for name in ("tech_support", "senior", "paperless", "partner")}
    codes = {"contract": made["CONTRACTS"], "internet_service": made["INTERNET"], "payment_method": made["PAYMENTS"]}
    for name, words in codes.items():
        panel[name.partition("_")[0]] = np.array([words.tolist().index(value) for value in field(name)])
    panel |= {"tenure": field("tenure_months"), "charges": field("monthly_charges"), "usage": field("usage_gb")}
    panel |= {"tickets": column(data, "account", "tickets_60d"), "late": column(data, "account", "payment_delay_days")}
    panel["usage_last"] = column(data, "usage", "usage_last")
    place = {name: i for i, name in enumerate(world.records["snapshot_id"].tolist())}
    expected = chance(world)[[place[str(name)] for name in field("snapshot_id")]]
    np.testing.assert_allclose(made["_chance"](panel, 0.0), expected, atol=1e-9)


def test_the_best_quality_leaves_room_above_the_goal() -> None:
    """Who knows the truth's distribution is right in 88 to 90 %; the posterior is calibrated; 26 % churn."""
    world = world_of(NAME, records=24_000)
    goal = spec_of(NAME).monitoring.goal["accuracy"]
    best = facts(world, Request(SCENARIOS["stationary"], 24_000, 7)).best["accuracy"]
    print(f"best possible accuracy {best:.4f}, goal {goal}")
    assert goal + 0.02 < best < 0.91
    assert abs(world.truth.y.mean() - 0.26) < 0.015
    p = chance(world)
    for low in np.arange(0.0, 0.9, 0.1):
        some = (p >= low) & (p < low + 0.1)
        assert abs(p[some].mean() - world.truth.y[some].mean()) < 4 * 0.5 / np.sqrt(some.sum()), low


def test_no_reason_acts_alone() -> None:
    """Dear contracts are left early by the month and cheap ones late; who is bound differs: signs turn."""
    world = world_of(NAME, records=24_000)
    monthly = world.records["contract"] == "Month-to-month"
    early, dear = world.records["tenure_months"] < 20, world.records["monthly_charges"] > 76
    cheap, p = world.records["monthly_charges"] < 46, chance(world)
    assert p[monthly & early & dear].mean() > 0.7
    assert p[monthly & early & cheap].mean() < 0.3
    assert p[monthly & ~early & dear].mean() < 0.35 < p[monthly & ~early & cheap].mean()
    assert p[~monthly & early & dear].mean() < 0.35


def test_labels_come_when_they_are_known() -> None:
    """A cancellation within the month, staying at its end: the delay depends on the class; mistakes are corrected."""
    world = world_of(NAME)
    late, first = delays_of(world), world.labels.revision == 0
    stayed = first & (world.labels.value == 0)
    churned = first & (world.labels.value == 1) & (world.truth.y[world.labels.index] == 1)
    assert late[stayed].min() > 22
    assert late[churned].mean() < 17
    assert 0 < late.min() < late.max() < spec_of(NAME).labels.horizon / 86_400
    assert 0.02 < 1 - len(np.unique(world.labels.index)) / len(world) < 0.04
    second = world.labels.revision == 1
    assert 0.008 < second.sum() / len(world) < 0.025
    assert (world.labels.value[second] == world.truth.y[world.labels.index[second]]).all()


def test_every_label_is_known_before_the_next_month_but_corrections() -> None:
    """So a training that ends with a month learns from stayers and churners alike."""
    world = world_of(NAME)
    first = world.labels.revision == 0
    months = world.times.astype("datetime64[ms]").astype("datetime64[M]")[world.labels.index]
    known = world.labels.time.astype("datetime64[ms]").astype("datetime64[M]")
    assert (months == known)[first].all()


def test_snapshots_are_taken_in_the_first_days_of_a_month() -> None:
    """Five days, every month, as many in each."""
    moments = world_of(NAME).times.astype("datetime64[ms]")
    day = (moments.astype("datetime64[D]") - moments.astype("datetime64[M]").astype("datetime64[D]")).astype(int)
    assert {0, 1, 2, 3, 4} == set(day.tolist())
    _, counts = np.unique(moments.astype("datetime64[M]"), return_counts=True)
    assert 24 == len(counts)
    assert counts.max() - counts.min() <= 1


def test_who_churned_does_not_come_back() -> None:
    """A customer's snapshots end with the month in which he cancels; those who stay have one a month."""
    world = world_of(NAME)
    last: dict[str, tuple[float, int]] = {}
    for who, y, time in zip(world.records["customer_id"].tolist(), world.truth.y, world.times.tolist(), strict=True):
        if who in last:
            assert 0 == last[who][0]
            assert 25 * DAY_MS < time - last[who][1] < 37 * DAY_MS
        last[who] = (y, time)
    assert len(last) < len(world) * 0.6


def test_covariate_drift_raises_prices() -> None:
    """Charges rise by 15 % from the change on; the probability given what is shown stays what it was."""
    world = world_of(NAME, "covariate_abrupt", 12_000)
    before, after = halves(world, world.records["monthly_charges"])
    assert 1.10 < after / before < 1.20


def test_prior_drift_moves_the_base_rate() -> None:
    """More churn from the change on; the posterior knows, so it stays calibrated."""
    world = world_of(NAME, "prior", 12_000)
    before, after = halves(world, world.truth.y)
    assert after > before + 0.06
    late = world.times >= world.changes[0].start_ms
    assert abs(chance(world)[late].mean() - world.truth.y[late].mean()) < 0.02


def test_concept_drift_moves_the_truth_and_not_the_charges() -> None:
    """A rival makes middling charges a reason to leave; prices are what they were."""
    world = world_of(NAME, "concept", 12_000)
    charges = halves(world, world.records["monthly_charges"])
    assert abs(charges[1] / charges[0] - 1) < 0.05
    middling = (world.records["monthly_charges"] > 54) & (world.records["monthly_charges"] < 70)
    late = world.times >= world.changes[0].start_ms
    early = world.records["tenure_months"] < 20
    assert world.truth.y[middling & late & early].mean() > world.truth.y[middling & ~late & early].mean() + 0.2


def test_a_unit_error_sends_megabytes() -> None:
    """Use is a thousand times what it was, and what came true is not touched."""
    world, same = world_of(NAME, "unit_error"), world_of(NAME)
    before, after = halves(world, world.records["usage_gb"])
    assert 700 < after / before < 1_400
    assert (world.truth.y == same.truth.y).all()


def test_a_field_goes_missing() -> None:
    """Monthly charges are there until the change and never after it; total charges and tenure still say them."""
    world = world_of(NAME, "missing_field")
    gone = np.array([value is None for value in world.records["monthly_charges"]], dtype=np.float64)
    assert (0.0, 1.0) == halves(world, gone)
    assert world.records["total_charges"].min() > 0


def test_a_new_category_appears() -> None:
    """Wallet is never seen before the change, and ever more often after it."""
    world = world_of(NAME, "new_category")
    new = (world.records["payment_method"] == "Wallet").astype(np.float64)
    before, after = halves(world, new)
    assert 0.0 == before
    assert 0.1 < after < new[3_400:].mean() < 0.4
