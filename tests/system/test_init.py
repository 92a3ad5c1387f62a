"""`tailrace init` from the outside: three unlike public tables, and the tutorial's commands as they stand in it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn import datasets

from tests.support.tables import flights, penguins

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def environment(folder: Path) -> dict[str, str]:
    """A shell as a newcomer has it: this Python first on the PATH, state and temporary files in a folder of ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    cache = {name: os.environ[name] for name in ("TAILRACE_CACHE",) if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Threads that wait for each other on a busy machine take several times as long as one.
    one = {"OMP_NUM_THREADS": "1"}
    return clean | cache | one | {"PATH": path, "TMPDIR": str(folder), "TAILRACE_STATE": str(folder / "state")}


def tailrace(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder of its own."""
    argv = [sys.executable, "-m", "tailrace.cli.main", *words]
    return subprocess.run(
        argv, cwd=folder, env=environment(folder) | environ, capture_output=True, text=True, check=False, timeout=200
    )


def cancer(folder: Path) -> Path:
    """A table of scikit-learn: numbers only, no time, no key, no id."""
    path = folder / "cancer.csv"
    datasets.load_breast_cancer(as_frame=True).frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["cancer", "flights", "penguins"])
def test_a_public_table_becomes_a_pipeline_without_an_edit(tmp_path: Path, name: str) -> None:
    """Init, validate, train: each ends well, the first within a minute, and the model beats the trivial answer."""
    source, flags, figure, sign = {
        "cancer": (cancer, (), "auc", 1),
        "flights": (
            lambda folder: flights(folder, 50_000),
            ("--label", "arr_delay", "--drop", "dep_delay"),
            "rmse",
            -1,
        ),
        "penguins": (lambda _: penguins(), ("--label", "Species"), "macro_f1", 1),
    }[name]
    path, began = source(tmp_path), time.monotonic()

    ended = tailrace(tmp_path, "init", name, "--from", str(path), *flags, "--json")

    assert ended.returncode == 0, ended.stderr
    report, seconds = json.loads(ended.stdout), time.monotonic() - began
    assert report["rows"] == report["records"] + report["rejected"]
    assert seconds < 60
    assert tailrace(tmp_path, "validate", name).returncode == 0
    trained = tailrace(tmp_path, "train", name, "--out", str(tmp_path / "bundle"), "--json")
    assert trained.returncode == 0, trained.stderr
    metrics = json.loads(trained.stdout)["metrics"]
    assert sign * metrics[figure] > sign * metrics[f"baseline_{figure}"]
    print(
        f"{name}: {report['records']:,} records, init {seconds:.1f} s, with training {time.monotonic() - began:.1f} s"
    )


def test_without_time_and_label_it_still_scores(
    tmp_path: Path, kafka: str, redis_url: str, mlflow_url: str, unique: Callable[[str], str]
) -> None:
    """Init says what is lost; every record has one outcome all the same."""
    name = unique("odd").replace("-", "_")
    servers = {
        "TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka, "TAILRACE_REDIS__URL": redis_url, "TAILRACE_MLFLOW__URL": mlflow_url
    }  # fmt: skip
    ended = tailrace(
        tmp_path, "init", name, "--from", str(cancer(tmp_path)), "--no-label", "--drop", "target", "--json"
    )
    assert ended.returncode == 0, ended.stderr
    lost = [text.partition(":")[0] for text in json.loads(ended.stdout)["lost"]]
    assert lost == ["no label", "no label", "no time", "no time", "no key"]

    words = ("demo", "--pipeline", name, "--records", "100", "--workers", "1", "--no-kill", "--wait", "0", "--json")
    played = tailrace(tmp_path, *words, **servers)

    assert played.returncode == 0, played.stderr
    said = json.loads(played.stdout)
    assert (said["records"], said["predictions"], said["lost"], said["doubled"]) == (100, 100, 0, 0)


def test_the_tutorial_can_be_walked(tmp_path: Path) -> None:
    """Its shell blocks run as they stand, one after the other, in an empty folder; the demo at their end scores all."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    script = "\n".join(BLOCK.findall(text))
    assert script.count("tailrace ") == 4

    ended = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment(tmp_path), capture_output=True,
        text=True, check=False, timeout=250,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert re.search(r"100 records = 100 predictions \+ 0 dead letters · 0 lost · 0 doubled", ended.stdout)
    assert "pipelines/penguins/pipeline.yaml: ok" in ended.stdout


def test_what_the_tutorial_shows_is_what_init_prints(tmp_path: Path) -> None:
    """Line by line of its sample, blanks aside."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    shown = [" ".join(line.split()) for line in text.partition("```\nevent time")[2].partition("```")[0].splitlines()]
    ended = tailrace(tmp_path, "init", "penguins", "--from", str(penguins()), "--label", "Species", "--dry-run")
    printed = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert ["event time " + shown[0], *shown[1:]] == [
        line for line in printed if line in {"event time " + shown[0], *shown}
    ]
