"""`tailrace init` as a command: results on standard output, all else beside it, exit codes that scripts can trust."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tables import many, table

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tailrace(tmp_path: Path) -> Run:
    """Run the command in a folder that has a good `own.csv`."""
    (tmp_path / "own.csv").write_text(table("x,target", *many(60, "{x},{even}"), "7"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        argv = (sys.executable, "-m", "tailrace.cli.main", *words)
        return subprocess.run(argv, env=clean, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Own",), "Own: is no name of a pipeline; use a-z, 0-9 and _"),
        (("own", "--label", "target", "--no-label"), "--label and --no-label say opposite things; give one of them"),
        (("own", "--as", "x"), '--as x: says no kind; write --as "COLUMN=category"'),
        (("own", "--delimiter", ";;"), "--delimiter ;;: is more than one character; write ; or , or \\t"),
        (("own", "--from", "nowhere.csv"), "nowhere.csv: No such file or directory; name a CSV file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tailrace: Run, words: tuple[str, ...], said: str) -> None:
    """Nothing on standard output, no folder."""
    ended = tailrace("init", *words, *(() if "--from" in words else ("--from", "own.csv")))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1].startswith(f"tailrace: {said}")


def test_json_is_one_object_and_the_table_names_flags(tailrace: Run, tmp_path: Path) -> None:
    """Warnings and progress are on standard error; a second run needs --force."""
    ended = tailrace("init", "own", "--from", "own.csv", "--json")
    report = json.loads(ended.stdout)
    assert (report["rows"], report["records"], report["rejected"]) == (61, 60, 1)
    assert report["reasons"] == {"too few cells": 1}
    assert report["files"] == [path for path in report["files"] if (tmp_path / "pipelines" / "own" / path).is_file()]
    assert "warning: 1 rows cannot be read (line 62: too few cells: 1 under 2 column names)" in ended.stderr

    again = tailrace("init", "own", "--from", "own.csv")
    assert again.returncode == 2
    assert "pipelines/own: is there already; name another --out, or --force to replace its files" in again.stderr

    told = tailrace("init", "own", "--from", "own.csv", "--force").stdout
    assert "by its name (--label COL, --no-label)" in told
    assert told.splitlines()[-1] == "next: tailrace validate own && tailrace train own"
    assert tailrace("validate", "own").returncode == 0


def test_help_teaches(tailrace: Run) -> None:
    """A sentence and an example."""
    said = " ".join(tailrace("init", "--help").stdout.split())
    assert "Make a pipeline from a CSV file" in said
    assert "tailrace init penguins --from penguins.csv --label Species" in said


def test_what_to_do_next_can_be_pasted_into_a_shell(tailrace: Run, tmp_path: Path) -> None:
    """Also where the folder's name has a blank."""
    told = tailrace("init", "own", "--from", "own.csv", "--out", "my data/own").stdout
    assert told.splitlines()[-1] == "next: tailrace validate 'my data/own' && tailrace train 'my data/own'"
    assert "\ntailrace train 'my data/own'\n" in (tmp_path / "my data" / "own" / "README.md").read_text()
