"""A pipeline without labels: refused for what learns from them, and how unusual a record is for what does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.retrainer.dataset import Files
from services.retrainer.main import TrainReport, train
from services.retrainer.unlabelled import ESTIMATOR
from services.scorer.models import ModelStore
from shared.core.bundle import GOLDEN, REFERENCE, Golden
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.reference import Reference
from shared.core.scoring import Version, answers
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings
from shared.testing.metrics import RecordingMetrics
from tailrace.cli.train import summary
from tests.support.bundles import HasSpec, write_history
from tests.support.spec import make_spec

FOREST = {"estimator": ESTIMATOR, "parameters": {"n_estimators": 20}}


def spec_with(**model: Any) -> PipelineSpec:
    """The parcels, of which nothing comes true."""
    return make_spec("regression", model={**FOREST, **model})


def unlabelled(folder: Path) -> Files:
    """The history without its labels."""
    return replace(write_history(folder, "regression"), labels=None)


def trained(folder: Path, spec: PipelineSpec) -> TrainReport:
    """A bundle in the folder."""
    (folder / "history").mkdir()
    files = unlabelled(folder / "history")
    return train(HasSpec(spec), Settings(), lambda _: None, files=files, out=folder / "bundle", state=folder / "state")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (make_spec(), "history.labels: there are none, and training needs labels for HistGradientBoostingClassifier"),
        (
            make_spec("regression"),
            "training needs labels for HistGradientBoostingRegressor; declare history.labels, or",
        ),
        (spec_with(target="log1p"), "model.target: needs labels, and there are none"),
        (spec_with(interval={"coverage": 0.9}), "model.interval: needs labels, and there are none"),
        (make_spec("regression", model=FOREST, monitoring={"goal": {"rmse": 1.0}}), "monitoring.goal: needs labels"),
    ],
)
def test_what_needs_labels_is_named(tmp_path: Path, spec: PipelineSpec, words: str) -> None:
    """An estimator, or a key, that learns from what came true: one line with the key and what to write instead."""
    with pytest.raises(UserError) as error:
        trained(tmp_path, spec)
    assert words in str(error.value)


def test_a_search_without_labels_is_refused(tmp_path: Path) -> None:
    """Nothing could say which combination is better."""
    spec = spec_with(search={"n_estimators": [10, 20]})
    with pytest.raises(UserError, match=r"model\.search: needs labels"):
        train(
            HasSpec(spec), Settings(), lambda _: None, files=unlabelled(tmp_path), out=tmp_path / "bundle",
            state=tmp_path / "state", watch=lambda _: None,
        )  # fmt: skip


@pytest.mark.parametrize("runtimes", [["onnx", "treelite", "sklearn"], ["sklearn"]])
def test_how_unusual_a_record_is(tmp_path: Path, runtimes: list[str]) -> None:
    """By either runtime: 0 to 1, high for what is far from all others; all else as in a regression."""
    spec = spec_with(runtimes=runtimes, impute="none" if len(runtimes) > 1 else "median")
    report = trained(tmp_path, spec)
    assert (report.metrics, report.records, report.left_out) == ({}, 600, {})
    assert report.runtime == ("treelite" if len(runtimes) > 1 else "sklearn")
    assert "IsolationForest" in summary(report)
    store = ModelStore(spec, Settings(), RecordingMetrics(), SystemClock(), state=tmp_path / "state")
    loaded = store.get(report.ref)
    golden = msgspec.json.decode((tmp_path / "bundle" / GOLDEN).read_bytes(), type=Golden)
    reference = msgspec.json.decode((tmp_path / "bundle" / REFERENCE).read_bytes(), type=Reference)
    assert reference.base_rate == ()
    assert len(golden.records) > 10
    usual = [5.0, 4.0, 1.0, 15.0]
    odd = [500.0, 90.0, 3.0, -300.0]
    raw = loaded.runtime.predict(np.array([usual, odd], dtype=np.float32))
    got = answers(spec, Version(1, "1", "d", (), 0.5, loaded.manifest.post), raw)
    assert 0 < got.scores[0] < 0.55
    assert 0.6 < got.scores[1] < 1
    assert got.labels == got.scores


def test_labels_that_are_there_are_still_used(tmp_path: Path) -> None:
    """With labels the same estimator is judged by them."""
    files = write_history(tmp_path, "regression")
    report = train(
        HasSpec(spec_with()), Settings(), lambda _: None, files=files, out=tmp_path / "bundle", state=tmp_path / "state"
    )
    assert report.metrics["rmse"] > 0
