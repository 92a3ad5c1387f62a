"""`tailrace monitor status` and `report` on a real broker: what was committed, and nothing else, whoever lives."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from shared.core.topics import TopicName
from tailrace.monitor.status import Status
from tests.support.pictures import Past
from tests.support.wait import until
from tests.support.world import World

pytestmark = pytest.mark.system
GOAL = {"monitoring": {"goal": {"auc": 0.5}}}


def command(w: World, *words: str) -> tuple[list[str], dict[str, str]]:
    """The command line and environment of a user who stands beside the pipeline."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    argv = [sys.executable, "-m", "tailrace.cli.main", "monitor", words[0], str(w.folder), "--kafka", w.kafka]
    return [*argv, *words[1:]], clean | {"TAILRACE_STATE": str(w.folder / "state")}


def run(w: World, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    argv, env = command(w, *words)
    ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == code, ended.stdout[-3_000:] + ended.stderr[-3_000:]
    return ended


def status(w: World, *words: str, code: int = 0) -> Status:
    """The answers as a program gets them."""
    return msgspec.json.decode(run(w, "status", "--json", *words, code=code).stdout, type=Status)


def produce(w: World, values: Iterable[tuple[TopicName, bytes]], *, commit: bool) -> None:
    """Publish as the observers and the analyst do: in a transaction, committed or aborted."""
    producer = Producer({**w.conf, "transactional.id": f"{w.spec.name}-picture", "linger.ms": 5})
    producer.init_transactions(30)
    producer.begin_transaction()
    for i, (name, value) in enumerate(values):
        producer.produce(f"{w.spec.name}.{name}", value, f"{i}")
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def past(w: World, seed: int) -> Past:
    """A past of the version in force."""
    return Past(seed=seed, sections={"name": w.spec.name, **GOAL})


def test_the_picture_is_of_what_was_committed(world: Callable[..., World], tmp_path: Path) -> None:
    """Unknown at first; then the figures of committed cards alone, an alarm for scripts, and a page of its own."""
    w = world(**GOAL)
    nothing = status(w)
    assert ("unknown", "1", None) == (nothing.state, nothing.version, nothing.quality.window)

    produce(w, past(w, 1).days(0, 12, "1", worse=0.4).sent, commit=False)
    good = past(w, 2).days(0, 12, "1")
    produce(w, good.sent, commit=True)
    produce(w, past(w, 3).days(10, 20, "1", worse=0.4).sent, commit=False)
    found = status(w)

    here = good.picture().front
    assert here is not None
    assert here.quality is not None
    assert {one.figure: one.value for one in found.quality.figures} == {
        name: one.value for name, one in here.quality.figures.items()
    }
    assert found.working.labels["labels"] == 12 * 600
    assert found.working.analyst is None
    assert not any("no reference" in problem for problem in found.working.problems)

    produce(w, good.says("auc", "quality", "alarm", 11, "1").sent[-1:], commit=True)
    assert [(one.metric, one.said) for one in status(w, "--fail-on", "alarm", code=1).todo if one.metric == "auc"] == [
        ("auc", True)
    ]
    page = tmp_path / "report.html"
    assert run(w, "report", "-o", str(page)).stdout == f"{page}\n"
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") > 5
    assert "http:" not in text
    assert "https:" not in text


def test_watching_ends_with_ctrl_c(world: Callable[..., World], tmp_path: Path) -> None:
    """One picture after the other, the second with what was published meanwhile; Ctrl-C is 130, without a trace."""
    w = world(**GOAL)
    argv, env = command(w, "status", "--watch", "--every", "0.5")
    out = tmp_path / "out"
    with out.open("w") as file:
        process = subprocess.Popen(argv, env={**env, "PYTHONUNBUFFERED": "1"}, stdout=file, stderr=subprocess.PIPE)
        try:
            until(lambda: "What should I do?" in out.read_text(), "the first picture", 60)
            produce(w, past(w, 4).days(0, 12, "1").sent, commit=True)
            until(lambda: "7,200 read" in out.read_text(), "a picture of what came", 60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in said.decode()) == (130, False)


def test_what_a_user_gets_wrong_is_one_line(world: Callable[..., World], tmp_path: Path) -> None:
    """Topics that were never made, a page that cannot be written, options that do not go together: exit 2."""
    w = world()
    both = run(w, "status", "--watch", "--json", code=2)
    nowhere = run(w, "report", "-o", str(tmp_path / "no" / "report.html"), code=2)
    other = w.folder.parent / "never_made"
    w.folder.rename(other)
    file = other / "pipeline.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": "never_made"}))
    w.folder = other
    absent = run(w, "status", code=2)

    for ended, words in (
        (both, "--watch and --json"),
        (nowhere, "report.html: No such file"),
        (absent, "topics apply"),
    ):
        assert (ended.stdout, len(ended.stderr.splitlines())) == ("", 1)
        assert words in ended.stderr
