"""The simulated surveys of `obesity`: the published schema, an honest truth, drift where it is scheduled."""

from pathlib import Path

import numpy as np

from shared.core.codec import RecordCodec
from shared.simulation.facts import facts
from shared.simulation.ordered import chances
from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import Request, World
from tests.support.simulated import column, delays_of, halves, module_of, shown, spec_of, world_of

NAME = "obesity"
SURVEY = (
    *("Gender", "Age", "Height", "Weight", "family_history_with_overweight", "FAVC", "FCVC", "NCP", "CAEC", "SMOKE"),
    *("CH2O", "SCC", "FAF", "TUE", "CALC", "MTRANS"),
)


def bmi_of(world: World) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Weight over height squared, as shown."""
    return np.asarray(world.records["Weight"] / world.records["Height"] ** 2, dtype=np.float64)


def test_the_truth_is_not_in_the_records() -> None:
    """Records have the declared fields and no other; the 16 survey fields are among them."""
    world, spec = world_of(NAME), spec_of(NAME)
    assert list(spec.record.fields) == list(world.records)
    assert set(SURVEY) <= set(world.records)
    assert 16 == len(SURVEY)


def test_categories_are_the_published_ones() -> None:
    """Each answer is one of the survey's."""
    records = world_of(NAME).records
    assert {"Female", "Male"} == set(records["Gender"])
    assert set(records["CAEC"]) == set(records["CALC"]) == {"no", "Sometimes", "Frequently", "Always"}
    assert {"no", "yes"} == set(records["FAVC"]) == set(records["SMOKE"]) == set(records["SCC"])
    assert set(records["MTRANS"]) <= {"Automobile", "Motorbike", "Bike", "Public_Transportation", "Walking"}


def test_the_truth_is_what_record_and_features_show(tmp_path: Path) -> None:
    """The posterior can be computed again from what a model is given: fields, the clinic's values, the aggregates."""
    world, made = world_of(NAME), module_of(NAME)
    codec, data = shown(NAME, world, tmp_path)
    ids = list(map(codec.getter("survey_id"), data.rows))
    male = np.array([value == "Male" for value in _field(codec, data.rows, "Gender")])
    height, weight, faf, age = (np.array(_field(codec, data.rows, n)) for n in ("Height", "Weight", "FAF", "Age"))
    bmi, parameters = weight / height**2, made["PARAMETERS"]
    bent = parameters.clinic_weight * np.clip(np.nan_to_num(column(data, "history", "clinic_bmi") - bmi), -2, 2)
    trend = np.nan_to_num(column(data, "surveys", "weight_mean") / height**2 - bmi)
    index = bmi + bent + parameters.trend_weight * np.clip(trend, -2, 2) + made["_correction"](male, faf, age)
    place = {name: i for i, name in enumerate(world.records["survey_id"].tolist())}
    assert world.truth.posterior is not None
    expected = world.truth.posterior[[place[name] for name in ids]]
    np.testing.assert_allclose(
        chances(index, np.array(parameters.cuts), parameters.examination_sd), expected, atol=1e-6
    )


def _field(codec: RecordCodec, rows: list[object], name: str) -> list[object]:
    return [codec.getter(name)(row) for row in rows]


def test_the_best_quality_leaves_room_above_the_goal() -> None:
    """Who knows the truth's distribution is right in 98 to 99 %; the posterior is calibrated; levels are balanced."""
    world = world_of(NAME, records=20_000)
    goal = spec_of(NAME).monitoring.goal["accuracy"]
    best = facts(world, Request(SCENARIOS["stationary"], 20_000, 7)).best["accuracy"]
    print(f"best possible accuracy {best:.4f}, goal {goal}")
    assert goal + 0.03 < best < 0.995
    assert world.truth.posterior is not None
    shares = np.bincount(world.truth.y.astype(int)) / len(world)
    np.testing.assert_allclose(world.truth.posterior.mean(axis=0), shares, atol=0.006)
    assert 0.08 < shares.min() < shares.max() < 0.22


def test_labels_come_the_later_the_heavier() -> None:
    """The delay depends on the level; some labels are missing, some corrected; all are within the horizon."""
    world = world_of(NAME)
    late, first = delays_of(world), world.labels.revision == 0
    medians = [float(np.median(late[first & (world.labels.value == k)])) for k in range(7)]
    assert medians[1] < medians[3] < medians[5] < medians[6]
    assert 0 < late.min() < late.max() < spec_of(NAME).labels.horizon / 86_400
    assert 0.02 < 1 - len(np.unique(world.labels.index)) / len(world) < 0.06
    wrong = world.labels.value[first] != world.truth.y[world.labels.index[first]]
    assert 0.01 < wrong.mean() < 0.03
    second = ~first
    assert (world.labels.value[second] == world.truth.y[world.labels.index[second]]).all()
    assert np.count_nonzero(second) == np.count_nonzero(wrong)


def test_nothing_changes_in_a_stationary_stream() -> None:
    """Means of the first and the last third agree within their noise."""
    world = world_of(NAME, records=20_000)
    assert () == world.changes
    for name in ("Age", "FAF", "Height"):
        early, late = world.records[name][:6_600], world.records[name][-6_600:]
        aged = 1.4 if name == "Age" else 0.0  # respondents of a panel grow older
        # Respondents come back: the noise is that of respondents, not of records.
        assert abs(late.mean() - early.mean() - aged) < 6 * early.std() / np.sqrt(3_300), name


def test_covariate_drift_brings_other_people() -> None:
    """Older and less active ones; the probability of a level given what is shown stays what it was."""
    world = world_of(NAME, "covariate_abrupt")
    age, faf = halves(world, world.records["Age"]), halves(world, world.records["FAF"])
    assert age[1] > age[0] + 4
    assert faf[1] < faf[0] - 0.15
    ramp = world_of(NAME, "covariate_gradual").records["Age"]
    assert ramp[:1_600].mean() + 1 < ramp[2_000:2_400].mean() < ramp[2_900:].mean() - 1


def test_prior_drift_makes_heavy_levels_more_common() -> None:
    """Obesity of types II and III grows from the change on."""
    world = world_of(NAME, "prior")
    before, after = halves(world, (world.truth.y >= 5).astype(np.float64))
    assert after > 1.5 * before


def test_concept_drift_moves_the_truth_and_not_the_inputs() -> None:
    """People are as heavy as before, but more of them are told that they are overweight."""
    world, same = world_of(NAME, "concept"), world_of(NAME)
    assert (world.records["Weight"] == same.records["Weight"]).all()
    before, after = halves(world, (world.truth.y >= 4).astype(np.float64))
    assert after > before + 0.05
    best = facts(world, Request(SCENARIOS["concept"], 4_000, 7))
    assert best.best["accuracy"] > 0.95, "who knows of the change is as good as before"


def test_a_unit_error_sends_pounds() -> None:
    """Weights are 2.2 times what they were, and what came true is not touched."""
    world, same = world_of(NAME, "unit_error"), world_of(NAME)
    before, after = halves(world, bmi_of(world))
    assert 2.1 < after / before < 2.3
    assert (world.truth.y == same.truth.y).all()


def test_a_field_goes_missing() -> None:
    """FAF is there until the change and never after it; the best possible quality falls with it."""
    world = world_of(NAME, "missing_field")
    gone = np.array([value is None for value in world.records["FAF"]], dtype=np.float64)
    assert (0.0, 1.0) == halves(world, gone)
    best = facts(world, Request(SCENARIOS["missing_field"], 4_000, 7))
    assert best.best["accuracy"] < best.best_before["accuracy"] - 0.02
    assert world.truth.posterior is not None
    hidden = world.times >= world.changes[0].start_ms
    said = world.truth.posterior[hidden].max(axis=1).mean()
    right = (world.truth.posterior.argmax(axis=1) == world.truth.y)[hidden].mean()
    assert abs(said - right) < 0.03, "the posterior knows what it does not know"


def test_a_new_category_appears() -> None:
    """E_Scooter is never seen before the change, and ever more often after it."""
    world = world_of(NAME, "new_category")
    new = (world.records["MTRANS"] == "E_Scooter").astype(np.float64)
    before, after = halves(world, new)
    assert 0.0 == before
    assert 0.1 < after < new[3_400:].mean() < 0.4
