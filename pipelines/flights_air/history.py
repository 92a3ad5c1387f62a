"""Writes the history of `flights_air`: the records and weather of `flights`, and how long each flight was in the air.

Run by `tailrace train`, `tailrace replay` and `tailrace backtest` through `history.hook` in pipeline.yaml.
"""

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

FLIGHTS = Path(__file__).resolve().parents[1] / "flights" / "history.py"


def write(folder: Path, seed: int) -> None:
    """Write `records.parquet`, `features.parquet` and `labels.parquet`, each sorted by its time (ms since 1970 UTC).

    Args:
        folder: where to write; it exists.
        seed: not used, nothing here is random.
    """
    del seed
    source: dict[str, Any] = runpy.run_path(str(FLIGHTS))
    flights = source["_flights"]()
    source["_save"](folder / "records.parquet", flights[source["RECORD"]].sort_values(["departs_at", "id"]))
    source["_save"](folder / "labels.parquet", _labels(source, flights).sort_values(["time", "id"]))
    pq.write_table(source["_features"](source["_read"]("weather.csv")), folder / "features.parquet", compression="zstd")


def _labels(source: dict[str, Any], flights: pd.DataFrame) -> pd.DataFrame:
    """What is known at landing; a flight that never landed where it was to has no label."""
    known: pd.DataFrame = source["_labels"](flights)
    return known.assign(value=flights.loc[known.index, "air_time"].astype("float64"))
