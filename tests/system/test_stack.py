"""The embedded stack as a user meets it: up, status, down, and what happens when something is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tailrace.stack.cache import cache_folder
from tailrace.stack.jars import provision
from tailrace.stack.kafka import tool
from tailrace.stack.stack import Stack, to_stderr

pytestmark = pytest.mark.system
Until = Callable[..., None]
Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = (
    "import sys, typer\nfrom shared.core.errors import UserError\nfrom tailrace.cli.stack import register\n"
    "app = typer.Typer()\nregister(app)\n"
    "try:\n    sys.exit(app(standalone_mode=False))\n"
    "except UserError as error:\n    sys.exit(print(error, file=sys.stderr) or 2)\n"
)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def cluster_id(bootstrap: str) -> str:
    """The id that the broker gives its cluster."""
    return str(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).cluster_id)


@pytest.fixture
def tailrace(tmp_path: Path) -> Iterator[Run]:
    """Run a command of `tailrace` on a state folder of this test, without servers given by address."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environ |= {name: os.environ[name] for name in ("TAILRACE_CACHE", "TAILRACE_MAVEN_URL") if name in os.environ}
    environ["TAILRACE_STATE"] = str(tmp_path / "state")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "-c", COMMAND, *arguments)
        return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=240, check=False)

    yield run
    run("down")


def status(tailrace: Run) -> dict[str, Any]:
    """What `tailrace status --json` says."""
    answer = json.loads(tailrace("status", "--json").stdout)
    assert isinstance(answer, dict)
    return answer


def test_up_status_down(tailrace: Run) -> None:
    """The three servers come up, say where they are and what they cost, and are gone after `down`."""
    up = tailrace("up", "--detach")
    assert up.returncode == 0, up.stderr
    seen = status(tailrace)
    down = tailrace("down")

    assert [part["name"] for part in seen["parts"] if part["ok"]] == [part["name"] for part in seen["parts"]]
    assert {part["name"] for part in seen["parts"]} == {"kafka", "redis", "mlflow"}
    assert [line.partition("=")[0] for line in up.stdout.splitlines()] == [
        "export TAILRACE_KAFKA__BOOTSTRAP_SERVERS",
        "export TAILRACE_REDIS__URL",
        "export TAILRACE_MLFLOW__URL",
    ]
    assert seen["rss_mb"] <= 2_500
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert [part["name"] for part in seen["parts"] if alive(part["pid"])] == []
    assert tailrace("status").returncode == 1


def test_second_up_on_a_folder_is_refused(tailrace: Run) -> None:
    """A second stack on the same state folder ends with one line and exit code 2."""
    tailrace("up", "--detach", "--services", "redis")
    second = tailrace("up", "--services", "redis")

    assert second.returncode == 2
    assert "a stack already runs on" in second.stderr


def test_data_and_identity_survive_a_restart(tmp_path: Path) -> None:
    """After a stop and a start the servers are at the same addresses, with all that they held."""
    with Stack(tmp_path, parts=("kafka", "redis")) as stack:
        bootstrap = stack.endpoints.kafka
        before = cluster_id(bootstrap)
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(10)
        producer = Producer({"bootstrap.servers": bootstrap})
        producer.produce("kept", b"a record")
        assert producer.flush(10) == 0
        redis.Redis.from_url(stack.endpoints.redis).set("kept", "a value")

    with Stack(tmp_path, parts=("kafka", "redis")) as stack:
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
        consumer.subscribe(["kept"])
        (record,) = consumer.consume(1, 20)
        consumer.close()

        assert stack.endpoints.kafka == bootstrap
        assert cluster_id(bootstrap) == before
        assert record.value() == b"a record"
        assert redis.Redis.from_url(stack.endpoints.redis).get("kept") == b"a value"


def test_killed_broker_comes_back(tmp_path: Path, until: Until) -> None:
    """The supervisor starts a killed broker again at the same address, as the same cluster."""
    with Stack(tmp_path, parts=("kafka",)) as stack:
        before = cluster_id(stack.endpoints.kafka)
        pid = stack.supervisor.pid("kafka")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: stack.supervisor.pid("kafka") not in {None, pid})
        stack.supervisor.wait_ready("kafka", 60, through_restarts=True)

        (kafka,) = stack.supervisor.status()
        assert (kafka.restarts, kafka.last_exit) == (1, "killed by SIGKILL")
        assert cluster_id(stack.endpoints.kafka) == before


def test_killed_supervisor_leaves_no_child(tailrace: Run, until: Until) -> None:
    """SIGKILL of the supervisor ends every server; the next `up` works on the same folder."""
    tailrace("up", "--detach")
    seen = status(tailrace)
    os.kill(seen["pid"], signal.SIGKILL)

    until(lambda: not any(alive(part["pid"]) for part in seen["parts"]))
    assert status(tailrace)["parts"] == []
    assert tailrace("up", "--detach", "--services", "redis").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_start_leaves_nothing(number: signal.Signals, tmp_path: Path, until: Until) -> None:
    """Ctrl-C while the servers start stops those that run already, and the folder is free again."""
    environ = {**os.environ, "TAILRACE_STATE": str(tmp_path)}
    with subprocess.Popen((sys.executable, "-c", COMMAND, "up"), env=environ, stderr=subprocess.PIPE) as up:
        until((tmp_path / "logs" / "mlflow.log").exists, seconds=60)
        pids = [part["pid"] for part in json.loads((tmp_path / "stack.json").read_bytes())["programs"]]
        up.send_signal(number)
        up.wait(30)

    assert [pid for pid in pids if pid is not None and alive(pid)] == []
    assert not (tmp_path / "stack.json").exists()
    assert not (tmp_path / "kafka" / "data.partial").exists()


def test_kafkas_own_consumer_reads_ours(kafka: str, stack: Stack, unique: Callable[[str], str]) -> None:
    """The console consumer of the same jars, a client that is not ours, reads what we wrote."""
    topic = unique("foreign")
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(topic, b"read me")
    assert producer.flush(20) == 0
    jars = provision(cache_folder(), stack.supervisor, to_stderr)
    options = ("--bootstrap-server", kafka, "--topic", topic, "--from-beginning", "--max-messages", "1")
    argv = tool(jars, "org.apache.kafka.tools.consumer.ConsoleConsumer", *options)

    assert subprocess.run(argv, capture_output=True, timeout=60, check=True).stdout == b"read me\n"
