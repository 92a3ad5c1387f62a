"""The archiver on a real broker: every committed outcome in exactly one row, whatever is killed, frozen or erased."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer

from services.retrainer.archive.store import Archive
from services.retrainer.archived import load_archived
from services.retrainer.dataset import load_dataset
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.ranges import RangeReader
from shared.adapters.parquet import values
from shared.adapters.tables import read_rows
from shared.core.codec import RecordCodec
from shared.core.errors import Unavailable
from shared.core.features import FeatureBuilder, learn_columns
from shared.core.topics import topic
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.program import Program
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support.archives import T0, outcome, rows
from tests.support.bundles import START, write_history
from tests.support.scored import producible
from tests.support.wait import until
from tests.support.world import World

pytestmark = pytest.mark.system
SPAN, SCORED = 50, 150
KILLS = ("written 2", "renamed 4", "range 2")
Row = tuple[int, int]


@dataclass
class Rig:
    """A pipeline whose outcomes come from the test, and its archivers."""

    world: World
    dice: Random
    sent: int = 0

    def __post_init__(self) -> None:
        self.plan = self.world.folder / "plan"
        self.url = (self.world.folder / "archive").as_uri()
        self.archive = Archive(self.url, self.world.spec.name)
        self.topic = topic(self.world.spec.name, "outcomes")

    def program(self, slot: int) -> Program:
        """One archiver; slot 0 dies by the plan."""
        w = self.world
        order = Order(w.folder, Endpoints(kafka=w.kafka, redis=w.redis), w.folder / "state", 1, lambda _: free_port())
        (one,) = SERVICE_PROGRAMS["archiver"](order)
        module = {"services.retrainer.archive.main": "tests.support.killed_archiver"}
        argv = (*(module.get(word, word) for word in one.argv), str(self.plan)) if slot == 0 else one.argv
        env = {
            "TAILRACE_ARCHIVE__URL": self.url,
            "TAILRACE_ARCHIVE__RANGE": str(SPAN),
            "TAILRACE_ARCHIVE__FLUSH": "0.5",
            "TAILRACE_KAFKA__STATIC_MEMBERSHIP": "true",
            "TAILRACE_WORKER__SLOT": str(slot),
            "TAILRACE_HTTP__PORT": str(free_port()),
        }
        return replace(one, name=f"{one.name}-{slot}", argv=argv, env={**one.env, **w.extra_env, **env})

    def send(self, n: int) -> None:
        """Outcomes in transactions, some of them aborted, as an observer writes them."""
        producer = Producer({**self.world.conf, "transactional.id": f"{self.world.spec.name}.observer"})
        producer.init_transactions(30)
        for first in range(self.sent, self.sent + n, 25):
            producer.begin_transaction()
            for i in range(first, min(first + 25, self.sent + n)):
                value = outcome(self.world.spec, i, self.dice, time=T0 + i * 120_000)
                producer.produce(self.topic, value, b"k", partition=i % self.world.spec.partitions)
            producer.flush()
            if self.dice.random() < 0.2:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
        self.sent += n

    def log(self) -> list[Row]:
        """Every committed outcome, by partition and offset."""
        reader, found = RangeReader(self.world.conf, self.topic, 30), list[Row]()
        with closing(GroupPositions(self.world.conf, "nobody", self.topic)) as asked:
            ends = asked.ends()
        for partition, end in ends.items():
            for chunk in reader.read(partition, 0, end) if end else ():
                found += [(partition, message.offset()) for message in chunk]
        return sorted(found)

    def settled(self) -> Callable[[], bool]:
        """A condition: everything that is committed now is in some file."""
        wanted = set(self.log())
        return lambda: wanted <= set(rows(self.archive))

    def signal(self, slot: int, number: signal.Signals) -> None:
        """Send a signal to an archiver."""
        pid = self.world.supervisor.pid(f"archiver-{self.world.folder.name}-{slot}")
        assert pid is not None
        os.kill(pid, number)

    def check(self) -> None:
        """Complete ranges: each outcome in exactly one row; with the tails: nothing more and nothing less."""
        wanted = self.log()
        until(self.settled(), "every outcome to be archived", 60)
        complete = rows(self.archive, tails=False)
        assert [] == [row for row, n in Counter(complete).items() if n > 1]
        assert set(wanted) == set(rows(self.archive))
        ends = {p: max(offset for partition, offset in wanted if partition == p) // SPAN * SPAN for p, _ in wanted}
        assert {(p, offset) for p, offset in wanted if offset < ends[p]} <= set(complete)
        print(f"{len(wanted)} outcomes, {len(complete)} of them in {len(self.archive.files())} files of days")


def test_each_outcome_is_archived_once_whatever_dies(world: Callable[..., World]) -> None:
    """Killed before a rename, after it, before the commit; frozen beside a twin; aborted writes; an erasure."""
    seed = Random().randrange(10_000)
    print(f"seed {seed}")
    rig = Rig(world(announced=False), Random(seed))
    rig.plan.write_text("\n".join(KILLS))
    rig.world.supervisor.start(rig.program(0))
    for _ in KILLS:
        rig.send(400)
    until(lambda: not rig.plan.read_text(), "all kills", 90)
    rig.check()
    assert rig.world.restarts() >= len(KILLS)
    rig.world.supervisor.start(rig.program(1))
    rig.send(400)
    until(rig.settled(), "two archivers", 60)
    rig.signal(0, signal.SIGSTOP)
    rig.send(400)
    until(rig.settled(), "the twin alone", 60)
    rig.signal(0, signal.SIGCONT)
    rig.send(400)
    rig.check()
    _erase(rig)
    _trained(rig)


def test_training_reads_what_was_scored(world: Callable[..., World], redis_url: str, tmp_path: Path) -> None:
    """Scorer, feature writer, label router, observer, archiver: the archive gives the matrix of the history's files."""
    # All records come at once, after all weather and before all labels: both are kept for as long as that.
    made = {"horizon": "7d", "classes": ["on_time", "late"], "positive": "late"}
    kept = {"key": "depot", "fields": {"wind": "number"}, "max_age": "12h", "keep": "20d", "max_versions": SCORED}
    w = world(redis=redis_url, labels=made, lookups={"weather": kept})
    files = write_history(tmp_path, n=SCORED)
    rows_of = [list(read_rows(path)) for path in (files.features, files.records, files.labels) if path]
    updates, records, labels = rows_of
    w.start_features()
    order = Order(w.folder, Endpoints(kafka=w.kafka, redis=w.redis), w.folder / "state", 1, lambda _: free_port())
    programs = [one for name in ("labels", "observer", "archiver") for one in SERVICE_PROGRAMS[name](order)]
    w.supervisor.start(
        *(replace(one, env={**one.env, **w.extra_env, "TAILRACE_ARCHIVE__FLUSH": "1"}) for one in programs)
    )
    w.send("features", [(f"weather:{row['entity']}", msgspec.json.encode(row), None) for row in updates])
    until(_beyond(w, "features", "features"), "features in the cache", 60)
    w.start(1)
    typed = [msgspec.json.encode(producible(w.spec, row)) for row in records]
    w.send("records", [(row["depot"], body, None) for row, body in zip(records, typed, strict=True)])
    until(w.all_scored(SCORED), "every record to be scored", 90)
    depots = {row["id"]: row["depot"] for row in records}
    w.send("labels", [(depots[row["id"]], msgspec.json.encode(row), None) for row in labels])
    where = (w.folder / "state" / "archive").as_uri()
    archive = Archive(where, w.spec.name)
    until(lambda: len(rows(archive)) == SCORED, "every outcome to be archived", 90)
    codec, end = RecordCodec(w.spec), START + 10**12
    known = load_dataset(w.spec, codec, files, until=end, progress=print)
    found = load_archived(w.spec, codec, where, begin=None, until=end, progress=print)
    builder = FeatureBuilder(w.spec, codec, learn_columns(w.spec, codec, known.rows, known.found))
    left, right = builder.matrix(known.rows, known.found), builder.matrix(found.data.rows, found.data.found)
    np.testing.assert_array_equal(left.values, right.values)
    np.testing.assert_array_equal(known.y, found.data.y)
    assert list(known.times) == list(found.data.times)
    assert np.isfinite(left.values[:, -1]).all(), "the weather was found"


def _beyond(w: World, service: str, name: Any) -> Callable[[], bool]:
    """A condition: a service has read its topic to the end."""

    def check() -> bool:
        with closing(GroupPositions(w.conf, f"tailrace.{w.spec.name}.{service}", topic(w.spec.name, name))) as asked:
            try:
                at = asked.committed()
            except Unavailable:  # a young broker's coordinator
                return False
            return all(at.get(partition, 0) >= end for partition, end in asked.ends().items() if end)

    return check


def _erase(rig: Rig) -> None:
    """`tailrace archive erase` beside a running archiver: no row of the key stays, and none comes."""
    before = rows(rig.archive)
    command = ["archive", "erase", str(rig.world.folder), "--key", "D1", "--json"]
    looked, done = _tailrace(rig, *command), _tailrace(rig, *command, "--yes")
    assert (False, True, looked["rows"]) == (looked["applied"], done["applied"], done["rows"])
    rig.send(300)
    ends = rig.log()[-1]
    until(lambda: ends in rows(rig.archive) or _key(rig, ends) == "D1", "the archiver to go on", 60)
    assert done["rows"] > len(before) // 4
    found = [key for one in rig.archive.files() for key in values(rig.archive.table(one.name), "key")]
    assert {"D0", "D2"} == set(found)
    told = _tailrace(rig, "archive", "status", str(rig.world.folder), "--json")
    assert (1, SPAN, []) == (told["erased"], told["range"], told["unreadable"])


def _key(rig: Rig, row: Row) -> str:
    reader = RangeReader(rig.world.conf, rig.topic, 30)
    (message,) = [m for chunk in reader.read(row[0], row[1], row[1] + 1) for m in chunk]
    tree = msgspec.json.decode(message.value() or b"")
    return str(tree["observation"]["prediction"]["key"])


def _trained(rig: Rig) -> None:
    """What training reads is the archive, an id once."""
    spec, said = rig.world.spec, list[str]()
    data = load_archived(spec, RecordCodec(spec), rig.url, begin=None, until=T0 + 10**12, progress=said.append)
    assert sorted({(int(one.key[1:]) + 3) % 3 for one in data.predictions}) == [0, 2]
    assert len(set(data.ids)) == len(data) > 1_000
    assert () == data.ignored, said


def _tailrace(rig: Rig, *words: str) -> dict[str, Any]:
    env = {**os.environ, "TAILRACE_ARCHIVE__URL": rig.url, "TAILRACE_STATE": str(rig.world.folder / "state")}
    command = [str(Path(sys.executable).with_name("tailrace")), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found
