"""`tailrace verify monitor` at a reduced size: what holds holds, what is planted is found, Ctrl-C leaves nothing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.wait import until
from tests.system.test_verify import COMMAND, Ended, environment, left, verify, write_pipeline

pytestmark = pytest.mark.system
RECORDS = 2_000
CHECKS = {"I5", "I13", "accounts", "outcomes", "closed", "letters", "I17", "figures", "requests"}
SOURCES = ["journal", "checkpoint", "disk"]


def interrupt(pipeline: Path, folder: Path) -> Ended:
    """Begin a long run, and send SIGINT once predictions flow; what is left of it."""
    folder.mkdir()
    argv = [sys.executable, "-c", COMMAND, "verify", "monitor", str(pipeline), "--records", "20000"]
    log = folder.with_suffix(".log")
    with log.open("w") as file:
        started = subprocess.Popen(argv, stdout=file, stderr=file, env=environment(folder), start_new_session=True)
    until(lambda: "s of faults" in log.read_text() or started.poll() is not None, "predictions to flow", 180)
    before = bool(left(folder))
    started.send_signal(signal.SIGINT)
    code = started.wait(60)
    deadline = time.monotonic() + 5
    until(lambda: not left(folder) or time.monotonic() > deadline, "the last processes to go", 10)
    files = [path.name for path in folder.glob("tailrace-*")]
    return Ended(code, {"before": before, "processes": left(folder), "files": files}, log.read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Ended]]:
    """All commands, two at a time; gives the end of one."""
    home = tmp_path_factory.mktemp("monitor")
    pipeline = write_pipeline(home)
    faults = ("--records", str(RECORDS), "--observer-kills", "3", "--analyst-kills", "1", "--seed", "5")
    control = ("--records", "1000", "--observer-kills", "0", "--analyst-kills", "0", "--planted")
    with ThreadPoolExecutor(2) as pool:
        begun: dict[str, Future[Ended]] = {
            "faults": pool.submit(verify, pipeline, home / "faults", "monitor", *faults),
            "altered": pool.submit(verify, pipeline, home / "altered", "monitor", *control, "altered"),
            "drop": pool.submit(verify, pipeline, home / "drop", "monitor", *control, "drop"),
            "interrupted": pool.submit(interrupt, pipeline, home / "interrupted"),
        }
        yield lambda name: begun[name].result()


def test_every_figure_is_right_whatever_dies(runs: Callable[[str], Ended]) -> None:
    """I13: observers and analyst killed, a disk lost, a freeze, a rebalance: no check finds anything."""
    ended = runs("faults")
    said = ended.said
    print(json.dumps(said, indent=1))
    assert (ended.code, said["ok"], said["n"], said["seed"]) == (0, True, RECORDS, 5), ended
    assert dict.fromkeys(CHECKS, 0) == said["violations"]
    struck = {"kill": 3, "analyst": 1, "freeze": 1, "join": 1, "leave": 1}
    assert struck == said["faults"]
    assert 0.2 < said["transactions"]["aborted"] / sum(said["transactions"].values()) < 0.4
    assert all(said["entries"][name] for name in ("matched", "late", "orphaned", "duplicate", "repeated", "refused"))
    assert SOURCES == [one["source"] for one in said["recovery"]]
    assert said["recovery"][0]["records"] > said["recovery"][1]["records"]
    assert said["analyst"]["windows"] > 0
    assert said["bound95"] == 0.75


@pytest.mark.parametrize(("bug", "check"), [("altered", "I13"), ("drop", "accounts")])
def test_what_is_planted_is_found(runs: Callable[[str], Ended], bug: str, check: str) -> None:
    """The negative control: a forged scorecard and an observer that misses labels; exit code 1, and named."""
    ended = runs(bug)
    assert (ended.code, ended.said["ok"], ended.said["bound95"]) == (1, False, None)
    assert ended.said["violations"][check] > 0
    assert any(text.startswith(check) for text in ended.said["examples"])
    assert (ended.said["violations"]["I5"], ended.said["violations"]["closed"]) == (0, 0)


def test_an_interrupted_run_leaves_nothing(runs: Callable[[str], Ended]) -> None:
    """Ctrl-C while predictions flow: exit code 130, no process and no file is left."""
    ended = runs("interrupted")
    assert (ended.code, ended.said) == (130, {"before": True, "processes": [], "files": []}), ended.progress
