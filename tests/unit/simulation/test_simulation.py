"""The library of the simulators: drift on schedule, entities without foresight, late labels, honest figures."""

from pathlib import Path

import numpy as np
import pytest

from shared.adapters.tables import read_rows
from shared.core.aggregates import Event, history, plans_of
from shared.core.asof import HistoryLookups
from shared.core.errors import UserError
from shared.simulation.arrivals import DAY_MS, arrivals, month_starts
from shared.simulation.entities import as_of, earlier, previous, wander
from shared.simulation.facts import facts
from shared.simulation.loading import load_simulator
from shared.simulation.ordered import chances, levels
from shared.simulation.quality import best_quality, part
from shared.simulation.revealing import delays, reveal
from shared.simulation.scenario import SCENARIOS, Drift, Scenario, scenario_named
from shared.simulation.world import START_MS, Labels, Request, Truth, Updates, World, changes, without
from shared.simulation.writer import write_beside, write_folder
from tests.support.simulated import spec_of

SEED = 3


def dice() -> np.random.Generator:
    """Seeded dice; the seed is printed."""
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def small_world(scenario: str = "missing_field") -> tuple[World, Request]:
    """Three records, the last without its field; two groups; one label corrected, one missing."""
    truth = Truth(np.array([0.0, 1.0, 1.0]), ("no", "yes"), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    times, one = np.array([10, 20, 30]), np.array([5])
    world = World(
        task="binary",
        id_field="id",
        key_field="who",
        records={"id": np.array(["a", "b", "c"]), "who": np.array(["x", "x", "y"]), "v": np.array([1.5, None, 2.0])},
        times=times,
        truth=truth,
        labels=Labels(np.array([0, 1, 1]), np.array([0.0, 0.0, 1.0]), np.array([11, 22, 25]), np.array([0, 0, 1])),
        updates=(
            Updates("g", np.array(["x"]), one, {"p": np.array([1.0])}),
            Updates("h", np.array(["y"]), one - 1, {"q": np.array(["warm"])}),
        ),
        changes=changes(SCENARIOS[scenario], times, {"missing_field": "v"}),
    )
    return world, Request(SCENARIOS[scenario], 3, SEED)


def test_a_scenario_that_does_not_exist_names_those_that_do() -> None:
    """An unknown name is the user's mistake, with the list."""
    with pytest.raises(UserError, match="no scenario flood; choose one of stationary, covariate_abrupt"):
        scenario_named("flood")


def test_a_folder_without_a_simulator_says_so(tmp_path: Path) -> None:
    """No generate.py, one without simulate, and one that does not load are each one sentence."""
    with pytest.raises(UserError, match=r"generate\.py: no such file, so nothing can be generated"):
        load_simulator(tmp_path)
    (tmp_path / "generate.py").write_text("x = 1")
    with pytest.raises(UserError, match=r"it has no function simulate\(request\)"):
        load_simulator(tmp_path)
    (tmp_path / "generate.py").write_text("import nowhere")
    with pytest.raises(UserError, match=r"does not load \(ModuleNotFoundError: No module named 'nowhere'\)"):
        load_simulator(tmp_path)


def test_a_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """Records go to CSV, JSON lines or Parquet."""
    world, request = small_world()
    with pytest.raises(UserError, match=r"no kind of file that can be written; use \.parquet, \.csv, \.jsonl"):
        write_beside(world, request, tmp_path / "records.xls")


def test_drifts_act_on_schedule() -> None:
    """Abrupt: nothing, then everything; gradual: a ramp; other kinds do not act."""
    assert [0, 0, 1, 1] == Drift("concept", 0.5, 0.5).strength(4).tolist()
    assert [0, 0, 0.5, 1] == Drift("concept", 0.25, 0.75).strength(4).tolist()
    assert [0, 0, 0, 0] == SCENARIOS["concept"].strength("prior", 4).tolist()
    struck = SCENARIOS["covariate_gradual"].strikes("covariate", 10_000, dice())
    assert not struck[:4_000].any()
    assert struck[7_000:].all()
    assert abs(struck[4_000:7_000].mean() - 0.5) < 0.05


def test_the_size_of_a_drift_is_the_scenarios_or_the_default() -> None:
    """A scenario may say how large; else the pipeline does."""
    large = Scenario("x", "", (Drift("concept", 0.5, 0.5, size=3.0),))
    assert [3.0, 2.0] == [large.size("concept", 2.0), SCENARIOS["concept"].size("concept", 2.0)]


def test_every_scenario_leaves_the_first_third_alone() -> None:
    """Histories are trained on it."""
    for scenario in SCENARIOS.values():
        for drift in scenario.drifts:
            assert drift.strength(9_000)[:3_000].sum() == 0, scenario.name


def test_arrivals_follow_hour_and_weekday() -> None:
    """Times ascend within the span, and hours or days of weight 0 have none."""
    hours = [0.0] * 8 + [1.0] * 16
    times = arrivals(dice(), 2_000, START_MS, 14, hours=hours, weekdays=(1, 1, 1, 1, 1, 0, 0))
    assert (np.diff(times) >= 0).all()
    assert START_MS <= times[0] <= times[-1] < START_MS + 14 * DAY_MS
    assert (times % DAY_MS // 3_600_000).min() == 8
    days = (times - START_MS) // DAY_MS  # the first is a Monday
    assert set(days % 7) == {0, 1, 2, 3, 4}


def test_months_start_on_their_first_day() -> None:
    """Leap years and the turn of the year are right."""
    starts = month_starts(START_MS, 12)
    assert [31, 29, 31] == (np.diff(starts)[:3] // DAY_MS).tolist()
    assert 366 == (starts[-1] - starts[0]) // DAY_MS


def test_look_ups_never_show_what_comes_later() -> None:
    """The newest update at or before the record, of its own entity; -1 where there is none."""
    codes, times = np.array([0, 0, 1, 2]), np.array([10, 20, 20, 99])
    found = as_of(codes, times, np.array([0, 0, 1, 0]), np.array([20, 10, 21, 30]))
    assert [1, 0, -1, -1] == found.tolist()
    assert [-1] == as_of(codes[:1], times[:1], np.array([], int), np.array([], int)).tolist()


def test_earlier_records_are_as_the_platform_keeps_them() -> None:
    """Count, mean, last and time since equal those of the aggregates that scoring and training use."""
    rng, n = dice(), 600
    times = np.sort(rng.integers(0, 500, n)) * DAY_MS + np.arange(n) + START_MS
    codes, values = rng.integers(0, 60, n), rng.normal(80.0, 9.0, n)
    known = earlier(codes, times, values, 365 * DAY_MS)
    spec = spec_of("obesity")
    (plan,) = plans_of(spec)
    listed = [
        Event(str(c), int(t), str(i), (float(v),)) for i, (c, t, v) in enumerate(zip(codes, times, values, strict=True))
    ]
    found = HistoryLookups(history(plan, listed), spec.lookups).get_many(
        {"surveys": [str(c) for c in codes]}, times.tolist()
    )
    rows = [row or {} for row in found.values["surveys"]]
    pairs = {
        "surveys_count": np.nan_to_num(known.count),
        "weight_mean": known.mean,
        "weight_last": known.last,
        "survey_since": known.since,
    }
    for name, ours in pairs.items():
        theirs = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
        np.testing.assert_allclose(theirs, ours, rtol=1e-9, equal_nan=True, err_msg=name)
    assert (previous(codes) < np.arange(n)).all()


def test_what_wanders_is_stationary_and_remembers() -> None:
    """Its spread is the same early and late, and near records of an entity have near values."""
    rng = dice()
    codes, times = rng.integers(0, 500, 20_000), np.sort(rng.integers(0, 730 * DAY_MS, 20_000))
    value = wander(rng, codes, times, sd=2.0, days=100.0)
    before = previous(codes)
    known = before >= 0
    assert abs(value[:5_000].std() - 2.0) < 0.1
    assert abs(value[-5_000:].std() - 2.0) < 0.1
    near = known & (times - times[before] < 2 * DAY_MS)
    assert np.abs(value - value[before])[near].mean() < 0.4


def test_labels_are_late_missing_and_corrected() -> None:
    """None before its record; some never come; a wrong one is followed by the true one, of revision 1."""
    rng, n = dice(), 5_000
    times, y = np.arange(n) * 1_000, (rng.random(n) < 0.3).astype(float)
    late = delays(rng, np.where(y == 1, 10.0, 100.0), spread=0.5, most_s=150.0)
    labels = reveal(rng, times, y, late, missing=0.1, corrected=0.05, wrong=1 - y, after_s=np.full(n, 60.0))
    assert (np.diff(labels.time) >= 0).all()
    assert late.max() == 150.0
    assert (labels.time > times[labels.index]).all()
    assert abs(len(np.unique(labels.index)) / n - 0.9) < 0.02
    last = {int(i): float(v) for i, v in zip(labels.index, labels.value, strict=True)}
    assert all(y[i] == value for i, value in last.items())
    second = labels.index[labels.revision == 1]
    first = {int(i): float(v) for i, v, r in zip(labels.index, labels.value, labels.revision, strict=True) if r == 0}
    assert abs(len(second) / n - 0.045) < 0.01
    assert all(first[int(i)] == 1 - y[i] for i in second)


def test_ordered_chances_are_those_of_the_draws() -> None:
    """Each row sums to 1 and says how often an index with its error falls into each class."""
    cuts = np.array([0.0, 1.0])
    p = chances(np.array([0.9]), cuts, 0.5)
    drawn = levels(0.9 + dice().normal(0.0, 0.5, 200_000), cuts)
    np.testing.assert_allclose(p[0], np.bincount(drawn.astype(int)) / 200_000, atol=0.005)
    assert abs(p.sum() - 1.0) < 1e-6


def test_the_best_quality_of_classes_is_the_posteriors() -> None:
    """Accuracy by the likeliest class, AUC by ties as halves, log-loss and Brier by the probability itself."""
    truth = Truth(np.array([0.0, 1, 1, 0]), ("no", "yes"), np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.5, 0.5]]))
    best = best_quality("binary", ("accuracy", "auc", "brier", "log_loss", "coverage"), truth)
    assert {"accuracy": 0.75, "auc": 0.875} == {name: best[name] for name in ("accuracy", "auc")}
    assert abs(best["brier"] - (0.01 + 0.04 + 0.25 + 0.25) / 4) < 1e-12
    assert abs(best["log_loss"] + np.log([0.9, 0.8, 0.5, 0.5]).mean()) < 1e-12
    assert "coverage" not in best
    assert 1.0 == best_quality("binary", ("accuracy",), part(truth, slice(0, 2)))["accuracy"]


def test_the_best_quality_of_values_is_of_mean_and_median() -> None:
    """RMSE from the mean; MAE, RMSLE and the share within 15 % from the median."""
    truth = Truth(np.array([10.0, 20.0]), mean=np.array([11.0, 19.0]), median=np.array([10.0, 40.0]))
    best = best_quality("regression", ("rmse", "mae", "within_15"), truth)
    assert {"rmse": 1.0, "mae": 10.0, "within_15": 0.5} == best


def test_the_truth_is_in_files_of_its_own(tmp_path: Path) -> None:
    """Records have the record's columns alone; the truth has the posterior, and says what changed and when."""
    world, request = small_world()
    written, found = write_folder(world, request, tmp_path)
    assert [{"id": "a", "who": "x", "v": 1.5}, {"id": "b", "who": "x", "v": None}] == list(read_rows(written.records))[
        :2
    ]
    assert {"id": "b", "value": "yes", "p_no": 0.2, "p_yes": 0.8} == list(read_rows(written.truth))[1]
    labels = list(read_rows(written.labels))
    assert {"id": "b", "key": "x", "value": "yes", "time": 25, "revision": 1} == labels[2]
    assert ("missing_field", "v", 30, 30) == tuple(
        getattr(found.changes[0], n) for n in ("kind", "field", "start_ms", "end_ms")
    )
    assert (1, 1, 2) == (found.corrected, found.unlabelled, found.entities)
    assert found == facts(world, request)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_kind_of_file_says_the_same(tmp_path: Path, suffix: str) -> None:
    """Values of two groups keep apart, and what is null in Parquet is empty or left out elsewhere."""
    world, request = small_world()
    written, _ = write_beside(world, request, tmp_path / f"x{suffix}")
    assert f"x.features{suffix}" == written.features.name
    assert [None, "x.truth.json"] == [list(read_rows(written.records))[1].get("v"), written.facts.name]
    first = next(iter(read_rows(written.features)))
    value = first["values.q"] if suffix == ".csv" else first["values"]["q"]
    assert ("h", "warm") == (first["group"], value)


def test_the_same_request_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two writes of a world are equal, byte by byte."""
    world, request = small_world()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_folder(world, request, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_column_without_gaps_stays_as_it_is() -> None:
    """Only a column that loses values becomes one of objects."""
    whole = np.array([1.0, 2.0])
    assert without(whole, np.array([False, False])) is whole
    assert [1.0, None] == without(whole, np.array([False, True])).tolist()
