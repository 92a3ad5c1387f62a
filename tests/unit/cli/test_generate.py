"""`tailrace generate` as a user meets it: what is wrong is one line, what is made is the same each time."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.adapters.tables import read_rows
from tailrace.stack.ports import free_port
from tests.support.simulated import spec_of

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "generate flights",
            "generate.py: no such file, so nothing can be generated; write one with simulate(request)",
        ),
        ("generate churn --scenario flood", "no scenario flood; choose one of stationary, covariate_abrupt"),
        ("generate churn --to x --to-kafka", "both --to and --to-kafka are given; choose one"),
        ("generate churn --records 50 --to x.xls", "x.xls: no kind of file that can be written; use .parquet, .csv"),
        ("generate churn --records 50 --to taken", "taken: File exists; name another folder or file"),
        (
            "generate churn --records 50 --to own",
            "own: has a labels.parquet that was not generated; name another folder",
        ),
        ("generate churn --records 50 --to /proc/none/x", "/proc/none/x: No such file or directory; name another"),
    ],
)
def test_a_mistake_is_one_line(tailrace: Run, tmp_path: Path, line: str, said: str) -> None:
    """Exit code 2, nothing on standard output, and a last line that says what is wrong and what to do."""
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "labels.parquet").write_text("mine")
    ended = tailrace(line)
    assert (2, "") == (ended.returncode, ended.stdout)
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_dead_broker_is_told_before_anything_is_made(tailrace: Run, tmp_path: Path) -> None:
    """With --to-kafka the address is looked at first; no file is left."""
    address = f"127.0.0.1:{free_port()}"
    ended = tailrace("generate churn --to-kafka", TAILRACE_KAFKA__BOOTSTRAP_SERVERS=address)
    assert 2 == ended.returncode
    assert ended.stderr.startswith(f"tailrace: no Kafka answers at {address}")
    assert [] == list(tmp_path.rglob("*.parquet"))


def test_the_scenarios_can_be_listed(tailrace: Run) -> None:
    """Each with a sentence; as JSON with its drifts."""
    assert "missing_field      a producer stops sending a field" in tailrace("generate churn --list").stdout
    listed = json.loads(tailrace("generate churn --list --json").stdout)
    assert ["concept", 0.5] == [
        next(s for s in listed if s["name"] == "concept")["drifts"][0][k] for k in ("kind", "start")
    ]


def test_a_stream_is_written_with_its_truth_beside_it(tailrace: Run, tmp_path: Path) -> None:
    """The same seed gives the same bytes; the records have no truth; the facts say what changed and what is best."""
    ended = tailrace("generate churn --scenario concept --records 600 --seed 4 --to one --json")
    again = tailrace("generate churn --scenario concept --records 600 --seed 4 --to two")
    assert (0, 0) == (ended.returncode, again.returncode)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert ["features.parquet", "labels.parquet", "records.parquet", "truth.json", "truth.parquet"] == files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    rows = list(read_rows(tmp_path / "one" / "records.parquet"))
    assert 600 == len(rows)
    assert set(spec_of("churn").record.fields) == set(rows[0])
    said = json.loads(ended.stdout)
    assert said["facts"] == json.loads((tmp_path / "one" / "truth.json").read_text())
    assert "concept" == said["facts"]["changes"][0]["kind"]
    assert 0.8 < said["facts"]["best"]["accuracy"] < 0.95
    assert "best possible: accuracy 0." in again.stdout
    assert "change: concept of monthly_charges from 2025-01-" in again.stdout


def test_a_file_of_records_has_the_rest_beside_it(tailrace: Run, tmp_path: Path) -> None:
    """A CSV of records comes with labels, features and truth under its own name."""
    ended = tailrace("generate obesity --records 200 --to deep/own.csv")
    assert 0 == ended.returncode, ended.stderr
    names = sorted(path.name for path in (tmp_path / "deep").iterdir())
    assert ["own.csv", "own.features.csv", "own.labels.csv", "own.truth.csv", "own.truth.json"] == names
    assert 200 == sum(1 for _ in read_rows(tmp_path / "deep" / "own.csv"))
