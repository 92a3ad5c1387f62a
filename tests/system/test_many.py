"""Several pipelines on one broker, one Redis, one registry: each has its own, and what befalls one is its own too."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.records import FeatureUpdate
from shared.core.topics import WantedTopic
from tailrace.proof.audit import audit
from tailrace.stack.topics import ensure_topics
from tests.support.bundles import START, write_history
from tests.support.spec import make_tree
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
N = 2_000
DEPOTS = 97
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def four(world: Callable[..., World], redis_url: str) -> list[World]:
    """Four pipelines of three tasks with the same group, entities and slots, side by side; the third has no model."""
    limit = {"dead_letters": {"in_a_row": 50, "share": 0.5, "window": 200}}
    tasks = ("binary", "multiclass", "regression", "binary")
    made = [world(redis=redis_url, task=task, delivery=limit, announced=i != 2) for i, task in enumerate(tasks)]
    for number, one in enumerate(made):
        one.start(2)
        one.start_features()
        winds = [FeatureUpdate("weather", f"depot-{d}", START - 60_000, {"wind": float(number)}) for d in range(DEPOTS)]
        one.send("features", [(f"weather:{u.entity}", msgspec.json.encode(u), None) for u in winds])
    cache = redis.Redis.from_url(redis_url)
    for one in made:
        until(lambda name=one.spec.name: len(keys(cache, name)) == DEPOTS, "the features", 60)  # type: ignore[misc] # mypy and defaults
    return made


def keys(cache: Any, pipeline: str) -> list[bytes]:
    """The keys of entities that name a pipeline anywhere."""
    return [key for key in cache.scan_iter(f"*{pipeline}*", 1_000) if b"~filled" not in key]


def send(one: World, first: int) -> None:
    """N more records, whose ids say whose they are."""
    name = one.spec.name
    one.send("records", [record(i, id=f"{name}-{i}") for i in range(first, first + N)])


def test_four_side_by_side(four: list[World], redis_url: str) -> None:
    """One loses all its workers, one is poisoned, one has no model for long: each record has its one own outcome."""
    killed, poisoned, late, sound = four
    for one in four:
        send(one, 0)
    for one in (killed, poisoned, sound):
        until(one.all_scored(N), f"the first records of {one.spec.name}", 90)
    account = late.account()
    assert (account.records, account.predictions, account.lost) == (N, 0, N)

    for slot in range(2):
        os.kill(killed.pid(slot), signal.SIGKILL)
    poisoned.send("records", [("depot-1", b"garbage", None) for _ in range(500)])
    for one in four:
        send(one, N)
    until(sound.all_scored(2 * N), "the sound one", 60)
    until(lambda: any(beat.get("stopped") for beat in poisoned.values("workers")), "a stopped partition", 60)
    until(killed.all_scored(2 * N), "the killed one", 90)
    late.announce("1", 1, "active")
    until(late.all_scored(2 * N), "the late one", 90)

    account = poisoned.account()
    assert (account.doubled, account.stray) == (0, 0)
    assert 0 < account.lost < 500 + N
    assert account.predictions > N
    assert sum(account.dead_letters.values()) <= 50
    restarts = [one.restarts() for one in four]
    assert (restarts[0] >= 2, restarts[1:]) == (True, [0, 0, 0]), "\n".join(one.logs() for one in four)
    for one in (killed, late, sound):
        assert one.account().ok
        assert one.account().dead_letters == {}
    nothing_foreign(four, redis_url)


def nothing_foreign(four: list[World], redis_url: str) -> None:
    """Ids, models, features, cache keys, groups and topics of each pipeline are its own."""
    admin, cache = AdminClient(four[0].conf), redis.Redis.from_url(redis_url)
    groups = [group.group_id for group in admin.list_consumer_groups().result().valid]
    for number, one in enumerate(four):
        name = one.spec.name
        made = one.values("predictions")
        assert {prediction["id"].rpartition("-")[0] for prediction in made} == {name}
        assert {prediction["digest"] for prediction in made} == {one.versions["1"].digest[:16]}
        seen = [observation["lookups"]["weather"] for observation in one.values("journal") if "lookups" in observation]
        assert {None if wind is None else wind["wind"] for wind in seen} == {float(number)}
        assert {key.split(b":", 2)[1] for key in keys(cache, name)} == {f"{{{name}}}".encode()}
        own = [group for group in groups if name in group]
        assert sorted(own) == [f"tailrace.{name}.features", f"tailrace.{name}.scorer"]
        asked = [ConsumerGroupTopicPartitions(group) for group in own]
        read = {
            part.topic
            for each in asked
            for part in admin.list_consumer_group_offsets([each])[each.group_id].result().topic_partitions
        }
        assert read == {f"{name}.features", f"{name}.records"}


@pytest.fixture
def tailrace(tmp_path: Path, kafka: str, redis_url: str, mlflow_url: str) -> Iterator[Run]:
    """Run a command of `tailrace` on a state folder of this test, with the session's servers."""
    environ = {
        **os.environ,
        "TAILRACE_STATE": str(tmp_path / "state"),
        "TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "TAILRACE_REDIS__URL": redis_url,
        "TAILRACE_MLFLOW__URL": mlflow_url,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "-m", "tailrace.cli.main", *arguments)
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=240, check=False)

    yield run
    run("down")


def folder(home: Path, name: str, *, history: bool) -> Path:
    """A pipeline of parcels in a folder, with or without the history that its file declares."""
    made = home / name
    made.mkdir(parents=True)
    files = {"records": "records.csv", "features": "features.jsonl", "labels": "labels.jsonl"}
    (made / "pipeline.yaml").write_text(json.dumps(make_tree() | {"name": name, "history": files}))
    if history:
        write_history(made)
    return made


def test_up_runs_those_that_can(tmp_path: Path, tailrace: Run, kafka: str, unique: Callable[[str], str]) -> None:
    """One trains and scores; one that cannot be trained waits, one with wrong topics is left out: each says why."""
    names = [unique(stem).replace("-", "_") for stem in ("good", "empty", "wrong")]
    folders = [folder(tmp_path, name, history=name == names[0]) for name in names]
    conf = {"bootstrap.servers": kafka}
    topic = f"{names[2]}.records"
    KafkaAdmin(conf).create([WantedTopic(topic, 1, 1)])

    up = tailrace("up", "--pipelines", ",".join(map(str, folders)), "--workers", "1", "--train", "--detach")
    assert up.returncode == 0, up.stderr
    status = json.loads(tailrace("status", "--json").stdout)
    parts = {part["name"]: part for part in status["parts"]}
    assert parts[f"scorer-{names[0]}-0"]["ok"], up.stderr
    assert f"{names[1]} has no model: " in up.stderr
    assert f"records.csv: no such file; check history.records in pipeline.yaml; see {tmp_path}" in up.stderr
    assert (parts[names[2]]["state"], parts[names[2]]["ok"], status["ok"]) == ("left out", False, False)
    assert f"{topic} has 1 partitions" in parts[names[2]]["last_exit"]
    assert {part["pipeline"] for part in status["parts"]} == {"", *names}
    assert all(f"{name} " in up.stderr.partition("memory: servers ")[2] for name in names)

    spec = load_pipeline(folders[0]).spec
    assert ensure_topics(KafkaAdmin(conf), spec).work == ()
    w = World(spec, folders[0], kafka, "", {}, None, None)  # type: ignore[arg-type] # only to send records
    w.send("records", [record(i) for i in range(200)])
    until(lambda: audit(conf, names[0], {}, 60).predictions == 200, "the predictions", 60)
