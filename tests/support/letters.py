"""A pipeline without a model: its topics, and dead letters in them as the scorer writes them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.positions import GroupPositions
from shared.core.deadletter import dead_letters
from shared.core.errors import Unavailable
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.ports import Reject
from shared.core.records import Headers, Position
from shared.core.topics import TopicName, topic
from shared.runtime.settings import KafkaSettings, Settings
from shared.testing.log import MemoryMessage
from tailrace.stack.topics import ensure_topics
from tests.support.spec import make_tree
from tests.support.wait import until

Sample = tuple[bytes | None, bytes | None, str, Headers | None]  # key, value, reason, headers


@dataclass(frozen=True, slots=True)
class Post:
    """The pipeline, and the commands as a user runs them."""

    spec: PipelineSpec
    folder: Path
    kafka: str

    @property
    def settings(self) -> Settings:
        """Where its Kafka is."""
        return Settings(kafka=KafkaSettings(bootstrap_servers=self.kafka))

    def put(self, samples: Sequence[Sample], name: TopicName = "records.dlq", partition: int = 0) -> None:
        """Write letters of these records, which stood at offsets 0, 1, 2 ... of one partition of the source topic."""
        full = topic(self.spec.name, name)
        source = full.removesuffix(".dlq")
        rejects = [
            Reject(MemoryMessage(Position(source, partition, i), key, value, headers), reason, "a detail")
            for i, (key, value, reason, headers) in enumerate(samples)
        ]
        block = dead_letters(full, source, rejects)
        producer = Producer({"bootstrap.servers": self.kafka, "queue.buffering.max.messages": 1_000_000})
        for i, key in enumerate(block.keys):
            said: Any = (block.headers or [None] * len(rejects))[i]
            producer.produce(full, block.values[i], key, partition, headers=said)
        assert producer.flush(30) == 0

    def send(self, name: TopicName, messages: Sequence[tuple[bytes | None, bytes | None]], partition: int = 0) -> None:
        """Write messages to one partition of a topic."""
        producer = Producer({"bootstrap.servers": self.kafka})
        for key, value in messages:
            producer.produce(topic(self.spec.name, name), value, key, partition)
        assert producer.flush(30) == 0

    def read(self, name: TopicName) -> list[Message]:
        """All committed messages of a topic, by partition and offset."""
        own = {"bootstrap.servers": self.kafka, "group.id": "letters", "isolation.level": "read_committed"}
        consumer, full = Consumer(own), topic(self.spec.name, name)
        parts = [TopicPartition(full, p, 0) for p in consumer.list_topics(full, 10).topics[full].partitions]
        ends = {p.partition: consumer.get_watermark_offsets(p, timeout=10)[1] for p in parts}
        consumer.assign(parts)
        found: list[Message] = []
        while any(max(p.offset, 0) < ends[p.partition] for p in consumer.position(parts)):
            found += [m for m in consumer.consume(500, 0.1) if m.error() is None]
        consumer.close()
        return sorted(found, key=lambda m: (m.partition() or 0, m.offset() or 0))

    def ends(self) -> dict[str, list[int]]:
        """The high watermarks of every topic that a replay could touch, transaction markers included."""
        names: tuple[TopicName, ...] = ("records", "features", "dlq.replayed", "records.dlq", "features.dlq")
        return {topic(self.spec.name, name): self._ends(name) for name in names}

    def _ends(self, name: TopicName) -> list[int]:
        with closing(
            GroupPositions({"bootstrap.servers": self.kafka}, "letters", topic(self.spec.name, name))
        ) as asked:
            return [end for _, end in sorted(asked.ends().items())]

    def ready(self) -> bool:
        """Whether every partition answers: the leader of a topic just made is not known at once."""
        try:
            return bool(self.ends())
        except Unavailable:
            return False

    def dlq(self, *words: str, code: int = 0) -> "subprocess.CompletedProcess[bytes]":
        """Run `tailrace dlq ...` and hold it to an exit code."""
        done = self.begin(*words)
        out, err = done.communicate(timeout=60)
        assert done.returncode == code, (done.returncode, out, err)
        return subprocess.CompletedProcess(words, done.returncode, out, err)

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command gives as JSON."""
        return json.loads(self.dlq(*words, "--json", code=code).stdout)

    def begin(self, *words: str, module: str = "tailrace.cli.main", **env: str) -> "subprocess.Popen[bytes]":
        """Start `tailrace dlq VERB PIPELINE ...`, or a module of the tests with the same words."""
        verb, *rest = words
        argv = [sys.executable, "-m", module, "dlq", verb, str(self.folder), *rest]
        given = {"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": self.kafka, "TAILRACE_STATE": str(self.folder / "state")}
        return subprocess.Popen(argv, env={**os.environ, **given, **env}, stdout=-1, stderr=-1)


def make_post(folder: Path, name: str, kafka: str, **sections: Any) -> Post:
    """A pipeline of its own, with its topics; `sections` replace those of its file."""
    home = folder / name
    home.mkdir()
    tree = make_tree() | {"name": name, "privacy": {}} | sections
    (home / "pipeline.yaml").write_text(json.dumps(tree))
    spec = decode(tree, name)
    ensure_topics(KafkaAdmin({"bootstrap.servers": kafka}), spec)
    post = Post(spec, home, kafka)
    until(post.ready, "the topics to have leaders")
    return post
