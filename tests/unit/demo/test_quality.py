"""Predictions are judged beside a linear model, the goal and the truth, all on the same records."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.adapters.history import HistoryFiles
from shared.core.pipeline import IntervalSpec, MonitoringSpec, PipelineSpec
from tailrace.demo.part import Part
from tailrace.demo.quality import Said, measure
from tailrace.demo.summary import Quality
from tests.support.bundles import HOUR, START, write_history
from tests.support.spec import make_spec

N, BORDER = 900, 600
PLAYED = Part(START + BORDER * HOUR, START + (N - 1) * HOUR, N - BORDER, 0, 20_000)
GOALS = {"binary": {"accuracy": 0.8, "auc": 0.9}, "multiclass": {"accuracy": 0.8}, "regression": {"rmse": 1.5}}


def aiming(task: str, **changes: Any) -> PipelineSpec:
    """The parcels with the goals of a task."""
    spec = make_spec(task)
    return msgspec.structs.replace(spec, monitoring=MonitoringSpec(goal=GOALS[task]), **changes)


def history(folder: Path, task: str, truth: Mapping[str, list[float]] | None = None) -> HistoryFiles:
    """Records, features and labels on disk, and a truth by column, of the records from the border on."""
    files = write_history(folder, task, n=N)
    path = None
    if truth is not None:
        path = folder / "truth.parquet"
        pq.write_table(pa.table({"id": [f"p{i}" for i in range(BORDER, N)], **truth}), path)
    return HistoryFiles(files.records, files.features, files.labels, path)


def labels(files: HistoryFiles) -> list[Any]:
    """What came true of the records from the border on."""
    assert files.labels is not None
    return [msgspec.json.decode(line)["value"] for line in files.labels.read_text().splitlines()][BORDER:]


def ids(values: list[Said]) -> dict[str, Said]:
    """Answers by id."""
    return {one.id: one for one in values}


def measured(spec: PipelineSpec, files: HistoryFiles, said: list[Said]) -> Quality:
    """The figures; there are some."""
    found = measure(spec, files, PLAYED, ids(said), lambda _: None)
    assert found is not None
    return found


def test_nothing_is_claimed_without_labels_or_answers(tmp_path: Path) -> None:
    """A history without labels, no predictions, or predictions of other records: no figures."""
    files = history(tmp_path, "binary")
    said = [Said("p700", 0.5)]
    unlabelled = HistoryFiles(files.records, files.features)
    assert measure(aiming("binary"), unlabelled, PLAYED, ids(said), lambda _: None) is None
    assert measure(aiming("binary"), files, PLAYED, {}, lambda _: None) is None
    assert measure(aiming("binary"), files, PLAYED, ids([Said("p0", 0.5), Said("x", 0.5)]), lambda _: None) is None


@pytest.mark.parametrize("classes", [("on_time", "late"), ("late", "on_time")])
def test_a_binary_score_is_of_the_positive_class(tmp_path: Path, classes: tuple[str, str]) -> None:
    """Whichever class stands first; answers that are the truth are perfect, and so is a truth that is sure."""
    base = aiming("binary")
    spec = msgspec.structs.replace(base, labels=msgspec.structs.replace(base.labels, classes=classes))
    late = [float(value == "late") for value in labels(history(tmp_path, "binary"))]
    files = history(tmp_path, "binary", {"p_late": late, "p_on_time": [1 - p for p in late]})
    found = measured(spec, files, [Said(f"p{BORDER + i}", p) for i, p in enumerate(late)])
    assert found.labelled == N - BORDER
    assert list(found.figures) == ["accuracy", "auc"]
    for name, one in found.figures.items():
        assert (one.goal, one.ours, one.best) == (GOALS["binary"][name], 1.0, 1.0)
        assert one.linear is not None
        assert 0.6 < one.linear < 1.0


def test_classes_are_taken_by_name(tmp_path: Path) -> None:
    """Probabilities come by class name; the linear model is better than chance."""
    spec, values = aiming("multiclass"), labels(history(tmp_path, "multiclass"))
    said = [
        Said(f"p{BORDER + i}", 1.0, {"late": 0.0, "early": 0.0, "on_time": 0.0} | {v: 1.0})
        for i, v in enumerate(values)
    ]
    found = measured(spec, history(tmp_path, "multiclass"), said).figures["accuracy"]
    assert (found.ours, found.best, found.goal) == (1.0, None, 0.8)
    assert found.linear is not None
    assert 0.5 < found.linear < 1.0


def test_values_and_their_intervals(tmp_path: Path) -> None:
    """RMSE of ours by hand, of the truth by its mean, and how many truths the intervals hold."""
    spec = aiming("regression")
    spec = msgspec.structs.replace(spec, model=msgspec.structs.replace(spec.model, interval=IntervalSpec(coverage=0.8)))
    values = labels(history(tmp_path, "regression"))
    files = history(tmp_path, "regression", {"mean": [v + 0.5 for v in values], "median": values})
    off = [(-1) ** i * (1.0 if i % 4 < 2 else 3.0) for i in range(len(values))]
    said = [
        Said(f"p{BORDER + i}", v + e, None, (v + e - 2, v + e + 2))
        for i, (v, e) in enumerate(zip(values, off, strict=True))
    ]
    found = measured(spec, files, said)
    one = found.figures["rmse"]
    assert one.ours == pytest.approx(math.sqrt(5))
    assert one.best == pytest.approx(0.5)
    assert one.linear is not None
    assert 0.9 < one.linear < 1.6
    assert found.intervals is not None
    assert (found.intervals.asked, found.intervals.held) == (0.8, 0.5)
    assert found.intervals.mean_width == pytest.approx(4)


def test_all_four_are_judged_on_the_same_records(tmp_path: Path) -> None:
    """Only records that were scored, are labelled and whose truth is known count, for everybody."""
    values = labels(history(tmp_path, "regression"))
    files = history(tmp_path, "regression", {"mean": values, "median": values})
    said = [Said(f"p{BORDER + i}", 0.0) for i in range(100)] + [Said("p3", 0.0), Said("q1", 0.0)]
    found = measured(aiming("regression"), files, said)
    assert found.labelled == 100
    assert found.figures["rmse"].ours == pytest.approx(float(np.sqrt(np.mean(np.square(values[:100])))))


def test_without_goals_ours_alone_is_measured(tmp_path: Path) -> None:
    """What is usual for the task, and no linear model is fitted."""
    told: list[str] = []
    found = measure(
        make_spec(),
        history(tmp_path, "binary"),
        PLAYED,
        ids([Said(f"p{i}", i / N) for i in range(BORDER, N)]),
        told.append,
    )
    assert found is not None
    assert told == []
    assert {name: (one.linear, one.goal, one.best) for name, one in found.figures.items()} == {
        "auc": (None, None, None),
        "log_loss": (None, None, None),
    }
