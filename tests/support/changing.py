"""A small stream with a change in the middle, as a pipeline's folder: what is to be learned, and its labels at night.

Labels of a day become known at its end, as a nightly job would tell them: all but the last ones a moment before the end
of the day, and the last one of each partition at the end itself. So whoever has come to that moment has all of them.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.core.partitioning import partition_of

DAY = 86_400_000
BEGIN = 1_700_006_400_000  # 2023-11-15, ms
PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the stream is, in days: `learned` before the first look, the change `change` after that, `played`."""

    learned: int = 8
    change: int = 2
    played: int = 9
    a_day: int = 500
    seed: int = 1

    @property
    def first(self) -> int:
        """The first look (ms)."""
        return BEGIN + self.learned * DAY


def tree(name: str, plan: Plan) -> dict[str, Any]:
    """What stands in the pipeline's file: a plain swap, an alarm with a follow-up, and a clock."""
    numbers = [f"x{j}" for j in range(3)]
    fields = {"id": {"type": "string"}, "key": {"type": "string"}, "at": {"type": "timestamp"}}
    return {
        "schema": 1, "name": name, "title": "A stream that changes", "task": "binary", "partitions": PARTITIONS,
        "record": {
            "id": "id", "key": "key", "event_time": "at", "fields": fields | {x: {"type": "number"} for x in numbers},
        },
        "features": [{"name": x} for x in numbers],
        "labels": {"horizon": "1d", "classes": ["no", "yes"], "positive": "yes"},
        "history": {
            "records": "records.csv", "labels": "labels.jsonl", "train_until": _day(plan.first), "holdout": 0.3,
        },
        "model": {
            "estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "runtimes": ["treelite"],
            "parameters": {"max_iter": 20, "early_stopping": False},
        },
        "monitoring": {"window": "1d"},
        "retraining": {
            "window": f"{plan.learned}d", "every": "3d", "alarm_period": "3d", "cooldown": "1d", "short": 0.5,
            "follow_ups": ["2d"], "gate": {"holdout": "2d"},
        },
    }  # fmt: skip


def write(folder: Path, name: str, plan: Plan) -> Path:
    """Make the pipeline's folder, with its history of all days: records in order, and labels as they become known.

    The classes are those of SEA (Street and Kim, 2001): x0 + x1 up to a limit, one in ten labels turned over.
    """
    home = folder / name
    home.mkdir()
    (home / "pipeline.yaml").write_text(json.dumps(tree(name, plan)))
    dice = np.random.default_rng(plan.seed)
    n = (plan.learned + plan.played) * plan.a_day
    x = dice.uniform(0, 10, (n, 3)).round(3)
    limit = np.where(np.arange(n) < (plan.learned + plan.change) * plan.a_day, 7.0, 11.0)
    y = (x[:, 0] + x[:, 1] <= limit) ^ (dice.random(n) < 0.1)
    times = BEGIN + np.arange(n) * (DAY // plan.a_day)
    keys = [f"k{number}" for number in dice.integers(0, 40, n)]
    with (home / "records.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "key", "at", "x0", "x1", "x2"])
        writer.writerows([f"r{i}", keys[i], int(times[i]), *x[i].tolist()] for i in range(n))
    known = _known(times.tolist(), keys)
    rows = ({"id": f"r{i}", "value": "yes" if y[i] else "no", "time": known[i]} for i in range(n))
    lines = sorted(rows, key=lambda row: row["time"])
    (home / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    return home


def _known(times: list[int], keys: list[str]) -> list[int]:
    last: dict[tuple[int, int], int] = {}
    for i, (time, key) in enumerate(zip(times, keys, strict=True)):
        last[time // DAY, partition_of(key.encode(), PARTITIONS)] = i
    ends = set(last.values())
    return [(time // DAY + 1) * DAY - (i not in ends) for i, time in enumerate(times)]


def _day(moment: int) -> str:
    return f"{np.datetime64(moment, 'ms').astype('datetime64[D]')}T00:00:00Z"
