"""The declared search: what is wrong is said first; folds know time; the best is the best, and is what is trained."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.retrainer.dataset import load_dataset
from services.retrainer.folds import by_time, folds_of
from services.retrainer.gate import DataRefused
from services.retrainer.learn import learn
from services.retrainer.search import Step, drawn, search
from services.retrainer.tables import Table, table
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from tailrace.cli.train_search import line_of
from tests.support.bundles import HOUR, START, write_history
from tests.support.spec import make_spec, make_tree
from tests.support.wait import until

GRID = {"max_iter": [1, 20], "max_leaf_nodes": [3, 15]}
SMALL = {"max_iter": [1, 20]}
DECLARED = {"max_iter": 10, "max_leaf_nodes": 31, "early_stopping": False}


def spec_with(task: str = "binary", **model: Any) -> PipelineSpec:
    """The parcels with a search."""
    tree = make_tree(task)["model"]
    fast = {"runtimes": ["treelite"]}
    return make_spec(task, model={**tree, **fast, "parameters": DECLARED, "search": GRID, **model})


def table_of(spec: PipelineSpec, folder: Path) -> Table:
    """All parcels as a table."""
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, write_history(folder, spec.task), until=None, progress=lambda _: None)
    return table(spec, codec, data, np.arange(len(data)))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"search": {}}, r"model\.search: nothing to search is declared; list values"),
        ({"search": {"max_iter": [10, -3]}}, r"model\.search\.max_iter: The 'max_iter' parameter .* Got -3 instead"),
        ({"search": {"max_iter": ["many"]}}, r"model\.search\.max_iter: .* Got 'many' instead"),
        ({"metric": "coverage", "task": "regression"}, r"model\.metric: a search needs a figure of values"),
    ],
)
def test_a_search_that_cannot_be_is_told_at_once(tmp_path: Path, model: dict[str, Any], words: str) -> None:
    """Nothing declared, a value that the estimator refuses: one line with its key, before the first fit."""
    task = model.pop("task", "binary")
    spec = spec_with(task, **model)
    with pytest.raises(UserError, match=words):
        search(spec, table_of(spec, tmp_path), lambda _: None, jobs=1)


def test_a_value_that_is_refused_without_a_search_names_its_key(tmp_path: Path) -> None:
    """The same without a search: the parameters are at fault, not the data."""
    spec = spec_with(parameters={"max_iter": -1}, search={})
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, write_history(tmp_path), until=None, progress=lambda _: None)
    with pytest.raises(UserError, match=r"model\.parameters: The 'max_iter' parameter"):
        learn(spec, codec, data, lambda _: None)


def test_a_search_may_look_at_a_share_of_the_records(tmp_path: Path) -> None:
    """As many as declared, the same ones each time, spread over the whole time and in its order; said in the report."""
    spec = spec_with(folds={"records": 100, "count": 2})
    data = table_of(spec, tmp_path)
    some = drawn(spec, data)
    assert (100, True) == (len(some), bool((np.diff(some.times) >= 0).all()))
    assert np.array_equal(some.index, drawn(spec, data).index)
    assert some.times[0] < data.times[len(data) // 10]
    assert some.times[-1] > data.times[-len(data) // 10]
    assert len(data) == len(drawn(spec_with(folds={"records": 10_000}), data))
    assert (
        100
        == search(
            spec_with(folds={"records": 100, "count": 2}, search={"max_iter": [1]}), data, lambda _: None, jobs=1
        ).records
    )


@pytest.mark.parametrize(
    ("kind", "y", "words"),
    [
        ("stratified", [0.0] * 97 + [1.0] * 3, "class late has 3 records before the holdout, 5 folds need 5"),
        ("chronological", [0.0] * 50 + [1.0] * 50, "fold 1 fits 10 records, none of class late"),
        ("chronological", [0.0, 1.0] * 5, "fold 1 of 5 has 0 records to fit and 2 to judge"),
    ],
)
def test_folds_that_cannot_be_are_refused(kind: str, y: list[float], words: str) -> None:
    """Too few records, or none of a class on a side that is fitted: named, with what to do."""
    times = START + HOUR * np.arange(len(y), dtype=np.int64)
    with pytest.raises(DataRefused, match=words):
        folds_of(spec_with(folds={"kind": kind, "count": 5}), np.array(y), times)


def test_chronological_folds_go_by_time_and_not_by_place() -> None:
    """Each is judged on what came after it, a label horizon later; records of one moment are never on both sides."""
    spec = spec_with("regression", folds={"kind": "chronological", "count": 4})
    times = np.sort(np.repeat(START + HOUR * np.arange(40, dtype=np.int64) * 3, 7))
    made = folds_of(spec, np.zeros(len(times)), times)
    assert len(made) == 4
    judged = np.concatenate([late for _, late in made])
    assert len(np.unique(judged)) == len(judged)
    assert judged.max() == len(times) - 1
    for early, late in made:
        assert times[late].min() - times[early].max() > spec.labels.horizon * 1000
        assert not set(times[early]) & set(times[late])
    grown = [len(early) for early, _ in made]
    assert grown == sorted(grown)


def test_stratified_folds_are_shuffled_and_repeat() -> None:
    """Each class has its share in each fold, every record is judged once, and the seed decides."""
    spec = spec_with("multiclass", folds={"kind": "stratified", "count": 5})
    y = np.array([0.0] * 10 + [1.0] * 50 + [2.0] * 40)
    one, two = (folds_of(spec, y, np.arange(100)) for _ in range(2))
    assert sorted(np.concatenate([late for _, late in one]).tolist()) == list(range(100))
    assert [late.tolist() for _, late in one] == [late.tolist() for _, late in two]
    assert all(np.bincount(y[late].astype(int)).tolist() == [2, 10, 8] for _, late in one)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_combination_is_judged_on_every_fold(tmp_path: Path, jobs: int) -> None:
    """Four combinations on three folds are twelve fits, told one by one; the best comes first and repeats."""
    spec = spec_with(folds={"kind": "stratified", "count": 3}, metric="accuracy")
    told: list[Step] = []
    found = search(spec, table_of(spec, tmp_path), told.append, jobs=jobs)
    assert (found.fits, found.folds, found.metric, len(found.table)) == (12, 3, "accuracy", 4)
    assert [step.done for step in told] == list(range(1, 13))
    assert {tuple(one.parameters.values()) for one in found.table} == {(1, 3), (1, 15), (20, 3), (20, 15)}
    assert [one.mean for one in found.table] == sorted((one.mean for one in found.table), reverse=True)
    assert (found.best, found.mean, found.std) == (
        found.table[0].parameters, found.table[0].mean, found.table[0].std,
    )  # fmt: skip
    assert found.best["max_iter"] == 20
    assert told[-1].best is not None
    assert told[-1].best.mean == found.mean
    assert "12/12 fits" in line_of(told[-1])


def test_the_best_parameters_are_trained(tmp_path: Path) -> None:
    """Where less is better as well: the final model has what the search found, without one what is declared."""
    spec = spec_with("regression", folds={"kind": "chronological", "count": 2}, metric="mae", search=SMALL)
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, write_history(tmp_path, "regression"), until=None, progress=lambda _: None)
    learned = learn(spec, codec, data, lambda _: None, watch=lambda _: None)
    assert learned.searched is not None
    means = [one.mean for one in learned.searched.table]
    assert means == sorted(means)
    assert learned.content.spec.model.parameters == {**DECLARED, **learned.searched.best}
    assert learned.estimator.get_params()["max_iter"] == learned.searched.best["max_iter"]
    assert learn(spec, codec, data, lambda _: None).estimator.get_params()["max_iter"] == 10


def test_a_split_by_time_leaves_a_gap() -> None:
    """As for the holdout: nothing that is fitted is younger than the border less the gap."""
    times = START + HOUR * np.arange(100, dtype=np.int64)
    early, late = by_time(times, 0.25, 6 * HOUR)
    assert (early.tolist(), late.tolist()) == (list(range(69)), list(range(75, 100)))


LONG = """
import sys
from pathlib import Path
from services.retrainer.search import search
from tests.unit.model.test_search import spec_with, table_of

grid = {"max_iter": list(range(200, 600))}
spec = spec_with(search=grid, folds={"kind": "stratified", "count": 5})
data = table_of(spec, Path(sys.argv[1]))
try:
    search(spec, data, lambda step: print(step.done, flush=True), jobs=2)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_ends_a_search(tmp_path: Path) -> None:
    """In the middle of hundreds of fits: code 130, no line on standard error, no process left."""
    root = Path(__file__).parents[3]
    running = subprocess.Popen(
        [sys.executable, "-c", LONG, str(tmp_path)],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline().strip() == "1"
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "")
    until(lambda: not alive(running.pid), "the processes of the search to end")


def alive(group: int) -> list[str]:
    """The processes of a group that are more than a memory of their end."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, in_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(in_group) == group and state != "Z":
                found.append(path.parent.name)
    return found
