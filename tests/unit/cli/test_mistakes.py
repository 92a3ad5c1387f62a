"""What a user gets wrong, as the command answers: one line, the right exit code, nothing on standard output."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.stack.ports import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]
NEEDS_KAFKA = (
    *("topics plan flights", "topics apply flights --json", "train flights", "replay flights own.csv"),
    *("scorer flights", "features flights", "rollout status flights", "rollout activate flights 2"),
    "rollout revoke flights 2 --json",
    *("monitor recompute flights", "monitor status flights --json", "monitor report flights"),
)


@pytest.mark.parametrize("line", NEEDS_KAFKA)
def test_a_dead_broker_is_one_line_at_once(tailrace: Run, tmp_path: Path, line: str) -> None:
    """Each command that needs Kafka names the address, the setting and the remedy before it begins any work."""
    (tmp_path / "own.csv").write_text("id\n1\n")
    address = f"127.0.0.1:{free_port()}"

    ended = tailrace(line, TAILRACE_KAFKA__BOOTSTRAP_SERVERS=address)

    said = f"tailrace: no Kafka answers at {address} (TAILRACE_KAFKA__BOOTSTRAP_SERVERS); start the embedded stack"
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert ended.stderr.startswith(said)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TAILRACE_LOOP__SESSION_TIMEOUT": "-5"}, "TAILRACE_LOOP__SESSION_TIMEOUT: Expected `float` > 0.0; mend"),
        ({"TAILRACE_LOOP__SESSION_TIMEOUT": "abc"}, "TAILRACE_LOOP__SESSION_TIMEOUT: Expected `float`, got `str`"),
        ({"TAILRACE_CONFIG": "/nowhere"}, "TAILRACE_CONFIG: cannot read /nowhere (No such file or directory)"),
        ({"TAILRACE_CONFIG": "bad.yaml"}, "TAILRACE_CONFIG: cannot read bad.yaml ("),
    ],
)
def test_a_wrong_setting_is_named_by_its_variable(
    tailrace: Run, tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    """A wrong value, a file that is not there and one that is no YAML are one line each."""
    (tmp_path / "bad.yaml").write_text("# words\n\nno yaml\nhere: [\n")

    ended = tailrace("settings", **environ)

    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert said in ended.stderr


def test_two_parts_on_one_port_are_refused(tailrace: Run) -> None:
    """The same port twice is a mistake of the command line, not of the server that comes second."""
    port = free_port()

    ended = tailrace(f"up --kafka-port {port} --mlflow-port {port}")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"-port are both {port}; give each a port of its own" in ended.stderr


def test_settings_do_not_show_what_nobody_set(tailrace: Run) -> None:
    """Standard output is one JSON object, and an unknown variable is a warning beside it."""
    ended = tailrace("settings --json", TAILRACE_FOO="1")

    assert json.loads(ended.stdout)["kafka"]["client"] == {}
    assert ended.stderr.startswith("warning: TAILRACE_FOO is no setting")
