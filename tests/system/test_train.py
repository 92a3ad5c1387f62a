"""Training against a real MLflow, and the announcement on a real Kafka."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.retrainer.announce import announcing
from services.retrainer.main import train
from services.scorer.models import ModelStore
from shared.adapters.mlflow_models import Registry
from shared.core.errors import Unavailable, UserError
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef, Rollout
from shared.core.registry import CHALLENGER, CHAMPION, REFUSED_TAG
from shared.runtime.clock import SystemClock
from shared.runtime.settings import KafkaSettings, MlflowSettings, Settings
from shared.testing.metrics import RecordingMetrics
from tests.support.bundles import HasSpec, write_history
from tests.support.spec import make_spec, make_tree

pytestmark = pytest.mark.system


@pytest.fixture
def spec(unique: Callable[[str], str]) -> PipelineSpec:
    """A pipeline that no other test has."""
    return msgspec.structs.replace(make_spec(), name=unique("parcels").replace("-", "_"))


def test_two_trainings_are_two_versions(mlflow_url: str, spec: PipelineSpec, tmp_path: Path) -> None:
    """Versions count from 1, the first is the champion, and a scorer loads each by its address alone."""
    settings = Settings(mlflow=MlflowSettings(url=mlflow_url))
    files, announced = write_history(tmp_path), list[BundleRef]()

    def announce(ref: BundleRef) -> Rollout:
        announced.append(ref)
        return Rollout(spec.name, len(announced), ref, "announced")

    reports = [
        train(HasSpec(spec), settings, lambda _: None, files=files, announce=announce, state=tmp_path / "state")
        for _ in range(2)
    ]
    assert [report.ref.version for report in reports] == ["1", "2"]
    assert [report.ref for report in reports] == announced
    store = ModelStore(spec, settings, RecordingMetrics(), SystemClock(), state=tmp_path / "state")
    for ref in announced:
        loaded = store.get(ref)
        assert (loaded.manifest.version, loaded.manifest.pipeline) == (ref.version, spec.name)
    assert store.ready() == {"1", "2"}

    registry = Registry(mlflow_url)
    client = registry._client
    versions = {v.version: v.tags for v in client.search_model_versions(f"name='{spec.name}'")}
    assert {str(v): t["tailrace.state"] for v, t in versions.items()} == {"1": "complete", "2": "complete"}
    assert str(client.get_model_version_by_alias(spec.name, "champion").version) == "1"
    run = client.get_run(reports[0].run_id)
    assert run.data.metrics["auc"] == pytest.approx(reports[0].metrics["auc"])
    assert run.data.params["estimator"] == spec.model.estimator
    assert run.info.status == "FINISHED"
    assert run.data.tags["tailrace.fingerprint"] == run.data.params["fingerprint"]
    assert {one.path for one in client.list_artifacts(run.info.run_id)} == {"bundle", "card.md", "data.json", "plots"}
    plots = [one.path for one in client.list_artifacts(run.info.run_id, "plots")]
    assert plots == [f"plots/{name}.svg" for name in ("calibration", "confusion", "importance", "over_time")]
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    signature = registry._mlflow.models.get_model_info(model.model_uri).signature
    assert signature.inputs.input_names() == [feature.name for feature in spec.features]
    assert signature.outputs.inputs[0].shape == (-1, 2)


def test_a_failure_leaves_a_version_that_says_so(mlflow_url: str, spec: PipelineSpec) -> None:
    """A version whose bundle never came is marked, and is no champion."""
    registry = Registry(mlflow_url)
    draft = registry.begin(spec.name, {"seed": 1}, {})
    registry.fail(draft, "disk full")
    version = registry._client.get_model_version(spec.name, draft.version)
    assert version.tags["tailrace.state"] == "failed"
    assert registry._client.get_registered_model(spec.name).aliases == {}
    assert registry._client.get_run(draft.run_id).info.status == "FAILED"


def test_aliases_and_tags_are_kept(mlflow_url: str, spec: PipelineSpec) -> None:
    """An alias moves, is dropped more than once, and names no version that does not exist; tags and JSON stay."""
    registry = Registry(mlflow_url)
    assert (registry.aliases(spec.name), registry.versions(spec.name)) == ({}, [])
    drafts = [registry.begin(spec.name, {}, {}) for _ in range(2)]
    for version in ("1", "2"):
        registry.set_alias(spec.name, CHALLENGER, version)
        assert registry.aliases(spec.name) == {CHALLENGER: version}
    with pytest.raises(UserError, match="version 9"):
        registry.set_alias(spec.name, CHAMPION, "9")
    with pytest.raises(UserError, match="version 9"):
        registry.tag(spec.name, "9", REFUSED_TAG, "slow")
    for _ in range(2):
        registry.drop_alias(spec.name, CHALLENGER)
        assert registry.aliases(spec.name) == {}
    registry.tag(spec.name, "2", REFUSED_TAG, "slow: 100 times")
    known = registry.versions(spec.name)
    assert [(v.version, v.run_id, v.state, v.refused) for v in known] == [
        ("1", drafts[0].run_id, "pending", ""),
        ("2", drafts[1].run_id, "pending", "slow: 100 times"),
    ]
    registry.log_json(drafts[1].run_id, "judged/gate.json", {"passed": False, "n": 3})
    listed = registry._client.list_artifacts(drafts[1].run_id, "judged")
    assert [artifact.path for artifact in listed] == ["judged/gate.json"]


def test_mlflow_that_is_down_is_one_line() -> None:
    """A registry that does not answer is named with its address."""
    with pytest.raises(Unavailable, match=r"MLflow at http://127\.0\.0\.1:9"):
        Registry("http://127.0.0.1:9").begin("x", {}, {})


def test_epochs_are_announced_in_order(kafka: str, spec: PipelineSpec) -> None:
    """The first bundle of a pipeline is active at once, the next waits, and one announced twice keeps its epoch."""
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka))
    with pytest.raises(Unavailable, match="topics apply"), announcing(spec, settings, SystemClock()):
        pass
    for name in ("models", "plans"):
        _create(kafka, f"{spec.name}.{name}")
    one, two = BundleRef("1", "http://x/1", "a" * 64), BundleRef("2", "http://x/2", "b" * 64)
    seen: list[tuple[int, str]] = []
    for refs in ((one,), (two, two), (one,)):
        with announcing(spec, settings, SystemClock()) as announce:
            seen += [(rollout.epoch, rollout.state) for rollout in map(announce, refs)]
    assert seen == [(1, "active"), (2, "announced"), (2, "announced"), (1, "active")]


def _create(kafka: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(10)


def test_the_command_writes_a_bundle_without_any_server(tmp_path: Path) -> None:
    """`tailrace train --out` needs neither MLflow nor Kafka, prints one JSON object, and progress elsewhere."""
    folder = tmp_path / "parcels"
    folder.mkdir()
    write_history(folder)
    history = {"records": "records.csv", "features": "features.jsonl", "labels": "labels.jsonl"}
    (folder / "pipeline.yaml").write_text(json.dumps(make_tree() | {"history": history}))
    code = "import typer; from tailrace.cli.train import register; a = typer.Typer(); register(a); a()"
    command = [sys.executable, "-c", code, str(folder), "--out", str(tmp_path / "bundle"), "--json"]
    environment = os.environ | {"TAILRACE_STATE": str(tmp_path / "state"), "TAILRACE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["records"], report["ref"]["version"]) == (600, "local")
    assert "fitting" in done.stderr
    assert (tmp_path / "bundle" / "signature").stat().st_size == 64
