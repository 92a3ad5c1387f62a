"""The feature writer as a process, between a real Kafka and a Redis that comes and goes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.pipeline_yaml import load_pipeline
from shared.adapters.redis_features import RedisAddress, RedisReader, RedisWriter
from shared.core.metrics import NullMetrics
from shared.core.pipeline import PipelineSpec
from shared.core.records import FeatureUpdate
from shared.core.topics import topic, wanted
from shared.core.versions import encode_version, entity_key
from shared.runtime.breaker import Breaker
from shared.runtime.cache import FeatureCache
from shared.runtime.clock import SystemClock
from tests.support.redis_server import RedisServer
from tests.support.wait import until

pytestmark = pytest.mark.system
T0 = 1_767_225_600_000


@pytest.fixture
def pipeline(tmp_path: Path, kafka: str, unique: Callable[[str], str]) -> Path:
    """The parcels pipeline in a folder of its own, under a name of its own, with its topics."""
    name = unique("parcels").replace("-", "_")
    text = Path("tests/data/parcels/pipeline.yaml").read_text(encoding="utf-8")
    folder = tmp_path / name
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(text.replace("name: parcels", f"name: {name}", 1), encoding="utf-8")
    KafkaAdmin({"bootstrap.servers": kafka}).create(wanted(load_pipeline(str(folder)).spec))
    return folder


@contextmanager
def writer(pipeline: Path, kafka: str, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process; killed at the end, if it still runs."""
    env = {
        **os.environ,
        "TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "TAILRACE_REDIS__URL": redis_url,
        "TAILRACE_STATE": str(pipeline.parent / "state"),
    }
    argv = [sys.executable, "-m", "services.ingest.features.main", str(pipeline)]
    with log_of(pipeline).open("ab") as log:
        process = subprocess.Popen(argv, env=env, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log_of(pipeline: Path) -> Path:
    """Where the process's log goes."""
    return pipeline.parent / "writer.log"


def load(depot: int, minute: int, value: float) -> FeatureUpdate:
    """A depot's load at T0 + minutes."""
    return FeatureUpdate("traffic", f"D{depot}", T0 + minute * 60_000, {"load": value, "closed": False})


def produce(kafka: str, spec: PipelineSpec, updates: Sequence[FeatureUpdate | bytes]) -> None:
    """Publish updates under their keys, and what is none under a key of its own."""
    producer = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    for update in updates:
        key = b"junk" if isinstance(update, bytes) else f"{update.group}:{update.entity}".encode()
        value = update if isinstance(update, bytes) else msgspec.json.encode(update)
        producer.produce(topic(spec.name, "features"), key=key, value=value)
    assert producer.flush(20) == 0


def committed(kafka: str, spec: PipelineSpec) -> int:
    """Records of `features` that the writer's group has committed."""
    group = f"tailrace.{spec.name}.features"
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group})  # asks only, and never joins
    try:
        partitions = [TopicPartition(topic(spec.name, "features"), p) for p in range(spec.partitions)]
        return sum(p.offset for p in consumer.committed(partitions, 10) if p.offset > 0)
    finally:
        consumer.close()


def reasons(kafka: str, spec: PipelineSpec, count: int) -> list[str]:
    """The reasons of the first `count` dead letters, sorted."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": f"{spec.name}-reader", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic(spec.name, "features.dlq")])
    letters: list[Message] = []

    def enough() -> bool:
        letters.extend(consumer.consume(count, 0.2))
        return len(letters) >= count

    try:
        until(enough, "dead letters", 30)
    finally:
        consumer.close()
    return sorted(str(dict(m.headers() or [])["tailrace-reason"], "ascii") for m in letters)  # type: ignore[arg-type]


def stored(updates: Sequence[FeatureUpdate]) -> bytes:
    """What must stand in Redis after these updates of one entity."""
    latest = {u.time: u for u in updates}
    return b"".join(encode_version(latest[at], 1) for at in sorted(latest, reverse=True))


def test_nothing_is_lost_to_crashes(pipeline: Path, kafka: str) -> None:
    """F21: with Redis away at first, a writer killed, and updates late and twice, Redis ends as the log says."""
    spec = load_pipeline(str(pipeline)).spec
    first = [load(d, m, d + m / 100) for m in range(0, 50, 2) for d in range(8)]
    late = [load(d, m, d - m / 100) for m in range(49, 0, -2) for d in range(8)] + first[-40:]
    junk = [b"{", msgspec.json.encode(load(1, 1, 1.0)), b'{"group":"traffic"}']
    reader, server = None, RedisServer()
    produce(kafka, spec, [*first, *junk])
    try:
        with writer(pipeline, kafka, server.url) as process:
            until(lambda: '"unavailable"' in log_of(pipeline).read_text("utf-8"), "a first try to write", 60)
            assert committed(kafka, spec) == 0
            server.start()
            total = len(first) + len(junk)
            until(lambda: committed(kafka, spec) == total, "the first updates", 60)
            process.kill()
        produce(kafka, spec, late)
        with writer(pipeline, kafka, server.url) as process:
            total += len(late)
            until(lambda: committed(kafka, spec) == total, "the late updates", 60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        reader = RedisReader(RedisAddress(server.url))
        values = reader.mget([entity_key(spec.name, "traffic", f"D{d}") for d in range(8)], 5.0)
        assert [stored([u for u in first + late if u.entity == f"D{d}"]) for d in range(8)] == values
        assert reasons(kafka, spec, 3) == ["key_mismatch", "not_json", "wrong_type"]
    finally:
        server.kill()


def test_wrong_login_ends_at_once(pipeline: Path, kafka: str) -> None:
    """A Redis that refuses the login ends the process with exit code 2 before it joins anything."""
    with RedisServer() as server:
        guarded = server.url.replace("redis://", "redis://nobody:wrong@")
        with writer(pipeline, kafka, guarded) as process:
            assert process.wait(30) == 2


def test_emptied_redis_is_filled_again(pipeline: Path, kafka: str) -> None:
    """F21: a Redis killed and back empty is filled from the topic without one new update; scorers degrade meanwhile."""
    spec = load_pipeline(str(pipeline)).spec
    updates = [load(d, m, d + m / 100) for m in range(20) for d in range(40)]
    keys = [entity_key(spec.name, "traffic", f"D{d}") for d in range(40)]
    expected = [stored([u for u in updates if u.entity == f"D{d}"]) for d in range(40)]
    produce(kafka, spec, updates)
    with RedisServer() as server, writer(pipeline, kafka, server.url) as process:
        until(lambda: committed(kafka, spec) == len(updates), "the updates", 60)
        reader, lookups = RedisReader(RedisAddress(server.url)), scorer_view(spec, server.url)
        assert expected == reader.mget(keys, 5.0)
        assert {""} == causes(lookups)
        server.kill()
        assert {"down"} == causes(lookups)
        server.start()
        emptied = time.monotonic()
        assert causes(lookups) <= {"down", "missing", ""}
        until(lambda: reader.mget(keys, 5.0) == expected, "the values", 60)
        print(f"{len(updates)} updates were back {time.monotonic() - emptied:.1f} s after an empty start")
        until(lambda: causes(lookups) == {""}, "scorers that find them", 30)
        until(lambda: committed(kafka, spec) == len(updates), "the offsets", 30)
        text = log_of(pipeline).read_text("utf-8")
        assert process.poll() is None
        until(lambda: markers(spec, server.url) <= {"filled"}, "the markers", 30)
        assert text.count("was emptied, or is new") >= 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        reader.close()


def scorer_view(spec: PipelineSpec, redis_url: str) -> FeatureCache:
    """The cache as a scorer asks it, without memory of its own."""
    clock, metrics = SystemClock(), NullMetrics()
    breaker = Breaker(3, 0.1, clock, metrics)
    reader = RedisReader(RedisAddress(redis_url))
    return FeatureCache(
        reader, spec.lookups, spec.name, clock, metrics, local_max_age=0.0, timeout=1.0, breaker=breaker, local_size=0
    )


def causes(lookups: FeatureCache) -> set[str]:
    """Why records of all depots get nothing; empty where they get their values. Any other flags them as degraded."""
    entities = [f"D{d}" for d in range(40)]
    return set(lookups.get_many({"traffic": entities}, [T0 + 30 * 60_000] * 40).causes["traffic"])


def markers(spec: PipelineSpec, redis_url: str) -> set[str]:
    """The markers of all partitions that hold an update."""
    client = RedisWriter(RedisAddress(redis_url), spec.name, spec.lookups)
    try:
        return set(client.markers(range(spec.partitions)))
    finally:
        client.close()
