"""Each task from history to answers: transforms, calibration and intervals arrive in the bundle and act on it."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.retrainer.baseline import fit_linear, predict_linear
from services.retrainer.dataset import Dataset, load_dataset
from services.retrainer.gate import DataRefused
from services.retrainer.learn import learn
from services.retrainer.tables import table
from services.scorer.versions import Versions
from shared.core.answering import Curve, Post
from shared.core.bundle import GOLDEN, REFERENCE, Golden
from shared.core.codec import RecordCodec
from shared.core.errors import ModelRefused
from shared.core.pipeline import PipelineSpec
from shared.core.records import Rollout
from shared.core.reference import Reference
from shared.core.scoring import Version, answers
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from tests.support.bundles import Kit, make_kit, write_history
from tests.support.spec import make_spec, make_tree


def spec_with(task: str, goal: dict[str, float] | None = None, **model: Any) -> PipelineSpec:
    """The parcels with some keys of the model changed."""
    fast = {"runtimes": ["treelite"]}
    return make_spec(task, model={**make_tree(task)["model"], **fast, **model}, monitoring={"goal": goal or {}})


def test_a_bundle_that_would_answer_nonsense_is_refused(kit: Kit) -> None:
    """A falling curve, rightly signed, is refused by the check `post` before the model is looked at."""
    wrong = Post(calibration=(Curve(x=(0.1, 0.9), y=(0.9, 0.1)),))
    ref = kit.seal(msgspec.structs.replace(kit.manifest(), post=wrong))
    with pytest.raises(ModelRefused, match="post: a curve that does not rise"):
        kit.store().get(ref)


def test_too_few_records_for_an_interval_end_the_training(tmp_path: Path) -> None:
    """Of 60 records ten are left to learn an interval from: a refusal in words, before anything is written."""
    spec = spec_with("regression", interval={"coverage": 0.9})
    codec = RecordCodec(spec)
    files = write_history(tmp_path, "regression", n=60)
    data = load_dataset(spec, codec, files, until=None, progress=lambda _: None)
    with pytest.raises(DataRefused, match=r"an interval of coverage 0\.9 needs 19 records"):
        learn(spec, codec, data, lambda _: None)


@pytest.mark.parametrize(("calibration", "words"), [("none", "before the holdout"), ("sigmoid", "for calibration")])
def test_a_class_that_only_came_late_ends_the_training(tmp_path: Path, calibration: str, words: str) -> None:
    """A class that the records to fit lack would be a missing column: it is named instead."""
    spec = spec_with("multiclass", calibration=calibration)
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, write_history(tmp_path, "multiclass"), until=None, progress=lambda _: None)
    late = 460 if calibration == "none" else 340
    data.y[:late][data.y[:late] == 0] = 1
    with pytest.raises(DataRefused, match=f"{words} there are .* none of class early"):
        learn(spec, codec, data, lambda _: None)


def test_a_log_target_with_an_interval(tmp_path: Path) -> None:
    """Figures are in the target's own unit, golden scores the model's own output, answers have an interval."""
    spec = spec_with("regression", target="log1p", interval={"coverage": 0.8, "bins": 3}, metric="rmsle")
    kit = make_kit_of_prices(tmp_path, spec)
    loaded = kit.store().get(kit.ref)
    post, metrics = loaded.manifest.post, loaded.manifest.metrics
    assert post.target == "log1p"
    assert post.interval is not None
    assert post.interval.coverage == 0.8
    assert metrics["coverage"] == pytest.approx(0.8, abs=0.12)
    assert metrics["rmse"] > 100
    assert metrics["rmsle"] < metrics["baseline_rmsle"]
    golden = msgspec.json.decode((kit.folder / GOLDEN).read_bytes(), type=Golden)
    raw = np.array(golden.scores)
    assert raw.max() < 20
    version = Version(1, "1", "d", (), 0.5, post)
    got = answers(spec, version, raw)
    assert got.scores == pytest.approx(np.expm1(raw[:, 0]).tolist())
    ends = [pair for pair in got.intervals if pair is not None]
    assert len(ends) == len(raw)
    assert all(low < high for low, high in ends)
    reference = msgspec.json.decode((kit.folder / REFERENCE).read_bytes(), type=Reference)
    assert max(reference.scores.edges) > 100


def make_kit_of_prices(folder: Path, spec: PipelineSpec) -> Kit:
    """A kit whose targets are prices between 100 and 10,000."""

    def priced(*args: Any, **named: Any) -> Dataset:
        data = load_dataset(*args, **named)
        data.y[:] = np.expm1(7 + data.y / 3)
        return data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.retrainer.main.load_dataset", priced)
        return make_kit(folder, "regression", spec)


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_calibrated_classes(tmp_path: Path, task: str, kind: str) -> None:
    """A curve for the positive class, or one a class; the figures are those of calibrated answers."""
    spec = spec_with(task, calibration=kind)
    kit = make_kit(tmp_path, task, spec)
    manifest = kit.store().get(kit.ref).manifest
    assert len(manifest.post.calibration) == (1 if task == "binary" else 3)
    assert manifest.metrics["log_loss"] < manifest.metrics["baseline_log_loss"]
    versions = Versions(spec, RecordCodec(spec), kit.store(), Health(SystemClock(), max_turn_age=60))
    versions.table.put(Rollout(spec.name, 1, kit.ref, "active"))
    assert versions.scoring(1).version.post == manifest.post
    plain = make_kit(tmp_path / "plain", task, spec_with(task)).manifest()
    assert plain.post == Post()
    assert manifest.metrics["ece"] != plain.metrics["ece"]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_linear_model_is_measured_where_there_is_a_goal(tmp_path: Path, task: str) -> None:
    """With a goal, every figure has a linear one beside it, from the same records; without, no time is spent on it."""
    goal = {"rmse": 1.0} if task == "regression" else {"accuracy": 0.8}
    spec = spec_with(task, goal)
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, write_history(tmp_path, task), until=None, progress=lambda _: None)
    metrics = learn(spec, codec, data, lambda _: None).content.metrics
    name = next(iter(goal))
    assert metrics[f"linear_{name}"] != metrics[name]
    assert not any(m.startswith("linear_") for m in learn(spec_with(task), codec, data, lambda _: None).content.metrics)
    whole = table(spec, codec, data, np.arange(len(data)))
    fitted = fit_linear(spec, whole.columns, whole.matrix, whole.y)
    found = predict_linear(spec, fitted, whole.matrix)
    assert found.shape == ((len(data),) if task == "regression" else (len(data), len(spec.labels.classes)))
