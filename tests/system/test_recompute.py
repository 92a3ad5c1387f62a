"""`tailrace monitor recompute` on a real broker: equal to what the observer published, now and at the end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from shared.adapters.kafka.admin import KafkaAdmin
from tailrace.recompute.topics import Topics
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support.bundles import START
from tests.support.journals import BOUNDS, HOUR, WORDS
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
BURSTS, SIZE, STEP = 6, 200, 60_000
MONITORING = {"window": "2h", "hold": "3h", "slices": {**WORDS, **BOUNDS}}


@dataclass(slots=True)
class Rig:
    """A world with a label router and an observer, and the command beside it."""

    world: World
    dice: Random
    names: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start both."""
        w = self.world
        order = Order(w.folder, Endpoints(kafka=w.kafka, redis=w.redis), w.folder / "state", 1, lambda _: free_port())
        for name in ("labels", "observer"):
            (program,) = SERVICE_PROGRAMS[name](order)
            self.names[name] = program.name
            w.supervisor.start(replace(program, env={**program.env, **w.extra_env}))

    def kill_observer(self) -> None:
        """Kill -9; it is started again."""
        pid = self.world.supervisor.pid(self.names["observer"])
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.world.supervisor.pid(self.names["observer"]) not in {None, pid}, "it to be back", 60)

    def run(self, *more: str, code: int) -> subprocess.CompletedProcess[str]:
        """The command, as a user gives it."""
        state = str(self.world.folder / "state")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        argv = (sys.executable, "-m", "tailrace.cli.main", "monitor", "recompute", str(self.world.folder))
        ended = subprocess.run(
            [*argv, "--kafka", self.world.kafka, *more], env=clean | {"TAILRACE_STATE": state}, capture_output=True,
            text=True, timeout=150, check=False,
        )  # fmt: skip
        assert ended.returncode == code, ended.stdout[-3_000:] + ended.stderr[-3_000:]
        return ended

    def ends(self, name: str) -> dict[int, int]:
        """The offset after the last message of each partition."""
        full, admin = f"{self.world.spec.name}.{name}", KafkaAdmin(self.world.conf)
        return admin.offsets(full, range(self.world.spec.partitions), "end")

    def done(self) -> bool:
        """Whether the observer has committed all that the router has copied, and the router all labels."""
        for service, name in (("labels", "labels"), ("observer", "journal")):
            at = KafkaAdmin(self.world.conf).committed(
                f"tailrace.{self.world.spec.name}.{service}", f"{self.world.spec.name}.{name}",
                range(self.world.spec.partitions),
            )  # fmt: skip
            # Behind the last message there stands its transaction's marker, and perhaps that of an aborted one.
            if any(at.get(partition, (0, ""))[0] < end - 2 for partition, end in self.ends(name).items()):
                return False
        return True

    def labels(self, burst: int) -> int:
        """Send a burst's labels: some never, early, corrected, repeated, contradicting, unknown; how many."""
        made: list[tuple[str, bytes, None]] = []
        for i in range(burst * SIZE, (burst + 1) * SIZE):
            key, body, _ = at(i)
            time = json.loads(body)["at"] + self.dice.randrange(-HOUR, 3 * HOUR)
            tree: dict[str, Any] = {"id": f"r{i}", "value": self.dice.choice(["on_time", "late", True]), "time": time}
            more: list[dict[str, Any]] = [{"revision": 1, "value": "late"}, {}, {"value": "on_time"}, {"id": f"x{i}"}]
            fate = self.dice.random()
            made += [(key, json.dumps(tree).encode(), None)] * (fate > 0.2)
            made += [(key, json.dumps(tree | self.dice.choice(more)).encode(), None)] * (fate > 0.8)
        made.sort(key=lambda one: json.loads(one[1])["time"])
        self.world.send("labels", made)
        return len(made)


def at(i: int) -> tuple[str, bytes, None]:
    """Record i, a minute after the one before."""
    return record(i, at=START + i * STEP)


def last_card(rig: Rig) -> tuple[str, dict[str, Any]]:
    """The key and value of the last scorecard that was published."""
    topics = Topics(rig.world.conf, rig.world.spec.name, 30, print)
    found = list(topics.read("scorecards", 0, topics.settled()["scorecards"][0]))
    last = next(m for m in reversed(found) if b'"scorecard"' in (m.value() or b""))
    return (last.key() or b"").decode(), json.loads(last.value() or b"")


def test_recomputed_figures_equal_the_published_ones(world: Callable[..., World]) -> None:
    """Nothing committed: exit 2. While the observer works and is killed, and at the end: equal. Tampered: named."""
    seed = Random().randrange(10_000)
    print(f"seed {seed}")
    rig = Rig(world(monitoring=MONITORING), Random(seed))
    w = rig.world
    nothing = rig.run(code=2)
    assert ("", 1) == (nothing.stdout, len(nothing.stderr.splitlines()))
    assert "have committed nothing" in nothing.stderr
    w.start(1)
    rig.start()
    sent = 0
    for burst in range(BURSTS):
        w.send("records", [at(i) for i in range(burst * SIZE, (burst + 1) * SIZE)])
        until(w.all_scored((burst + 1) * SIZE), "every record of a burst to be scored", 120)
        sent += rig.labels(burst)
        if burst == BURSTS // 2:
            until(lambda: any(rig.ends("outcomes").values()), "the first outcomes", 120)
            rig.run(code=0)
            rig.kill_observer()
    until(rig.done, "router and observer at the end", 120)
    told = json.loads(rig.run("--json", code=0).stdout)
    print({name: told[name] for name in ("compared", "labels")})
    assert (True, 0, []) == (told["equal"], told["skipped"], told["differences"])
    assert (
        sent == told["labels"]["labels"] == sum(n for s, n in told["labels"].items() if s not in {"labels", "astray"})
    )
    assert {"matched", "corrected", "duplicate", "orphaned"} <= {name for name, n in told["labels"].items() if n}
    assert BURSTS * SIZE == sum(window["quality"]["n"] for window in told["windows"])
    assert told["compared"]["outcomes"] == told["labels"]["matched"] + told["labels"]["corrected"]
    for one in (window["sums"] for window in told["windows"]):
        parts = [
            sum(n for figure, n in one.items() if figure.startswith(name))
            for name in ("delays[", "confusion[", "labelled_scores[", "features.weight.", "scores[")
        ]
        assert [one["labelled"]] * 3 + [one["n"]] * 2 == parts
    key, card = last_card(rig)
    card["sums"]["n"] += 1
    w.send("scorecards", [(key, json.dumps(card).encode(), None)])
    lines = rig.run(code=1).stdout.splitlines()
    assert f", n: published {card['sums']['n']}, recomputed {card['sums']['n'] - 1}" in lines[-2]
    assert lines[-1].startswith("1 differ:")


def test_absent_topics_are_one_line(world: Callable[..., World]) -> None:
    """A pipeline whose topics were never made: the topic and the command that makes it, exit 2."""
    w = world()
    other = w.folder.parent / "never_made"
    w.folder.rename(other)
    file = other / "pipeline.yaml"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": "never_made"}))
    w.folder = other
    ended = Rig(w, Random(1)).run(code=2)
    assert ("", "tailrace: topic never_made.journal does not exist; run `tailrace topics apply never_made`\n") == (
        ended.stdout,
        ended.stderr,
    )
