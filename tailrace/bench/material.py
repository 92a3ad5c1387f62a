"""What the bench scores: pipelines of 20 floats with a small and a large model, made in a folder, records in topics."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.retrainer.announce import announcing
from services.retrainer.dataset import Files
from services.retrainer.main import train
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.core.records import TRACEPARENT, BundleRef, FeatureUpdate
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings

NAME, WIDTH, ENTITIES, PARTITIONS, SEED = "bench", 20, 1_000, 4, 7
FEATURES = tuple(f"feature_{i:02}" for i in range(WIDTH))
GROUP, FIELDS, VERSIONS = "profile", tuple(f"profile_{i}" for i in range(4)), 8
START, STEP = 1_700_000_000_000, 10_000
HISTORY = 4_000
TREES, DEPTH = 100, 8
_MODELS: dict[bool, dict[str, Any]] = {
    False: {"estimator": "sklearn.linear_model.LogisticRegression", "tolerance": 1e-4},
    True: {
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "parameters": {"n_estimators": TREES, "max_depth": DEPTH, "random_state": SEED},
        "tolerance": 1.0,  # for missing values ONNX goes other ways in a forest; no record here has any
    },
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What is scored: a forest of `TREES` x `DEPTH` or a linear model, look-ups or none. `name`: of its pipeline."""

    title: str
    name: str
    forest: bool = False
    lookups: bool = False
    partitions: int = PARTITIONS


LINEAR = Kind("linear", NAME)
FOREST = Kind(f"forest {TREES} x {DEPTH}", f"{NAME}_forest", forest=True)
LOOKED_UP = Kind("linear, look-ups", f"{NAME}_lookups", lookups=True)
FOREST_LOOKED_UP = Kind("forest, look-ups", f"{NAME}_forest_lookups", forest=True, lookups=True)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a pipeline: its guarantee, and the share of records that leave an observation."""

    guarantee: str
    sample: float

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"{self.guarantee}, {'observations' if self.sample else 'no observations'}"


VARIANTS = tuple(Variant(guarantee, sample) for guarantee in ("exactly_once", "at_least_once") for sample in (0.0, 1.0))


def write_pipeline(home: Path, variant: Variant, batch: int, kind: Kind = LINEAR) -> Pipeline:
    """A folder with the pipeline's file; all variants are the same pipeline by name, and so share topics and model.

    Args:
        home: where to make it.
        variant: what differs.
        batch: the most records of a batch.
        kind: what is scored.
    """
    folder = home / f"{kind.name}-{variant.guarantee}-{variant.sample:g}"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(json.dumps(_tree(kind, variant, batch)), encoding="utf-8")
    return load_pipeline(str(folder))


def make_model(pipeline: Pipeline, settings: Settings, home: Path, state: Path) -> BundleRef:
    """Train the pipeline's model on made-up history, and bring it into force as epoch 1. Its bundle: `home/bundle`."""
    rng = np.random.default_rng(SEED)
    records, labels, features = home / "records.csv", home / "labels.jsonl", home / "features.jsonl"
    with records.open("w", newline="", encoding="utf-8") as file, labels.open("w", encoding="utf-8") as said:
        writer = csv.DictWriter(file, ["id", "key", "ts", *FEATURES])
        writer.writeheader()
        for row in rows(HISTORY, rng):
            writer.writerow(row)
            value = "yes" if row["feature_00"] + row["feature_01"] + rng.normal() > 0 else "no"
            said.write(json.dumps({"id": row["id"], "value": value, "time": row["ts"] + 1_000}) + "\n")
    with features.open("wb") as file_of_features:
        file_of_features.writelines(msgspec.json.encode(update) + b"\n" for update in updates(HISTORY))
    files = Files(records, features if pipeline.spec.lookups else None, labels)
    ref = train(pipeline, settings, lambda _: None, files=files, out=home / "bundle", state=state).ref
    with announcing(pipeline.spec, settings, SystemClock()) as announce:
        announce(ref)
    return ref


def preload(publisher: KafkaPublisher, topic: str, n: int, *more: str) -> int:
    """Write n records with trace headers, to one topic or to several.

    Returns:
        Bytes of the values a record, rounded.

    Raises:
        Unavailable: the broker does not take them.
    """
    size = 0
    for i, row in enumerate(rows(n, np.random.default_rng(SEED + 1))):
        value = json.dumps(row, separators=(",", ":")).encode()
        size += len(value)
        trace = f"00-{i + 1:032x}-{i + 1:016x}-00".encode()
        for name in (topic, *more):
            publisher.send(name, row["key"].encode(), value, [(TRACEPARENT, trace)], None)
    publisher.flush(60.0)
    return round(size / n)


def rows(n: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Records of 20 floats, 10 s apart in event time, of 1,000 entities in turn."""
    for i in range(n):
        values = np.round(rng.normal(size=WIDTH), 6).tolist()
        fixed = {"id": f"r{i}", "key": f"e{i % ENTITIES}", "ts": START + i * STEP}
        yield {**fixed, **dict(zip(FEATURES, values, strict=True))}


def updates(n: int) -> Sequence[FeatureUpdate]:
    """`VERSIONS` versions of each entity, evenly over the event time of n records; the first is before all of them."""
    rng = np.random.default_rng(SEED + 2)
    return [
        FeatureUpdate(GROUP, f"e{i}", START - 1_000 + j * n * STEP // VERSIONS, _values(rng))
        for j in range(VERSIONS)
        for i in range(ENTITIES)
    ]


def _values(rng: np.random.Generator) -> dict[str, Any]:
    return dict(zip(FIELDS, np.round(rng.normal(size=len(FIELDS)), 6).tolist(), strict=True))


def _tree(kind: Kind, variant: Variant, batch: int) -> dict[str, Any]:
    numbers = {name: {"type": "number"} for name in FEATURES}
    fixed = {"id": {"type": "string"}, "key": {"type": "string"}, "ts": {"type": "timestamp"}}
    looked_up = (
        [{"name": name, "lookup": GROUP, "missing": "default", "default": 0.0} for name in FIELDS]
        if kind.lookups
        else []
    )
    group = {"key": "key", "fields": dict.fromkeys(FIELDS, "number"), "max_age": "3650d", "keep": "3650d"}
    return {
        "schema": 1,
        "name": kind.name,
        "task": "binary",
        "record": {"id": "id", "key": "key", "event_time": "ts", "fields": {**fixed, **numbers}},
        "features": [*({"name": name} for name in FEATURES), *looked_up],
        "lookups": {GROUP: group} if kind.lookups else {},
        "labels": {"horizon": "6h", "classes": ["no", "yes"], "positive": "yes"},
        "model": {**_MODELS[kind.forest], "runtimes": ["onnx"]},
        "delivery": {"guarantee": variant.guarantee, "max_batch": batch},
        "monitoring": {"sample": variant.sample},
        "partitions": kind.partitions,
    }
