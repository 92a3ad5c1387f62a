"""Aggregates on a real broker and Redis: what a record sees live is what training computed, value by value."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from services.ingest.replay.main import Options, replay
from services.retrainer.dataset import Dataset, Files, load_dataset
from shared.adapters.history import HistoryFiles
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.table import TableReader
from shared.adapters.redis_features import RedisAddress, RedisReader
from shared.core.asof import HistoryLookups
from shared.core.codec import RecordCodec
from shared.core.metrics import NullMetrics
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.ports import Found, Lookups
from shared.core.records import FeatureUpdate
from shared.core.topics import TopicName, topic
from shared.runtime.breaker import Breaker
from shared.runtime.cache import FeatureCache
from shared.runtime.clock import SystemClock
from shared.runtime.settings import KafkaSettings
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.program import Program
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.topics import ensure_topics
from tests.support.spec import make_tree
from tests.support.wait import until

pytestmark = pytest.mark.system
T0, MINUTE, RECORDS = 1_767_225_600_000, 60_000, 6_000
SPANS = {"max_age": "60d", "keep": "60d", "late": "2d"}
LOOKUPS = {
    # Of one depot all records stand in one partition of `records`; of one carrier they stand in all of them.
    "past": {
        "key": "depot",
        "aggregates": {
            "n": {"take": "count", "over": "1d"},
            "n_hour": {"take": "count", "over": "1h"},
            "weight": {"take": "mean", "of": "weight", "over": "12h"},
            "stops": {"take": "last", "of": "stops", "over": "2h"},
            "idle": {"take": "time_since", "over": "1d"},
        },
        **SPANS,
    },
    "flow": {
        "key": "carrier",
        "every": "10m",
        "aggregates": {
            "n": {"take": "count", "over": "6h"},
            "stops": {"take": "mean", "of": "stops", "over": "1d"},
            "depot": {"take": "last", "of": "depot", "over": "1d"},
        },
        **SPANS,
    },
}


@dataclass(slots=True)
class Rig:
    """A pipeline with a history in files, and its programs."""

    spec: PipelineSpec
    folder: Path
    kafka: str
    redis: str
    supervisor: Supervisor

    def programs(self) -> list[Program]:
        """Route, two folds and the feature writer."""
        order = Order(
            self.folder, Endpoints(kafka=self.kafka, redis=self.redis), self.folder / "state", 1, lambda _: free_port()
        )
        route, fold = SERVICE_PROGRAMS["aggregates"](order)
        env = {"TAILRACE_WORKER__SLOT": "1", "TAILRACE_HTTP__PORT": str(free_port())}
        second = replace(fold, name=f"{fold.name}-1", env={**fold.env, **env})
        return [route, fold, second, *SERVICE_PROGRAMS["features"](order)]

    def train(self) -> Dataset:
        """What training sees."""
        files = Files(self.folder / "records.jsonl", None, self.folder / "labels.jsonl")
        return load_dataset(self.spec, RecordCodec(self.spec), files, until=None, progress=print)

    def replay(self) -> None:
        """Send the history as fast as the broker takes it."""
        replay(
            self.spec,
            HistoryFiles(self.folder / "records.jsonl"),
            KafkaSettings(bootstrap_servers=self.kafka),
            Options(state=self.folder / "state", bad_rows="send", wait_features=False, max_lag=0, rate=1_000),
        )

    def offsets(self, service: str, name: TopicName) -> tuple[dict[int, int], dict[int, int]]:
        """What a service has committed of its topic, and where the topic ends."""
        conf, group = {"bootstrap.servers": self.kafka}, f"tailrace.{self.spec.name}.{service}"
        with closing(GroupPositions(conf, group, topic(self.spec.name, name))) as asked:
            return asked.committed(), asked.ends()

    def done(self, service: str, name: TopicName, markers: int) -> Callable[[], bool]:
        """A condition: the service has read its topic, but for the marker behind each partition's last transaction."""

        def check() -> bool:
            committed, ends = self.offsets(service, name)
            return all(end - committed.get(p, 0) <= markers for p, end in ends.items())

        return check

    def kill(self, part: str, after: int) -> None:
        """Kill -9 a program once so many events were folded; the supervisor starts it again."""
        until(lambda: sum(self.offsets("aggregates-fold", "entities")[0].values()) >= after, f"{after} events", 90)
        name = f"aggregates-{self.folder.name}-{part}"
        until(lambda: self.supervisor.pid(name) is not None, f"a living {name}", 60)
        os.kill(self.supervisor.pid(name) or 0, signal.SIGKILL)
        print(f"killed {part} after {after} events")

    def logs(self) -> str:
        """What all programs said."""
        return "\n".join(path.read_text() for path in (self.folder / "state" / "logs").glob("*.log"))

    def updates(self) -> list[FeatureUpdate]:
        """All versions in `features`."""
        reader = TableReader({"bootstrap.servers": self.kafka}, topic(self.spec.name, "features"), 30)
        with closing(reader):
            return [msgspec.json.decode(value, type=FeatureUpdate) for value in reader.to_end()]


@pytest.fixture
def rig(tmp_path: Path, kafka: str, redis_url: str, unique: Callable[[str], str]) -> Iterator[Rig]:
    """A world of its own."""
    name = unique("kept").replace("-", "_")
    folder = tmp_path / name
    folder.mkdir()
    tree = make_tree() | {"name": name, "lookups": LOOKUPS, "features": [{"name": "weight"}]}
    tree["record"]["fields"]["depot"] = {"type": "string"}
    (folder / "pipeline.yaml").write_text(json.dumps(tree))
    spec = decode(tree, name)
    history(folder)
    ensure_topics(KafkaAdmin({"bootstrap.servers": kafka}), spec)
    with Supervisor(folder / "state" / "logs") as supervisor:
        yield Rig(spec, folder, kafka, redis_url, supervisor)


def history(folder: Path) -> None:
    """Twenty days of parcels: uneven depots, absent values, equal moments, repeats, and rows that are refused."""
    random = Random(11)
    with (folder / "records.jsonl").open("w") as records, (folder / "labels.jsonl").open("w") as labels:
        for i in range(RECORDS):
            at = T0 + i // 3 * 3 * 5 * MINUTE + random.randrange(3) * 1_000
            row: dict[str, Any] = {
                "id": f"r{i}",
                "depot": f"D{int(random.expovariate(0.1))}",
                "at": at,
                "weight": random.lognormvariate(1, 2),
                "carrier": random.choice("AABBBC"),
            }
            row |= {"stops": random.randrange(20)} if random.random() < 0.7 else {}
            row |= {"weight": "heavy"} if i % 500 == 77 else {}
            for _ in range(2 if i % 200 == 5 else 1):
                records.write(json.dumps(row) + "\n")
            labels.write(json.dumps({"id": f"r{i}", "value": "late", "time": at + MINUTE}) + "\n")


def test_live_values_are_trainings_values(rig: Rig) -> None:
    """A replay with folds killed on the way: for every record and group, topic and Redis give what training has."""
    rig.supervisor.start(*rig.programs())
    until(lambda: rig.logs().count('"assigned"') >= 4, "four members that own something", 60)
    sending = threading.Thread(target=rig.replay)
    sending.start()
    for part, after in (("fold", 1_500), ("fold-1", 4_000), ("route", 5_000), ("fold", 7_000)):
        rig.kill(part, after)
    sending.join(120)
    until(rig.done("aggregates-route", "records", 0), "the route at the end of records", 90)
    until(rig.done("aggregates-fold", "entities", 1), "the folds at the end of entities", 90)
    until(rig.done("features", "features", 1), "the feature writer at the end of features", 90)
    trained, updates = rig.train(), rig.updates()
    again = sum(json.loads(line)["records"] for line in rig.logs().splitlines() if '"memory rebuilt"' in line)
    print(f"{len(trained)} records, {len(updates)} versions sent, {again} events read again by folds that came back")
    assert again > 0, "no fold had to read its past"
    assert "events lost" not in rig.logs()
    seen: dict[str, Lookups] = {"features": HistoryLookups(updates, rig.spec.lookups), "redis": cache(rig)}
    for where, lookups in seen.items():
        print(f"{where}: {compared(rig, trained, lookups)} values are equal")


def cache(rig: Rig) -> FeatureCache:
    """Redis as a scorer reads it, without memory of its own."""
    clock, metrics = SystemClock(), NullMetrics()
    reader = RedisReader(RedisAddress(rig.redis))
    return FeatureCache(
        reader, rig.spec.lookups, rig.spec.name, clock, metrics,
        local_max_age=0.0, timeout=30.0, breaker=Breaker(3, 0.1, clock, metrics), local_size=0,
    )  # fmt: skip


def compared(rig: Rig, trained: Dataset, lookups: Lookups) -> int:
    """How many values are the same to the bit, ages and causes included; fails at the first that is not."""
    codec, same = RecordCodec(rig.spec), 0
    gets = {group: codec.getter(lookup.key) for group, lookup in rig.spec.lookups.items()}
    for start in range(0, len(trained), 500):
        chunk = range(start, min(start + 500, len(trained)))
        entities = {group: [get(trained.rows[i]) for i in chunk] for group, get in gets.items()}
        found = lookups.get_many(entities, [int(trained.times[i]) for i in chunk])
        for j, i in enumerate(chunk):
            for group in gets:
                wanted, got = of(trained.found, group, i), of(found, group, j)
                assert repr(wanted) == repr(got), f"{group} of {trained.rows[i]}"
                same += len(wanted[0] or ())
    assert same > 8 * len(trained) * 0.9
    return same


def of(found: Found, group: str, i: int) -> tuple[Mapping[str, Any] | None, float | None, str]:
    """Values, age and cause of one record."""
    return found.values[group][i], found.ages[group][i], found.causes[group][i]
