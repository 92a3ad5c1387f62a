"""`tailrace bench tasks`: what seven classes and an interval cost a scorer beside the model that answers them."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.retrainer.announce import announcing
from services.retrainer.dataset import Files
from services.retrainer.main import train
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.core.bundle import MANIFEST, Manifest
from shared.core.topics import topic
from shared.runtime.clock import SystemClock
from shared.runtime.runtimes import load_runtime
from tailrace.bench.material import FEATURES, HISTORY, SEED, WIDTH, preload, rows
from tailrace.bench.runner import Row, Runner
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.services import Order, scorers
from tailrace.stack.stack import Stack, to_stderr
from tailrace.stack.topics import ensure_topics

CLASSES = tuple(f"level_{i}" for i in range(7))
MODEL_S = 2.0  # processor seconds for which a model is measured by itself
LARGEST = 10_000
_FOREST = {"n_estimators": 200, "max_depth": 15, "n_jobs": 2}
_BOOSTING = "sklearn.ensemble.HistGradientBoostingRegressor"


@dataclass(frozen=True, slots=True)
class Case:
    """One pipeline of the bench: what differs from the others."""

    name: str
    task: str
    estimator: str
    labels: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)


_TWO = {"classes": ["no", "yes"], "positive": "yes"}
CASES = (
    Case("two classes, linear", "binary", "sklearn.linear_model.LogisticRegression", _TWO),
    Case(
        "seven classes, forest 200 x 15", "multiclass", "sklearn.ensemble.RandomForestClassifier",
        {"classes": list(CLASSES)}, {"parameters": _FOREST},
    ),
    Case("value, boosting", "regression", _BOOSTING, {}),
    Case("value with interval, boosting", "regression", _BOOSTING, {}, {"interval": {"coverage": 0.9, "bins": 10}}),
)  # fmt: skip


class Cost(msgspec.Struct, frozen=True):
    """CPU microseconds a record: of the scorer, of its model alone, and what the task adds beside its model.

    `task_us` is the scorer without its model, less the same of the first case; `ratio` is that by the model's own.
    """

    scorer_us: float
    model_us: float
    task_us: float
    ratio: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. `ratios`: by case, what the task adds by what its model costs (at most 1 is wanted)."""

    ok: bool
    rows: list[Row]
    costs: dict[str, Cost]
    ratios: dict[str, float]
    records: int
    note: str = "broker and worker shared the cores; differences below about 1 us are noise"


def measure(folder: Path, records: int, cases: Sequence[Case] = CASES) -> Result:
    """Run every case on an embedded Kafka in this folder, and stop it. The first one is what the others stand beside.

    Raises:
        UserError: something could not be started; nothing is left running.
    """
    with Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        runner = Runner(stack)
        seen = [_run(runner, folder, number, case, records) for number, case in enumerate(cases)]
    first_row, first_model = seen[0]
    beside = first_row.cpu_us_per_record - first_model
    costs = {row.name: _cost(row.cpu_us_per_record, model, beside) for row, model in seen}
    ratios = {name: cost.ratio for name, cost in costs.items()}
    return Result(
        ok=all(ratio <= 1 for ratio in ratios.values()),
        rows=[row for row, _ in seen],
        costs=costs,
        ratios=ratios,
        records=records,
    )


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [f"{'CPU us/record':<34}{'scorer':>9}{'model':>9}{'task':>9}{'task by model':>16}"]
    for name, cost in result.costs.items():
        figures = f"{cost.scorer_us:>9.2f}{cost.model_us:>9.2f}{cost.task_us:>9.2f}{cost.ratio:>16.2f}"
        lines.append(f"{name:<34}{figures}")
    return "\n".join([*lines, f"{result.records:,} records a case; {result.note}"])


def _cost(scorer: float, model: float, base: float) -> Cost:
    task = scorer - model - base
    return Cost(round(scorer, 2), round(model, 2), round(task, 2), round(max(task, 0.0) / model, 3))


def _run(runner: Runner, home: Path, number: int, case: Case, records: int) -> tuple[Row, float]:
    folder = home / f"case{number}"
    folder.mkdir()
    batch = min(LARGEST, max(records // 10, 100))
    (folder / "pipeline.yaml").write_text(json.dumps(_tree(number, case, batch)), encoding="utf-8")
    pipeline = load_pipeline(str(folder))
    name = pipeline.spec.name
    ensure_topics(KafkaAdmin(runner.conf), pipeline.spec)
    _teach(runner, pipeline, folder, case)
    preload(KafkaPublisher(runner.conf), topic(name, "records"), records)
    (program,) = scorers(Order(folder, runner.stack.endpoints, runner.stack.state.path, 1, runner.stack.port))
    row = runner.row(case.name, program, f"tailrace.{name}.scorer", topic(name, "records"), records)
    return row, _model_us(folder / "bundle", batch)


def _teach(runner: Runner, pipeline: Pipeline, folder: Path, case: Case) -> None:
    rng = np.random.default_rng(SEED)
    to_stderr(f"training: {case.name}")
    with (folder / "records.jsonl").open("wb") as records, (folder / "labels.jsonl").open("wb") as labels:
        for row in rows(HISTORY, rng):
            records.write(msgspec.json.encode(row) + b"\n")
            hidden = row["feature_00"] + row["feature_01"] * row["feature_02"] + 0.3 * rng.normal()
            label = {"id": row["id"], "value": _value(case, hidden), "time": row["ts"] + 1_000}
            labels.write(msgspec.json.encode(label) + b"\n")
    files = Files(folder / "records.jsonl", None, folder / "labels.jsonl")
    settings, state = runner.settings, runner.stack.state.path
    ref = train(pipeline, settings, lambda _: None, files=files, out=folder / "bundle", state=state).ref
    with announcing(pipeline.spec, settings, SystemClock()) as announce:
        announce(ref)


def _value(case: Case, hidden: float) -> str | float:
    if case.task == "binary":
        return "yes" if hidden > 0 else "no"
    if case.task == "multiclass":
        return CLASSES[int(np.clip(hidden * 1.5 + 3.5, 0, 6))]
    return round(hidden, 6)


def _model_us(bundle: Path, batch: int) -> float:
    """Processor microseconds a record of a bundle's model by itself, at the scorer's batch size."""
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes(), type=Manifest)
    runtime = load_runtime(manifest.runtime, bundle)
    matrix = np.random.default_rng(SEED + 1).normal(size=(batch, WIDTH)).astype(np.float32)
    runtime.predict(matrix)
    begin, turns = time.process_time(), 0
    while time.process_time() - begin < MODEL_S:
        runtime.predict(matrix)
        turns += 1
    return (time.process_time() - begin) / (turns * batch) * 1e6


def _tree(number: int, case: Case, batch: int) -> dict[str, Any]:
    numbers = {name: {"type": "number"} for name in FEATURES}
    fixed = {"id": {"type": "string"}, "key": {"type": "string"}, "ts": {"type": "timestamp"}}
    return {
        "name": f"bench_{number}",
        "task": case.task,
        "record": {"id": "id", "key": "key", "event_time": "ts", "fields": {**fixed, **numbers}},
        "features": [{"name": name} for name in FEATURES],
        "labels": {"horizon": "1m", **case.labels},
        "model": {"estimator": case.estimator, **case.model},
        "delivery": {"max_batch": batch},
        "monitoring": {"sample": 0.0},
        "partitions": 4,
    }
