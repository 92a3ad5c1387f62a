"""Topics on a real broker: made once, checked again, never given another partition count."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from confluent_kafka import Consumer, Producer, TopicPartition
from typer.testing import CliRunner, Result

from shared.adapters.kafka.admin import LIMITS, KafkaAdmin
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec, TopicSpec
from shared.core.pipeline_base import Duration
from shared.core.topic_plan import compare, faults
from shared.core.topics import topic, wanted
from shared.runtime.clock import SystemClock
from tailrace.cli import topics as topics_command

pytestmark = pytest.mark.system


@pytest.fixture
def admin(kafka: str) -> KafkaAdmin:
    """The broker's own side."""
    return KafkaAdmin({"bootstrap.servers": kafka})


@pytest.fixture
def spec(unique: Callable[[str], str]) -> PipelineSpec:
    """The parcels pipeline under a name of this test's own."""
    parcels = load_pipeline("tests/data/parcels").spec
    return msgspec.structs.replace(parcels, name=unique("parcels").replace("-", "_"))


def apply(admin: KafkaAdmin, spec: PipelineSpec) -> int:
    """Do what the plan says; the number of actions."""
    work = compare(wanted(spec), admin.topics([want.name for want in wanted(spec)])).work
    admin.create([want for want in wanted(spec) if any(a.kind == "create" and a.topic == want.name for a in work)])
    for action in work:
        if action.kind == "alter":
            admin.alter(action.topic, {name: new for name, (_, new) in action.changes.items()})
    return len(work)


def test_an_address_where_nothing_answers_is_named(unused_tcp_address: str) -> None:
    """A broker that is not there ends in one error that names the address and the remedy, in bounded time."""
    before = SystemClock().monotonic()
    with pytest.raises(UserError, match=f"no Kafka answers at {unused_tcp_address}.*tailrace up"):
        KafkaAdmin({"bootstrap.servers": unused_tcp_address}, timeout=1.0).broker()
    assert SystemClock().monotonic() - before < 10


def test_more_partitions_are_refused(admin: KafkaAdmin, spec: PipelineSpec) -> None:
    """A broker's topic with another partition count is refused, and nothing changes."""
    apply(admin, spec)
    grown = msgspec.structs.replace(spec, partitions=8)
    plan = compare(wanted(grown), admin.topics([want.name for want in wanted(grown)]))
    assert [topic(spec.name, "records")] == [a.topic for a in plan.refused][:1]
    assert plan.work == ()


def test_too_many_copies_are_refused_by_the_broker_with_a_remedy(admin: KafkaAdmin, spec: PipelineSpec) -> None:
    """Replication above the number of brokers names the key to mend."""
    with pytest.raises(UserError, match="lower `replication`"):
        apply(admin, msgspec.structs.replace(spec, replication=30))


def test_a_second_plan_is_empty(admin: KafkaAdmin, spec: PipelineSpec) -> None:
    """After applying, the broker holds what was wanted: the plan is empty and no fault is seen."""
    assert len(wanted(spec)) == apply(admin, spec)
    made = admin.topics([want.name for want in wanted(spec)])
    assert compare(wanted(spec), made).actions == ()
    assert faults(spec, made) == ()
    assert apply(admin, spec) == 0


def test_another_retention_alters_only_that(admin: KafkaAdmin, spec: PipelineSpec) -> None:
    """A changed wish is one altered value; the topic's other values stay."""
    apply(admin, spec)
    name = topic(spec.name, "journal")
    before = admin.topics([name])[name].config
    assert apply(admin, msgspec.structs.replace(spec, topics={**spec.topics, "journal": _days(50)})) == 1
    after = admin.topics([name])[name].config
    assert {k for k in after if before.get(k) != after[k]} == {"retention.ms"}


def test_the_broker_names_its_limits(admin: KafkaAdmin) -> None:
    """Every limit that the start-up checks need is told by the broker."""
    broker = admin.broker()
    assert set(LIMITS) == set(broker.limits)
    assert broker.limits["offset.metadata.max.bytes"] == 4096
    assert broker.cluster_id
    assert broker.brokers == 1


def test_offsets_and_their_notes_are_read_back(admin: KafkaAdmin, spec: PipelineSpec, kafka: str) -> None:
    """The log's ends and a group's committed offset with its metadata come back as they were written."""
    apply(admin, spec)
    name = topic(spec.name, "records")
    producer = Producer({"bootstrap.servers": kafka})
    for _ in range(3):
        producer.produce(name, b"{}", partition=1)
    assert producer.flush(10) == 0
    _commit(kafka, spec.name, TopicPartition(name, 1, 2, "note"))
    assert admin.offsets(name, (0, 1), "end") == {0: 0, 1: 3}
    assert admin.offsets(name, (0, 1), "start") == {0: 0, 1: 0}
    assert admin.offsets(name, (1,), "stable") == {1: 3}
    assert admin.committed(spec.name, name, (0, 1)) == {1: (2, "note")}
    assert admin.committed("no-such-group", name, (0, 1)) == {}


def _commit(kafka: str, group: str, position: Any) -> None:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group})
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def _days(count: int) -> TopicSpec:
    return TopicSpec(retention=Duration(count * 86_400))


@pytest.fixture
def unused_tcp_address() -> str:
    """An address on loopback where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_the_commands_plan_apply_and_plan_again(
    kafka: str, spec: PipelineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plan` exits 1 while there is something to do, `apply` does it once, and then both have nothing to do."""
    monkeypatch.setenv("TAILRACE_KAFKA__BOOTSTRAP_SERVERS", kafka)
    text = Path("tests/data/parcels/pipeline.yaml").read_text(encoding="utf-8")
    file = tmp_path / "pipeline.yaml"
    file.write_text(text.replace("name: parcels", f"name: {spec.name}"), encoding="utf-8")
    before, done, again, after = (run(verb, str(tmp_path)) for verb in ("plan", "apply", "apply", "plan"))
    assert [before.exit_code, done.exit_code, again.exit_code, after.exit_code] == [1, 0, 0, 0]
    assert before.stdout == done.stdout
    assert f"+ {spec.name}.records  create with 4 partition(s)" in before.stdout
    assert again.stdout == f"{spec.name}: nothing to do\n"
    assert json.loads(run("plan", str(tmp_path), "--json").stdout) == {"ok": True, "actions": [], "faults": []}
    file.write_text(text.replace("name: parcels", f"partitions: 8\nname: {spec.name}"), encoding="utf-8")
    assert [run("plan", str(tmp_path)).exit_code, run("apply", str(tmp_path)).exit_code] == [2, 2]


def run(*words: str) -> Result:
    """Run `tailrace topics` in an app of its own."""
    app = typer.Typer()
    topics_command.register(app)
    return CliRunner().invoke(app, ["topics", *words])
