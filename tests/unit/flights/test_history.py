"""The history of flights: ids, times across summer time, and nothing that was not known at departure."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pandas as pd
import pytest

from shared.adapters.history import HistoryFiles, history_files
from shared.adapters.pipeline_yaml import load_pipeline
from shared.adapters.tables import read_rows
from shared.core.asof import HistoryLookups
from shared.core.history import to_label, to_update
from shared.core.records import FeatureUpdate

NEW_YORK = ZoneInfo("America/New_York")
FLIGHTS = Path(__file__).parents[3] / "pipelines" / "flights"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> HistoryFiles:
    """The files that the hook writes."""
    return history_files(load_pipeline(FLIGHTS), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def records(files: HistoryFiles) -> pd.DataFrame:
    """All records."""
    return pd.read_parquet(files.records)


@pytest.fixture(scope="module")
def labels(files: HistoryFiles) -> pd.DataFrame:
    """All labels."""
    assert files.labels is not None
    return pd.read_parquet(files.labels)


def test_ids_are_unique(records: pd.DataFrame) -> None:
    """All 336,776 flights are records, each with an id of its own, in order of event time."""
    assert len(records) == records["id"].nunique() == 336_776
    assert records["departs_at"].is_monotonic_increasing


def test_an_unknown_tail_number_is_the_route(records: pd.DataFrame) -> None:
    """The key is never null: the 2,512 flights without a tail number are keyed by origin and destination."""
    routes = records[records["aircraft"] == records["origin"] + "-" + records["dest"]]
    assert len(routes) == 2_512
    assert records["aircraft"].notna().all()


@pytest.mark.parametrize(
    ("day", "offset"), [("2013-03-09", -5), ("2013-03-10", -4), ("2013-11-02", -4), ("2013-11-03", -5)]
)
def test_times_are_right_across_summer_time(records: pd.DataFrame, day: str, offset: int) -> None:
    """The wall clock of New York at the event time is the schedule's, on both sides of both changes of the clock."""
    near = records[
        (records["departs_at"] - datetime.fromisoformat(day + "T12:00Z").timestamp() * 1000).abs() < 86_400_000
    ]
    local = [datetime.fromtimestamp(ms / 1000, UTC).astimezone(NEW_YORK) for ms in near["departs_at"]]
    chosen = [(t, m, h) for t, m, h in zip(local, near["dep_min"], near["hour"], strict=True) if f"{t:%F}" == day]
    assert len(chosen) > 500
    assert {t.utcoffset() for t, _, _ in chosen} == {timedelta(hours=offset)}
    assert all((t.hour * 60 + t.minute, t.hour) == (m, h) for t, m, h in chosen)


def test_every_id_says_its_local_departure(records: pd.DataFrame) -> None:
    """The time in the id is the schedule's wall clock, all year."""
    local = pd.to_datetime(records["departs_at"], unit="ms", utc=True).dt.tz_convert("America/New_York")
    expected = records["aircraft"] + "-" + local.dt.strftime("%Y-%m-%dT%H:%M")
    assert all(i.startswith(e) for i, e in zip(records["id"], expected, strict=True))


def test_nothing_is_known_only_after_departure(records: pd.DataFrame) -> None:
    """Records have the declared fields and no other, and none says what became of the flight."""
    assert list(records.columns) == list(load_pipeline(FLIGHTS).spec.record.fields)
    after = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert not after & set(records.columns)


def updates_of(files: HistoryFiles) -> list[FeatureUpdate]:
    """All updates of the weather."""
    fields = load_pipeline(FLIGHTS).spec.lookups["weather"].fields
    return [to_update(row, fields) for row in read_rows(files.features or Path())]


def test_weather_is_stamped_with_its_own_hour(files: HistoryFiles) -> None:
    """Each update is of one airport and UTC hour, without null values, as the source files it."""
    updates = updates_of(files)
    assert len(updates) == len({(u.entity, u.time) for u in updates}) == 26_115
    assert all(u.time % 3_600_000 == 0 for u in updates)
    first = next(msgspec.to_builtins(u) for u in updates if u.entity == "EWR")
    # 1 January, 01:00 in New York; no gust was measured.
    assert first["time"] == 1_357_020_000_000
    assert first["values"]["temp"] == 39.02
    assert "wind_gust" not in first["values"]


def test_weather_is_never_newer_than_its_flight(files: HistoryFiles, records: pd.DataFrame) -> None:
    """As of each flight, the weather found is stamped with the flight's hour or an earlier one; 99 % within 2 h."""
    found = HistoryLookups(updates_of(files), load_pipeline(FLIGHTS).spec.lookups).get_many(
        {"weather": records["origin"].tolist()}, records["departs_at"].tolist()
    )
    ages = [age for age in found.ages["weather"] if age is not None]
    assert min(ages) >= 0
    assert sum(age <= 7_200 for age in ages) / len(records) > 0.99


def test_labels_come_at_landing(records: pd.DataFrame, labels: pd.DataFrame) -> None:
    """Only the 327,346 flights with a known delay have one, keyed as the record, later than it, all but one in 24 h."""
    joined = labels.merge(records, on="id", validate="one_to_one")
    hours = (joined["time"] - joined["departs_at"]) / 3_600_000
    assert len(joined) == 327_346
    assert (joined["key"] == joined["aircraft"]).all()
    assert hours.min() > 0
    assert (hours > 24).sum() == 1
    assert labels["time"].is_monotonic_increasing


def test_labels_are_of_the_declared_classes(files: HistoryFiles) -> None:
    """A label is `late` or `on_time`, as pipeline.yaml says; 23.7 % are late."""
    values = [to_label(row, numeric=False).value for row in read_rows(files.labels or Path())]
    assert set(values) == set(load_pipeline(FLIGHTS).spec.labels.classes)
    assert round(values.count("late") / len(values), 3) == 0.237
