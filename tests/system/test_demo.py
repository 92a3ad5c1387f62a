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
# The monitor asks for the first retraining after a week (5,800 flights), and records may be four days ahead of it.
COMMAND = [sys.executable, "-m", "tailrace.cli.main", "demo", "--records", "12000", "--rate", "3000"]


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


@pytest.mark.timeout(900)  # a training takes its time beside other tests
def test_the_demo_retrains_swaps_and_closes_its_books(tmp_path: Path) -> None:
    """A worker is killed on the way, a model is retrained, judged and swapped in at one offset a partition."""
    page = tmp_path / "page.html"
    asked = [*COMMAND, "--json", "--report", str(page)]
    done = subprocess.run(asked, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert (said["lost"], said["doubled"], said["restarts"]) == (0, 0, 1)
    assert said["records"] == said["predictions"] + sum(said["dead_letters"].values())
    assert said["predictions"] == 12_000
    first = said["loop"]["trainings"][0]
    assert (first["trigger"], first["state"], first["version"]) == ("schedule", "done", "2"), first
    swap = next(one for one in said["loop"]["changes"] if one["version"] == "2")
    assert (swap["mode"], swap["state"], sorted(swap["offsets"])) == ("champion", "active", ["0", "1", "2", "3"])
    assert set(said["versions"]) >= {"1", "2"}
    assert "Which version scored" in page.read_text()
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
