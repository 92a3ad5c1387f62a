"""The doctor on a real stack of its own, whose parts are taken away one by one."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.records import BundleRef, Heartbeat, Rollout
from tailrace.cli import doctor as command
from tailrace.stack.ports import reachable
from tailrace.stack.program import Program
from tailrace.stack.stack import Stack
from tailrace.stack.topics import ensure_topics

pytestmark = pytest.mark.system
PIPELINE = "tests/data/parcels"
Until = Callable[..., None]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka and Redis that no other test needs, with the pipeline's topics."""
    with Stack(tmp_path_factory.mktemp("stack"), parts=("kafka", "redis")) as running:
        ensure_topics(KafkaAdmin(conf(running)), load_pipeline(PIPELINE).spec)
        yield running


@pytest.fixture(autouse=True)
def environment(own: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of somebody who runs `tailrace doctor` beside that stack."""
    for name in [name for name in os.environ if name.startswith("TAILRACE_") and name != "TAILRACE_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TAILRACE_STATE", str(own.state.path))


def conf(own: Stack) -> dict[str, Any]:
    """How to reach its Kafka."""
    return {"bootstrap.servers": own.endpoints.kafka}


def diagnose(*words: str) -> dict[str, dict[str, Any]]:
    """What `tailrace doctor --json` finds: by check, the worst finding; it ends within 15 s."""
    app = typer.Typer()
    command.register(app)
    begin = time.monotonic()
    done = CliRunner().invoke(app, ["--json", *words])
    assert time.monotonic() - begin < 15
    report = json.loads(done.stdout)
    assert done.exit_code == (0 if report["ok"] else 1)
    found: dict[str, dict[str, Any]] = {}
    for finding in report["findings"]:
        if finding["check"] not in found or finding["ok"] is False:
            found[finding["check"]] = finding
    return found


def test_a_wrong_pipeline_is_wrong_input() -> None:
    """A pipeline that does not exist is no finding, but a mistake of the caller."""
    app = typer.Typer()
    command.register(app)
    done = CliRunner().invoke(app, ["no-such-pipeline"])
    assert "no-such-pipeline" in str(done.exception)


def test_a_fresh_stack_lacks_only_a_model_and_mlflow(own: Stack, until: Until) -> None:
    """Servers, topics and group are well; what was never started or trained is named with its command."""
    until(lambda: diagnose(PIPELINE)["workers"]["ok"] is not None, seconds=120)  # a young broker has no coordinator
    found = diagnose(PIPELINE)
    assert [check for check, finding in found.items() if finding["ok"] is False] == ["mlflow", "version"]
    assert found["kafka"]["what"] == f"{own.endpoints.kafka} answers"
    assert "started without it" in found["mlflow"]["cause"]
    assert found["version"]["next_command"] == f"tailrace train {PIPELINE}"
    assert found["topics"]["ok"]
    assert found["workers"]["ok"]


def test_a_deleted_topic_is_named(own: Stack, until: Until) -> None:
    """The topic, and the command that makes it again; then it is well."""
    admin = AdminClient(conf(own))
    admin.delete_topics(["parcels.journal"])["parcels.journal"].result(10)
    until(lambda: "parcels.journal" not in admin.list_topics(timeout=5).topics)
    found = diagnose(PIPELINE)
    assert "parcels.journal" in found["topics"]["what"]
    assert found["topics"]["next_command"] == f"tailrace topics apply {PIPELINE}"
    ensure_topics(KafkaAdmin(conf(own)), load_pipeline(PIPELINE).spec)
    assert diagnose(PIPELINE)["topics"]["ok"]


def test_records_that_nobody_scores_and_a_transaction_that_nobody_ends(own: Stack, until: Until) -> None:
    """Waiting records without a live worker, a refused model, and what an open transaction hides."""
    producer = Producer(conf(own))
    producer.produce("parcels.records", b"{}", b"k", 1)
    assert producer.flush(10) == 0
    hanging = Producer({**conf(own), "transactional.id": "hanging", "transaction.timeout.ms": 60_000})
    hanging.init_transactions(10)
    hanging.begin_transaction()
    hanging.produce("parcels.predictions", b"{}", b"k", 2)
    assert hanging.flush(10) == 0
    appended = time.monotonic()
    rollout = Rollout("parcels", 1, BundleRef("1", "file:///nowhere", "a" * 64), "active")
    announcer = Announcer(conf(own), 5.0)
    announcer.send("parcels.models", b"parcels/1", _json(rollout))
    until(lambda: time.monotonic() - appended > 11, seconds=20)
    said = Heartbeat("scorer-0", int(time.time() * 1000), (), refused={"1": "digest: it differs"})
    announcer.send("parcels.workers", b"scorer-0", _json(said))

    found = diagnose(PIPELINE)
    hanging.abort_transaction(10)
    assert found["group"]["what"].startswith("partitions [1] stand still")
    assert "no live worker owns partitions [1]" in found["group"]["cause"]
    assert "parcels.predictions[2] hides offset 0" in found["transactions"]["what"]
    assert (found["model"]["cause"], found["version"]["ok"]) == ("digest: it differs", True)
    assert found["clock"]["ok"]
    until(lambda: bool(diagnose(PIPELINE)["transactions"]["ok"]), seconds=20)  # markers follow the answer to an abort


def test_two_members_of_one_slot(own: Stack, until: Until) -> None:
    """Two processes with the same slot are seen in the group while both live."""
    own_conf = {**conf(own), "group.id": "tailrace.parcels.scorer", "client.id": "tailrace-parcels-scorer-0"}
    members = [Consumer({**own_conf, "partition.assignment.strategy": "cooperative-sticky"}) for _ in range(2)]
    for member in members:
        member.subscribe(["parcels.records"])

    def joined() -> bool:
        for member in members:  # both must go on polling, or the first never gives any partition away
            member.poll(0.05)
        return all(member.assignment() for member in members)

    try:
        until(joined, seconds=30)
        assert "tailrace-parcels-scorer-0 is in the group twice" in diagnose(PIPELINE)["workers"]["what"]
    finally:
        for member in members:
            member.close()


def test_dead_letters_are_counted_by_reason(own: Stack) -> None:
    """The last hour's letters, and most of what they say."""
    producer = Producer(conf(own))
    for i in range(40):
        reason = b"missing_field" if i < 30 else b"not_json"
        producer.produce("parcels.records.dlq", b"x", b"k", i % 4, headers=[("tailrace-reason", reason)])
    assert producer.flush(10) == 0
    letters = diagnose(PIPELINE)["dead letters"]
    assert letters["what"].startswith("40 dead letters")
    assert letters["cause"] == "mostly missing_field 30, not_json 10"
    assert letters["next_command"] == f"tailrace dlq list {PIPELINE}"


def test_a_stopped_cache_is_named(own: Stack) -> None:
    """Redis is down: predictions are degraded, and the stack's own log is next."""
    own.supervisor.stop(["redis"])
    found = diagnose(PIPELINE)["redis"]
    assert "predictions are degraded" in found["what"]
    assert found["next_command"].endswith("redis.log")


def test_a_wrong_password_is_not_a_dead_cache(own: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that asks for another password says so."""
    port = own.port("locked")
    server = next(watch for name, watch in own.supervisor._watches.items() if name == "redis").program.argv[0]
    argv = (server, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path), "--requirepass", "right")
    own.supervisor.start(Program("locked", argv, ready=lambda: _listens(port)))
    own.supervisor.wait_ready("locked", 10)
    (tmp_path / "secret").write_text("wrong", encoding="utf-8")
    monkeypatch.setenv("TAILRACE_REDIS__URL", f"redis://127.0.0.1:{port}/0")
    assert "lets us not in" in diagnose()["redis"]["what"]
    monkeypatch.setenv("TAILRACE_REDIS__PASSWORD_FILE", str(tmp_path / "secret"))
    assert "lets us not in" in diagnose()["redis"]["what"]
    (tmp_path / "secret").write_text("right", encoding="utf-8")
    assert diagnose()["redis"]["ok"]
    own.supervisor.stop(["locked"])


def test_a_broker_that_hangs_is_named_in_time(own: Stack) -> None:
    """A frozen broker accepts connections and never answers: the whole examination ends all the same."""
    pid = own.supervisor.pid("kafka")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        found = diagnose(PIPELINE)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "Kafka does not answer" in found["kafka"]["what"]
    assert (found["topics"]["ok"], found["topics"]["cause"]) == (None, "Kafka does not answer")


def test_a_killed_broker_is_named(own: Stack) -> None:
    """A broker that is gone: its log is next, and the checks that need it are unknown."""
    own.supervisor.stop(["kafka"])
    found = diagnose(PIPELINE)
    assert found["kafka"]["next_command"].endswith("kafka.log")
    assert found["group"]["ok"] is None


def _json(value: Rollout | Heartbeat) -> bytes:
    return msgspec.json.encode(value)


def _listens(port: int) -> bool:
    return reachable("127.0.0.1", port, 0.2)
