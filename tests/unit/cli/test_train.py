"""`tailrace train` with a search, an interval and a goal: on the terminal, as JSON, and refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.retrainer.search import Step, Tried
from tailrace.cli.train_search import SearchLine, line_of
from tests.support.bundles import write_history
from tests.support.spec import make_tree

ROOT = Path(__file__).parents[3]


def folder_of(where: Path, task: str, **model: Any) -> Path:
    """The parcels as a pipeline folder with its history."""
    folder = where / "parcels"
    folder.mkdir()
    write_history(folder, task)
    tree = make_tree(task)
    tree["model"] = {**tree["model"], "runtimes": ["treelite"], **model}
    tree["history"] = {"records": "records.csv", "features": "features.jsonl", "labels": "labels.jsonl"}
    tree["monitoring"] = {"goal": {"rmse": 2.0, "coverage": 0.8} if task == "regression" else {"accuracy": 0.7}}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return folder


def command_of(where: Path, folder: Path, *words: str) -> list[str]:
    """The command as a user types it."""
    return [sys.executable, "-m", "tailrace.entry", "train", str(folder), "--out", str(where / "bundle"), *words]


def environ_of(where: Path) -> dict[str, str]:
    """With nothing of this machine's own state."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(where), "TAILRACE_STATE": str(where / "state")}


def run(where: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command until its end."""
    command, environ = command_of(where, folder, *words), environ_of(where)
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=200)


def test_a_search_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    """One line with the key and the remedy, code 2, before the history is read."""
    done = run(tmp_path, folder_of(tmp_path, "binary"), "--search")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == (
        "tailrace: model.search: nothing to search is declared; list values to try, by parameter, or leave out --search"
    )


def test_a_search_is_shown_and_its_best_is_used(tmp_path: Path) -> None:
    """Progress in plain lines on standard error; interval, goal and the best parameters on standard output."""
    folder = folder_of(
        tmp_path, "regression", search={"max_iter": [2, 10]}, folds={"count": 2}, interval={"coverage": 0.8}
    )
    done = run(tmp_path, folder, "--search")
    print(done.stderr)
    assert done.returncode == 0
    assert "4/4 fits" in done.stderr
    assert "best rmse" in done.stderr
    first, intervals, rmse, coverage, search = done.stdout.strip().splitlines()
    assert first.startswith("600 parcels · HistGradientBoostingRegressor · RMSE ")
    assert "of the held-out truths" in intervals
    assert rmse.startswith("rmse: linear ")
    assert rmse.endswith(": reached")
    assert coverage.startswith("coverage: linear -, goal 0.8, ours ")
    assert search.startswith("search: max_iter=10 (rmse ")


def test_a_search_that_is_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle, to the whole group as a terminal sends it: code 130, no other word, nothing written."""
    folder = folder_of(tmp_path, "binary", search={"max_iter": list(range(300, 500))}, parameters={"max_iter": 10})
    running = subprocess.Popen(
        command_of(tmp_path, folder, "--search"), cwd=ROOT, env=environ_of(tmp_path), stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert running.stderr is not None
    said: list[str] = []
    while "fits" not in (said or [""])[-1]:
        said.append(running.stderr.readline())
    os.killpg(running.pid, signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert [line for line in rest.splitlines() if "fits" not in line] == []
    assert running.returncode == 130
    assert not (tmp_path / "bundle").exists()


def test_the_report_as_json(tmp_path: Path) -> None:
    """One object: goals, and linear figures beside ours; no search where none was asked for."""
    done = run(tmp_path, folder_of(tmp_path, "binary", search={"max_iter": [2, 10]}), "--json")
    report = json.loads(done.stdout)
    assert report["goals"] == {"accuracy": 0.7}
    assert 0 < report["metrics"]["linear_accuracy"] <= 1
    assert report["searched"] is None


class Screen:
    """A stream that remembers."""

    def __init__(self, *, live: bool) -> None:
        self.text, self._live = "", live

    def isatty(self) -> bool:
        """Whether a person looks."""
        return self._live

    def write(self, text: str) -> int:
        """Take it."""
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


@pytest.mark.parametrize("live", [True, False])
def test_how_far_a_search_is(*, live: bool) -> None:
    """One line that changes where a person looks; elsewhere one every five seconds, and the last."""
    screen = Screen(live=live)
    steps = [Step("macro_f1", i + 1, 100, i * 0.5, None) for i in range(100)]
    with SearchLine(screen) as line:  # type: ignore[arg-type] # the three methods that it uses
        for step in steps:
            line.show(step)
    assert screen.text.count("fits") == (100 if live else 11)
    assert screen.text.count("\n") == (1 if live else 11)


def test_the_line_of_a_search() -> None:
    """Done and all, rate, time left, the best so far with its parameters."""
    step = Step("macro_f1", 50, 1_080, 100.0, Tried({"max_depth": 15}, 0.91234, 0.01))
    assert line_of(step) == "50/1,080 fits  0.5/s  34 min 20 s left  best macro_f1 0.9123 (max_depth=15)"
