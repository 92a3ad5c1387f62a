"""`tailrace verify` at a reduced size: what holds holds, and what is planted is found."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.wait import until

pytestmark = pytest.mark.system
COMMAND = "from tailrace.entry import main; main()"
LANES = 3  # runs at a time: they wait for most of their time
FEATURES = ("weight", "volume", "stops")
START = 1_700_000_000_000
INVARIANTS = {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I12", "I17"}
SHORT = {"SESSION_TIMEOUT": "2", "TRANSACTION_TIMEOUT": "4", "CALL_TIMEOUT": "3"}
RECORDS = 2_500


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and the one object that it printed."""

    code: int
    said: dict[str, Any]
    progress: str


def write_pipeline(folder: Path) -> Path:
    """A small pipeline with a history of its own: no look-ups, a linear model."""
    home = folder / "crates"
    home.mkdir()
    dice = random.Random(7)
    with (home / "records.csv").open("w", newline="") as file, (home / "labels.jsonl").open("w") as labels:
        writer = csv.writer(file)
        writer.writerow(["id", "depot", "at", *FEATURES])
        for i in range(3_000):
            values = [round(dice.gauss(0, 1), 3) for _ in FEATURES]
            writer.writerow([f"c{i}", f"depot-{i % 40}", START + i * 60_000, *values])
            late = "late" if values[0] + dice.gauss(0, 1) > 0 else "on_time"
            labels.write(json.dumps({"id": f"c{i}", "value": late, "time": START + i * 60_000 + 500}) + "\n")
    fields = {"id": {"type": "string"}, "depot": {"type": "string"}, "at": {"type": "timestamp"}}
    tree = {
        "schema": 1,
        "name": "crates",
        "task": "binary",
        "record": {"id": "id", "key": "depot", "event_time": "at", "fields": {
            **fields, **{name: {"type": "number"} for name in FEATURES},
        }},
        "features": [{"name": name} for name in FEATURES],
        "labels": {"horizon": "1h", "classes": ["on_time", "late"], "positive": "late"},
        "model": {"estimator": "sklearn.linear_model.LogisticRegression"},
        "history": {"records": "records.csv", "labels": "labels.jsonl"},
        "partitions": 4,
    }  # fmt: skip
    (home / "pipeline.yaml").write_text(json.dumps(tree))
    return home


def environment(folder: Path) -> dict[str, str]:
    """Short time-outs, and a temporary folder of its own."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    found |= {name: os.environ[name] for name in ("TAILRACE_CACHE",) if name in os.environ}
    return found | {"TMPDIR": str(folder)} | {f"TAILRACE_LOOP__{name}": value for name, value in SHORT.items()}


def verify(pipeline: Path, folder: Path, case: str, *options: str) -> Ended:
    """Run one command to its end."""
    folder.mkdir()
    argv = [sys.executable, "-c", COMMAND, "verify", case, str(pipeline), "--json", *options]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment(folder), check=False, timeout=300)
    assert done.returncode in {0, 1}, done.stderr
    assert done.stdout, done.stderr
    assert list(folder.glob("tailrace-*")) == []
    return Ended(done.returncode, json.loads(done.stdout), done.stderr)


def interrupt(pipeline: Path, folder: Path) -> Ended:
    """Begin a long run, and send SIGINT once records flow; what is left of it."""
    folder.mkdir()
    argv = [sys.executable, "-c", COMMAND, "verify", "delivery", str(pipeline), "--records", "20000"]
    log = folder.with_suffix(".log")
    with log.open("w") as file:
        started = subprocess.Popen(argv, stdout=file, stderr=file, env=environment(folder), start_new_session=True)
    until(lambda: "s of faults" in log.read_text() or started.poll() is not None, "records to flow", 120)
    before = bool(left(folder))
    started.send_signal(signal.SIGINT)
    code = started.wait(60)
    deadline = time.monotonic() + 5
    until(lambda: not left(folder) or time.monotonic() > deadline, "the last processes to go", 10)
    files = [path.name for path in folder.glob("tailrace-*")]
    return Ended(code, {"before": before, "processes": left(folder), "files": files}, log.read_text())


def left(folder: Path) -> list[str]:
    """Processes that name a folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = process.read_bytes()
        except OSError:
            continue  # it ended just now
        if os.fsencode(folder) in said:
            found.append(said.decode(errors="replace"))
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Ended]]:
    """All commands, begun at once, two at a time; gives the end of one."""
    home = tmp_path_factory.mktemp("verify")
    pipeline = write_pipeline(home)
    faults = ("--records", str(RECORDS), "--kills", "2", "--freezes", "1", "--broker-kills", "1", "--seed", "5")
    control = ("--records", "1200", "--kills", "2", "--freezes", "0", "--broker-kills", "0")
    few = ("--rollouts", "5", "--calm", "2", "--kills", "1", "--freezes", "0", "--moves", "1", "--rate", "200")
    asked = {
        "faults": ("delivery", *faults),
        "control": ("delivery", *control, "--guarantee", "at_least_once"),
        "frozen": ("frozen-batch",),
        "planted": ("frozen-batch", "--planted"),
        "rollout": ("rollout", *few),
        "rollback": ("rollback", "--records", "20000"),
    }
    with ThreadPoolExecutor(LANES) as pool:
        begun: dict[str, Future[Ended]] = {
            name: pool.submit(verify, pipeline, home / name, case, *options) for name, (case, *options) in asked.items()
        }
        begun["interrupted"] = pool.submit(interrupt, pipeline, home / "interrupted")
        yield lambda name: begun[name].result()


def test_every_promise_holds_under_faults(runs: Callable[[str], Ended]) -> None:
    """Kills, a freeze, the broker's death, members that come and go, a rollout: no violation by any of the readers."""
    ended = runs("faults")
    said = ended.said
    assert (ended.code, said["ok"], said["n"], said["seed"]) == (0, True, RECORDS, 5), ended
    assert said["violations"] == dict.fromkeys(INVARIANTS, 0)
    assert (sum(said["kills"].values()), said["freezes"], said["broker_kills"]) == (2, 1, 1)
    assert (said["rollouts"], said["moves"], said["bound95"]) == (1, 2, 1.5)
    assert set(said["recovery_s"]) >= {"p50", "p99"}
    assert set(said["broker"]) == {"version", "cluster_id"}
    witness = said["witness"]
    assert (witness["different"], sum(witness["read"].values())) == (0, RECORDS)
    assert said["rescored"] > 0
    assert said["dead_letters"] > 0


def test_the_checker_finds_duplicates_where_there_must_be_some(runs: Callable[[str], Ended]) -> None:
    """The negative control: at least once, killed after the flush and before the commit, doubles and is found out."""
    ended = runs("control")
    assert ended.code == 1
    assert ended.said["kills"] == {"flushed": 2}
    assert ended.said["violations"]["I2"] > 0
    assert (ended.said["violations"]["I1"], ended.said["bound95"]) == (0, None)
    assert ended.said["witness"]["different"] == 0


def test_a_batch_that_outlived_its_partitions_is_refused(runs: Callable[[str], Ended]) -> None:
    """Frozen with a batch in hand, its partitions lost and won back, then woken: nothing is doubled."""
    ended = runs("frozen")
    assert (ended.code, ended.said["doubled"], ended.said["lost"]) == (0, 0, 0), ended
    assert ended.said["batch"] > 0
    assert ended.said["refused"]


def test_the_planted_bug_doubles_every_record_of_the_batch(runs: Callable[[str], Ended]) -> None:
    """Group metadata taken at the commit: the broker takes the old batch, and the checker sees each record twice."""
    ended = runs("planted")
    assert ended.code == 1
    assert ended.said["batch"] > 0
    assert ended.said["doubled_of_batch"] == ended.said["batch"]


def test_each_record_has_the_version_of_its_epoch_and_key(runs: Callable[[str], Ended]) -> None:
    """Swaps and canaries, a controller cut short, a kill, forged barriers: every record by the version it must have."""
    ended = runs("rollout")
    said = ended.said
    promised = INVARIANTS | {"V1", "V2", "V3", "V4", "V5"}
    assert (ended.code, said["ok"]) == (0, True), ended
    assert said["violations"] == dict.fromkeys(promised, 0)
    assert (said["rollouts"], said["kills"], said["moves"]) == (5, 1, 2)
    assert sum(said["by_version"].values()) + said["noise"].get("forged", 0) <= said["n"]
    assert set(said["by_version"]) == {"1", "2"}
    assert len(said["swap_ms"]) == 2
    assert {one["kind"]: one["refused"] for one in said["refusals"]} == dict.fromkeys(
        ("corrupt", "mis-signed", "wrong-shaped", "not-a-number", "slow"), 2
    )


def test_a_withdrawn_version_ends_though_a_worker_is_frozen(runs: Callable[[str], Ended]) -> None:
    """A backlog waits, one worker holds a batch and sleeps: the version ends at once, nothing is lost or doubled."""
    ended = runs("rollback")
    said = ended.said
    assert (said["lost"], said["doubled"], said["late"], said["n"]) == (0, 0, 0, 22_000), ended
    assert said["withdrawn"] > 0


def test_an_interrupted_run_leaves_nothing(runs: Callable[[str], Ended]) -> None:
    """Ctrl-C while records flow: exit code 130, no process and no file is left."""
    ended = runs("interrupted")
    assert (ended.code, ended.said) == (130, {"before": True, "processes": [], "files": []}), ended.progress
