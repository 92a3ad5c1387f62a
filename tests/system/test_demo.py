"""The demo as a user runs it: one command, its books, its exit code; and Ctrl-C at any moment."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wait import until

pytestmark = pytest.mark.system
COMMAND = [sys.executable, "-m", "tailrace.cli.main", "demo", "--records", "6000", "--rate", "3000"]


def environment(folder: Path) -> dict[str, str]:
    """Its temporary files go to a folder of ours, so that what it left behind can be found."""
    return {**os.environ, "TMPDIR": str(folder), "TAILRACE_STATE": str(folder / "state")}


def left_behind(folder: Path) -> list[str]:
    """Command lines of processes that have this folder in their command or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in said and int(process.name) != os.getpid():
            found.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return found


def test_the_demo_closes_its_books(tmp_path: Path) -> None:
    """A worker is killed on the way; every record has one outcome, the JSON says so, the exit code is 0."""
    done = subprocess.run([*COMMAND, "--json"], env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert (said["lost"], said["doubled"], said["restarts"]) == (0, 0, 1)
    assert said["records"] == said["predictions"] + sum(said["dead_letters"].values())
    assert said["predictions"] == 6_000
    assert set(said["latency_ms"]) == {"p50", "p95", "p99"}
    assert said["wall_s"] > 0
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("moment", ["kafka:", "training", "starting scorer", "scored"])
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, moment: str) -> None:
    """Whatever it is doing: exit 130, no process, no folder."""
    log = tmp_path / "log"
    with log.open("wb") as output:
        demo = subprocess.Popen(COMMAND, env=environment(tmp_path), stdout=output, stderr=subprocess.STDOUT)
    until(lambda: moment in log.read_text() or demo.poll() is not None, f"the demo to say {moment}", 240)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 130, log.read_text()
    assert left_behind(tmp_path) == []
    assert not list(tmp_path.glob("tailrace-demo-*"))
    assert "Traceback" not in log.read_text(), log.read_text()
