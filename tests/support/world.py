"""A pipeline of its own on a real broker: topics, two signed versions, scorer workers under the real supervisor."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from services.retrainer.rollout.control import RolloutControl
from services.retrainer.rollout.wiring import rollout_control
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.table import TableReader
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.records import Application, BundleRef, Headers, Rollout
from shared.runtime.settings import KafkaSettings, Settings
from tailrace.proof.audit import Account, audit
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import Order, feature_writer, scorers
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.topics import ensure_topics
from tests.support.bundles import START, Kit, make_kit
from tests.support.spec import make_tree

NOWHERE = "redis://127.0.0.1:1/0"  # nothing listens there: every look-up is degraded, by policy


@dataclass(slots=True)
class World:
    """One pipeline, scored for real."""

    spec: PipelineSpec
    folder: Path
    kafka: str
    redis: str
    versions: dict[str, BundleRef]
    kit: Kit
    supervisor: Supervisor
    extra_env: Mapping[str, str] = field(default_factory=dict)

    @property
    def conf(self) -> dict[str, Any]:
        """How a client reaches the broker."""
        return {"bootstrap.servers": self.kafka}

    def start(self, workers: int, module: str = "services.scorer.main") -> None:
        """Start scorer workers; `module` may name a main of the tests that wires the same parts."""
        for slot in range(workers):
            self.start_one(slot, module)

    def start_one(self, slot: int, module: str = "services.scorer.main") -> None:
        """Start the worker of one slot, for the first time or again."""
        endpoints = Endpoints(kafka=self.kafka, redis=self.redis)
        order = Order(self.folder, endpoints, self.folder / "state", slot + 1, lambda _: free_port())
        program = scorers(order)[slot]
        argv = tuple(module if word == "services.scorer.main" else word for word in program.argv)
        self.supervisor.start(replace(program, argv=argv, env={**program.env, **self.extra_env}))

    def start_features(self) -> None:
        """Start the feature writer."""
        endpoints = Endpoints(kafka=self.kafka, redis=self.redis)
        order = Order(self.folder, endpoints, self.folder / "state", 1, lambda _: free_port())
        self.supervisor.start(*(replace(one, env={**one.env, **self.extra_env}) for one in feature_writer(order)))

    def announce(self, version: str, epoch: int, state: str) -> None:
        """Write a rollout into `models`, as a training would."""
        rollout = Rollout(self.spec.name, epoch, self.versions[version], state)  # type: ignore[arg-type] # a literal
        self.send("models", [(f"{self.spec.name}/{epoch}", msgspec.json.encode(rollout), None)])

    def send(self, name: str, messages: Sequence[tuple[str | None, bytes | None, Headers | None]]) -> None:
        """Produce (key, value, headers) to a topic of the pipeline, keyed like Java's clients."""
        producer = Producer({**self.conf, "partitioner": "murmur2_random", "linger.ms": 5, "enable.idempotence": True})
        for key, value, headers in messages:
            given: Any = headers
            while True:
                try:
                    producer.produce(f"{self.spec.name}.{name}", value, key, headers=given)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(30) == 0

    def control(self, stack: ExitStack) -> RolloutControl:
        """The rollout commands."""
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=self.kafka))
        return stack.enter_context(rollout_control(self.spec, settings))

    def account(self) -> Account:
        """The books of delivery as of now."""
        return audit(self.conf, self.spec.name, {}, 60)

    def all_scored(self, records: int) -> Callable[[], bool]:
        """A condition: that many records have an outcome."""

        def check() -> bool:
            account = self.account()
            return account.records == records and account.lost == 0

        return check

    def values(self, name: str) -> list[dict[str, Any]]:
        """All JSON values of a topic, committed ones only."""
        reader = TableReader(self.conf, f"{self.spec.name}.{name}", 30)
        try:
            return [json.loads(value) for value in reader.to_end()]
        finally:
            reader.close()

    def applications(self) -> list[Application]:
        """What `rollouts` says."""
        return [msgspec.convert(value, Application, strict=False) for value in self.values("rollouts")]

    def letters(self) -> list[dict[str, str]]:
        """The headers of all dead letters."""
        return self.headers("records.dlq")

    def headers(self, name: str) -> list[dict[str, str]]:
        """The headers of all messages of a topic, committed ones only."""
        found = []
        consumer = Consumer({**self.conf, "group.id": "headers", "isolation.level": "read_committed"})
        full = f"{self.spec.name}.{name}"
        parts = [TopicPartition(full, p, 0) for p in range(self.spec.partitions)]
        ends = {p.partition: consumer.get_watermark_offsets(p, timeout=10)[1] for p in parts}
        consumer.assign(parts)
        while any(max(p.offset, 0) < ends[p.partition] for p in consumer.position(parts)):
            for message in consumer.consume(500, 0.2):
                if message.error() is None:
                    headers: Any = message.headers() or []
                    found.append({key: (value or b"").decode("utf-8", "replace") for key, value in headers})
        consumer.close()
        return found

    def pid(self, slot: int) -> int:
        """The process id of a worker; waits for nothing."""
        pid = self.supervisor.pid(f"scorer-{self.folder.name}-{slot}")
        assert pid is not None
        return pid

    def restarts(self) -> int:
        """How often workers were started again."""
        return sum(status.restarts for status in self.supervisor.status())

    def logs(self) -> str:
        """What the workers logged, for a failing test's message."""
        return "\n".join(p.read_text()[-2_000:] for p in sorted((self.folder / "state" / "logs").glob("*.log")))


def record(i: int, key: int | None = None, **changes: Any) -> tuple[str, bytes, None]:
    """A good record: (Kafka key, value, no headers)."""
    depot = f"depot-{i % 97 if key is None else key}"
    body = {
        "id": f"r{i}",
        "depot": depot,
        "at": START + i,
        "weight": (i % 100) / 10,
        "stops": i % 9,
        "carrier": "ABCD"[i % 4],
    }
    return depot, json.dumps(body | changes).encode(), None


def make_world(
    folder: Path,
    name: str,
    kafka: str,
    *,
    redis: str = NOWHERE,
    env: Mapping[str, str] | None = None,
    task: str = "binary",
    announced: bool = True,
    **sections: Any,
) -> World:
    """Train two versions, make the topics, put version 1 into force.

    Args:
        folder: empty; will be named after the pipeline.
        name: of the pipeline.
        kafka: bootstrap servers.
        redis: address of the cache.
        env: settings of the workers.
        task: of the pipeline.
        announced: whether version 1 is announced at all.
        sections: sections of the pipeline's file that replace the usual ones.
    """
    home = folder / name
    home.mkdir()
    tree = make_tree(task) | {"name": name} | sections
    (home / "pipeline.yaml").write_text(json.dumps(tree))
    spec = decode(tree, name)
    kit = make_kit(home / "one", task, spec=spec)
    shutil.copytree(kit.folder, home / "two")
    other = Kit(spec, home / "two", kit.state, kit.ref)
    versions = {}
    for version, one in (("1", kit), ("2", other)):
        ref = one.seal(msgspec.structs.replace(one.manifest(), version=version))
        versions[version] = BundleRef(version, one.folder.as_uri(), ref.digest)
    shutil.copytree(kit.state / "keys", home / "state" / "keys")
    ensure_topics(KafkaAdmin({"bootstrap.servers": kafka}), spec)
    world = World(
        spec,
        home,
        kafka,
        redis,
        versions,
        kit,
        Supervisor(home / "state" / "logs"),
        {"PATH": os.environ["PATH"], **(env or {})},
    )
    if announced:
        world.announce("1", 1, "active")
    return world
