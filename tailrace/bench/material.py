"""What the bench scores: a pipeline of 20 floats with a linear model, made in a folder, and records in a topic."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.retrainer.announce import announcing
from services.retrainer.dataset import Files
from services.retrainer.main import train
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.core.records import TRACEPARENT, BundleRef
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings

NAME, WIDTH, ENTITIES, PARTITIONS, SEED = "bench", 20, 1_000, 4, 7
FEATURES = tuple(f"feature_{i:02}" for i in range(WIDTH))
START = 1_700_000_000_000
HISTORY = 4_000


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the pipeline: its guarantee, and the share of records that leave an observation."""

    guarantee: str
    sample: float

    @property
    def name(self) -> str:
        """The name of its row."""
        return f"{self.guarantee}, {'observations' if self.sample else 'no observations'}"


VARIANTS = tuple(Variant(guarantee, sample) for guarantee in ("exactly_once", "at_least_once") for sample in (0.0, 1.0))


def write_pipeline(home: Path, variant: Variant, batch: int) -> Pipeline:
    """A folder with the pipeline's file; all variants are the same pipeline by name, and so share topics and model.

    Args:
        home: where to make it.
        variant: what differs.
        batch: the most records of a batch.
    """
    folder = home / f"{variant.guarantee}-{variant.sample:g}"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(json.dumps(_tree(variant, batch)), encoding="utf-8")
    return load_pipeline(str(folder))


def make_model(pipeline: Pipeline, settings: Settings, home: Path, state: Path) -> BundleRef:
    """Train the linear model on made-up history, and bring it into force as epoch 1."""
    rng = np.random.default_rng(SEED)
    records, labels = home / "records.csv", home / "labels.jsonl"
    with records.open("w", newline="", encoding="utf-8") as file, labels.open("w", encoding="utf-8") as said:
        writer = csv.DictWriter(file, ["id", "key", "ts", *FEATURES])
        writer.writeheader()
        for row in rows(HISTORY, rng):
            writer.writerow(row)
            value = "yes" if row["feature_00"] + row["feature_01"] + rng.normal() > 0 else "no"
            said.write(json.dumps({"id": row["id"], "value": value, "time": row["ts"] + 1_000}) + "\n")
    files = Files(records, None, labels)
    ref = train(pipeline, settings, lambda _: None, files=files, out=home / "bundle", state=state).ref
    with announcing(pipeline.spec, settings, SystemClock()) as announce:
        announce(ref)
    return ref


def preload(publisher: KafkaPublisher, topic: str, n: int) -> int:
    """Write n records with trace headers.

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
        publisher.send(topic, row["key"].encode(), value, [(TRACEPARENT, trace)], None)
    publisher.flush(60.0)
    return round(size / n)


def rows(n: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Records of 20 floats, 10 s apart in event time, of 1,000 entities in turn."""
    for i in range(n):
        values = np.round(rng.normal(size=WIDTH), 6).tolist()
        fixed = {"id": f"r{i}", "key": f"e{i % ENTITIES}", "ts": START + i * 10_000}
        yield {**fixed, **dict(zip(FEATURES, values, strict=True))}


def _tree(variant: Variant, batch: int) -> dict[str, Any]:
    numbers = {name: {"type": "number"} for name in FEATURES}
    fixed = {"id": {"type": "string"}, "key": {"type": "string"}, "ts": {"type": "timestamp"}}
    return {
        "schema": 1,
        "name": NAME,
        "task": "binary",
        "record": {"id": "id", "key": "key", "event_time": "ts", "fields": {**fixed, **numbers}},
        "features": [{"name": name} for name in FEATURES],
        "labels": {"horizon": "6h", "classes": ["no", "yes"], "positive": "yes"},
        "model": {"estimator": "sklearn.linear_model.LogisticRegression", "runtimes": ["onnx"], "tolerance": 1e-4},
        "delivery": {"guarantee": variant.guarantee, "max_batch": batch},
        "monitoring": {"sample": variant.sample},
        "partitions": PARTITIONS,
    }
