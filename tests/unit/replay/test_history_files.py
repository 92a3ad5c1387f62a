"""Where a history comes from: a hook that runs once, declared files, rows as wire types."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from shared.adapters.history import history_files
from shared.core.errors import UserError
from shared.core.history import to_label, to_milliseconds, to_update
from shared.core.pipeline import HistorySpec, PipelineSpec
from tests.support.replay import shop

GOOD = "def write(folder, seed):\n    (folder / 'records.parquet').write_text(str(seed))\n"


@dataclass(frozen=True)
class Folder:
    """A pipeline in a folder."""

    spec: PipelineSpec
    folder: Path


def pipeline(folder: Path, history: HistorySpec) -> Folder:
    """The shop with another history."""
    return Folder(msgspec.structs.replace(shop(), history=history), folder)


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("raise OSError('no such planet')", "no such planet"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("x = 1", "no function write"),
        ("def write(folder, seed): pass", "no records.parquet"),
        ("def write(folder, seed)", "SyntaxError"),
    ],
)
def test_a_failing_hook_leaves_nothing(tmp_path: Path, hook: str, words: str) -> None:
    """The error names the hook and its last word, and no half of a history is in the cache."""
    (tmp_path / "history.py").write_text(hook)
    with pytest.raises(UserError, match=rf"history\.py.*{words}"):
        history_files(pipeline(tmp_path, HistorySpec(hook="history.py")), tmp_path / "cache")
    assert list((tmp_path / "cache" / "history").iterdir()) == []


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (HistorySpec(), "neither a hook nor records"),
        (HistorySpec(hook="gone.py"), r"gone\.py.*history\.hook"),
        (HistorySpec(records="gone.csv"), r"gone\.csv.*history\.records"),
    ],
)
def test_a_missing_history_is_named(tmp_path: Path, history: HistorySpec, words: str) -> None:
    """The error names the file and the key in pipeline.yaml."""
    with pytest.raises(UserError, match=words):
        history_files(pipeline(tmp_path, history), tmp_path)


def test_a_hook_runs_once_until_it_changes(tmp_path: Path) -> None:
    """A second call takes the cached files; a changed hook writes anew, beside the old result."""
    said: list[str] = []
    hook = tmp_path / "history.py"
    given = pipeline(tmp_path, HistorySpec(hook="history.py"))
    hook.write_text(GOOD)
    first = history_files(given, tmp_path / "cache", say=said.append)
    second = history_files(given, tmp_path / "cache", say=said.append)
    hook.write_text(GOOD + "# changed\n")
    third = history_files(given, tmp_path / "cache", say=said.append)
    assert first == second
    assert first.records != third.records
    assert first.records.read_text() == third.records.read_text() == "0"
    assert (first.features, first.labels, len(said)) == (None, None, 2)


def test_a_hook_runs_again_for_another_file_beside_it(tmp_path: Path) -> None:
    """A table that it reads counts as much as its own text; what it cannot read of itself does not."""
    (tmp_path / "history.py").write_text(GOOD)
    given, found = pipeline(tmp_path, HistorySpec(hook="history.py")), []
    for name, text in (("zones.csv", "a"), ("zones.csv", "b"), ("README.md", "c"), ("pipeline.yaml", "d")):
        (tmp_path / name).write_text(text)
        found.append(history_files(given, tmp_path / "cache").records)
    assert (found[0] == found[1], found[1] == found[2] == found[3]) == (False, True)


def test_a_simulated_history_has_its_truth_beside_it(tmp_path: Path) -> None:
    """What a hook writes as truth is given by a name of its own; without one there is none."""
    (tmp_path / "history.py").write_text(GOOD)
    (tmp_path / "sure.py").write_text(GOOD + "    (folder / 'truth.parquet').write_text('')\n")
    plain, sure = (
        history_files(pipeline(tmp_path, HistorySpec(hook=f"{name}.py")), tmp_path) for name in ("history", "sure")
    )
    assert plain.truth is None
    assert sure.truth == sure.records.with_name("truth.parquet")


def test_null_values_are_left_out_of_an_update() -> None:
    """What was not measured is no value; text cells are converted by the group's types."""
    row = {"group": "g", "entity": "e", "time": "5", "values.a": "1.5", "values.b": None, "values.c": "true"}
    update = to_update(row, {"a": "number", "b": "number", "c": "boolean"})
    assert msgspec.to_builtins(update)["values"] == {"a": 1.5, "c": True}


@pytest.mark.parametrize("cell", ["nan", "inf", "x", ""])
def test_an_update_with_a_wrong_number_is_refused(cell: str) -> None:
    """Nothing that is no finite number becomes one."""
    with pytest.raises(ValueError, match="is no number"):
        to_update({"group": "g", "entity": "e", "time": 5, "values": {"a": cell}}, {"a": "number"})


def test_a_label_of_a_regression_is_a_number() -> None:
    """Its text cell is converted, that of a class is not."""
    row = {"id": "r", "value": "12", "time": 5}
    assert to_label(row, numeric=True).value == 12.0
    assert to_label(row, numeric=False).value == "12"


@pytest.mark.parametrize("value", [None, True, 1.5, "", "2013-01-01", "2013-01-01T00:00:00"])
def test_a_time_without_an_offset_is_no_time(value: object) -> None:
    """It could be any instant of a day."""
    with pytest.raises(ValueError, match=r"no time|no offset|Invalid"):
        to_milliseconds(value)
