"""Aggregates on a broker with TLS, passwords and rights: what docs/operations.md lists is enough."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined] # re-exported without a word

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.table import TableReader
from shared.core.pipeline_file import decode
from shared.core.topics import topic
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.topics import ensure_topics
from tests.support.secured import SCORER, Right, Secured, secured_broker
from tests.support.spec import make_tree
from tests.support.wait import until

pytestmark = pytest.mark.system
T0, NAME = 1_767_225_600_000, "kept"
COUNT = {"take": "count", "over": "1d"}


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    """The broker."""
    with secured_broker(tmp_path) as broker:
        yield broker


def rights(pipeline: str) -> tuple[Right, ...]:
    """What the user of a pipeline's aggregates needs; docs/operations.md has the same table."""
    op, kind, group = AclOperation, ResourceType, f"tailrace.{pipeline}.aggregates-"
    return (
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.READ,)) for name in ("records", "entities")),
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.WRITE,)) for name in ("entities", "features", "features.dlq")),
        *((kind.GROUP, f"{group}{part}", False, (op.READ,)) for part in ("route", "fold")),
        (kind.TRANSACTIONAL_ID, group, True, (op.WRITE,)),
        (kind.BROKER, "kafka-cluster", False, (op.DESCRIBE_CONFIGS,)),
    )


def test_aggregates_are_kept_with_the_least_rights(secured: Secured, tmp_path: Path) -> None:
    """Route and fold work with these rights, and so does a fold that was killed and must read its past."""
    tree = make_tree() | {"name": NAME, "features": [{"name": "weight"}], "partitions": 1}
    tree["lookups"] = {"past": {"key": "carrier", "aggregates": {"n": COUNT}, "max_age": "1d"}}
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(json.dumps(tree))
    plain = {"bootstrap.servers": secured.plain}
    ensure_topics(KafkaAdmin(plain), decode(tree, NAME))
    secured.allow(SCORER, rights(NAME))
    order = Order(folder, Endpoints(), folder / "state", 1, lambda _: free_port())
    with Supervisor(folder / "logs") as supervisor:
        for program in SERVICE_PROGRAMS["aggregates"](order):
            supervisor.start(replace(program, env={**program.env, **secured.env(SCORER)}))
        send(secured.plain, range(50))
        until(lambda: newest(plain) == 50, "fifty", 60)
        os.kill(supervisor.pid(f"aggregates-{NAME}-fold") or 0, signal.SIGKILL)
        send(secured.plain, range(50, 80))
        until(lambda: newest(plain) == 80, "eighty", 60)
    text = (folder / "logs" / f"aggregates-{NAME}-fold.log").read_text()
    assert '"memory rebuilt"' in text


def send(kafka: str, numbers: range) -> None:
    """Records of one carrier."""
    producer = Producer({"bootstrap.servers": kafka})
    for i in numbers:
        row = {"id": f"r{i}", "depot": "D", "at": T0 + i * 1_000, "weight": 1.0, "carrier": "A"}
        producer.produce(topic(NAME, "records"), json.dumps(row).encode(), b"D")
    assert producer.flush(20) == 0


def newest(plain: dict[str, str]) -> int:
    """The largest count so far."""
    reader = TableReader(plain, topic(NAME, "features"), 20)
    try:
        return max((json.loads(value)["values"]["n"] for value in reader.to_end()), default=0)
    finally:
        reader.close()
