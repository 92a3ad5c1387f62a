"""How much memory a million open predictions take: a process of its own folds them, and says what it needed.

`python -m tailrace.bench.observer_memory OPEN WIDTH FOLDER` prints the peak in MB and the ids that are remembered.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from services.monitor.observer.describe import Profile
from services.monitor.observer.fold import PartitionFold
from services.monitor.observer.rules import rules_of
from shared.adapters.rocks import RocksStore
from shared.core.bundle import Column
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.reference import FeatureProfile, Reference
from tailrace.bench.material import SEED, START
from tailrace.bench.process import peak_mb

BATCH, POOL, BINS = 5_000, 50, 10


def pipeline_of(width: int) -> PipelineSpec:
    """A pipeline of so many numbers; nothing of it ends within an hour."""
    fixed = {"id": {"type": "string"}, "key": {"type": "string"}, "ts": {"type": "timestamp"}}
    tree = {
        "schema": 1, "name": "memory", "task": "binary",
        "record": {"id": "id", "key": "key", "event_time": "ts",
                   "fields": {**fixed, **{f"f{i}": {"type": "number"} for i in range(width)}}},
        "features": [{"name": f"f{i}"} for i in range(width)],
        "labels": {"horizon": "6h", "classes": ["no", "yes"], "positive": "yes"},
        "model": {"estimator": "sklearn.linear_model.LogisticRegression"},
        "monitoring": {"sample": 1.0, "window": "1h", "hold": "1h"},
    }  # fmt: skip
    return decode(tree, "memory")


def profile_of(width: int) -> Profile:
    """A reference of ten bins a feature."""
    one = FeatureProfile(tuple(i / BINS for i in range(1, BINS)), counts=(1,) * BINS)
    names = [f"f{i}" for i in range(width)]
    reference = Reference(BINS, dict.fromkeys(names, one), one, (0.5, 0.5))
    return Profile(tuple(Column(name, "numeric") for name in names), reference)


def fold(open_: int, width: int, folder: Path) -> int:
    """Fold so many predictions that wait for their labels; how many ids are remembered."""
    spec, profile, dice = pipeline_of(width), profile_of(width), np.random.default_rng(SEED)
    one = PartitionFold(0, rules_of(spec, lambda _: profile), RocksStore(folder))
    one.begin(0, -1)
    pool = [
        ",".join(f'"f{i}":{dice.random():.6f}' for i in range(width)) for _ in range(POOL)
    ]  # their values need not differ: what is kept of each is its own copy
    for begin in range(0, open_, BATCH):
        part = range(begin, min(begin + BATCH, open_))
        one.take([_observation(i, pool[i % POOL]) for i in part], part)
        one.settle()
    remembered = one.remembered
    one.close()
    return remembered


def _observation(i: int, numbers: str) -> bytes:
    said: Any = f'"id":"record-{i}","key":"e{i % 1_000}"'
    return (
        f'{{"type":"observation","v":1,"prediction":{{"v":1,{said},"at":[0,{i}],"event_time":{START + i},"score":0.25,'
        f'"label":"no","version":"1","digest":"{0:064}","epoch":1}},"record":{{{said},"ts":{START + i},{numbers}}},'
        f'"lookups":{{}},"digest":"{0:064}","logged":{START + i}}}'
    ).encode()


if __name__ == "__main__":
    kept = fold(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
    print(peak_mb(os.getpid()), kept)  # noqa: T201 - its result, for the process that started it
