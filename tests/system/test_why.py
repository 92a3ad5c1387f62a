"""`tailrace why`, on records that a trained model scored for real: found by locator, key and id, and taken apart."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import pytest

from services.retrainer.main import train
from shared.core.monitor_records import LabelEntry
from shared.core.partitioning import partition_of
from shared.core.records import BundleRef, Label, Rollout
from shared.runtime.settings import KafkaSettings, MlflowSettings, Settings
from tailrace.why.main import explain
from tests.support.bundles import START, HasSpec, write_history
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
N = 3_000


def peculiar() -> tuple[str, bytes, None]:
    """A record that lacks a value, has a word that the model does not know, and a personal field."""
    key, value, _ = record(2_500, key=7, carrier="Z", phone="+49 30 1234567")
    body = json.loads(value)
    del body["stops"]
    return key, json.dumps(body).encode(), None


def scored(world: Callable[..., World], mlflow_url: str, tmp_path: Path) -> tuple[World, Settings]:
    """A pipeline whose model was trained into MLflow, and N scored records; the one at 2,500 is peculiar."""
    w = world(announced=False, env={"TAILRACE_MLFLOW__URL": mlflow_url})
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=w.kafka), mlflow=MlflowSettings(url=mlflow_url))
    announced: list[BundleRef] = []

    def announce(ref: BundleRef) -> Rollout:
        announced.append(ref)
        w.versions[ref.version] = ref
        w.announce(ref.version, 1, "active")
        return Rollout(w.spec.name, 1, ref, "active")

    (tmp_path / "history").mkdir()
    files = write_history(tmp_path / "history")
    train(HasSpec(w.spec), settings, lambda _: None, files=files, announce=announce, state=w.folder / "state")
    w.start(1)
    w.send("records", [peculiar() if i == 2_500 else record(i) for i in range(N)])
    until(w.all_scored(N), "every record to be scored", 90)
    return w, settings


def label(w: World, name: str, value: str, revision: int) -> None:
    """A label as the router writes it."""
    entry = LabelEntry(Label(name, value, START + 9_000, revision=revision), (0, revision), START + 9_000)
    w.send("journal", [("depot-7", msgspec.json.encode(entry), None)])


def command(w: World, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as a user gives it."""
    return subprocess.run(
        (sys.executable, "-m", "tailrace.cli.main", "why", str(w.folder), *words),
        env=os.environ | {
            "TAILRACE_KAFKA__BOOTSTRAP_SERVERS": w.kafka, "TAILRACE_STATE": str(w.folder / "state"),
            "TAILRACE_MLFLOW__URL": "http://127.0.0.1:1",
        }, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_an_answer_is_found_and_explained(world: Callable[..., World], mlflow_url: str, tmp_path: Path) -> None:
    """Locator, key and id lead to one answer; it scores the same again, and its contributions add up exactly."""
    w, settings = scored(world, mlflow_url, tmp_path)
    label(w, "r2500", "on_time", 0)
    label(w, "r2500", "late", 1)
    label(w, "r2501", "late", 7)
    said: list[str] = []

    def ask(which: str = "", key: str = "", **more: Any) -> Any:
        return explain(w.spec, settings, which, key, said.append, state=w.folder / "state", **more)

    mlflow.set_tracking_uri("http://127.0.0.1:1")  # the training in this process left it set

    by_id = ask("r2500", contributions=True)

    made = by_id.prediction
    partition = partition_of(b"depot-7", w.spec.partitions)
    assert ("r2500", "depot-7", partition) == (made.id, made.key, made.at[0])
    assert by_id.again is not None
    assert (made.score, made.label, True) == (by_id.again.score, by_id.again.label, by_id.again.equal)
    assert ("late", 1, 1) == (by_id.label.value, by_id.label.revision, by_id.label.earlier)
    given = {one.feature: (one.given, one.seen, one.age) for one in by_id.inputs}
    assert {"stops": (None, None, None), "carrier": ("Z", None, None), "wind": (None, None, None)} == {
        name: given[name] for name in ("stops", "carrier", "wind")
    }
    parts = by_id.contributions
    assert parts is not None, by_id.unknown
    assert (["weight", "stops", "carrier", "wind"], True, "log odds") == (list(parts.parts), parts.exact, parts.scale)
    assert by_id.model.run_id
    assert (600, 64) == (by_id.model.data.records, len(by_id.model.data.fingerprint))
    assert (w.versions["1"].digest, "1", ()) == (by_id.model.digest, by_id.model.version, by_id.unknown)
    assert by_id == ask(f"{made.at[0]}@{made.at[1]}", contributions=True)
    assert by_id == ask(f"{w.spec.name}.records[{made.at[0]}]@{made.at[1]}", contributions=True)
    newest = ask(key="depot-7")
    assert made.at[1] <= newest.prediction.at[1]
    assert ("depot-7", None) == (newest.prediction.key, newest.contributions)
    assert ask(f"{partition}@999999") is ask("r99999") is ask(key="depot-nowhere") is None

    told = command(w, f"{made.at[0]}@{made.at[1]}", "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (made.score, True) == (found["prediction"]["score"], found["again"]["equal"])
    assert ["offset ranges"] == [line.split(":")[0] for line in found["unknown"]], "MLflow is away"
    assert "1234567" not in told.stdout
    none = command(w, "r99999")
    assert (1, "", 1) == (none.returncode, none.stdout, len(none.stderr.splitlines())), none.stderr
    assert 2 == command(w).returncode
