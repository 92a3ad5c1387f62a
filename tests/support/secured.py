"""A broker of a test's own that lets nobody in without TLS, a password and rights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # the package re-exports without saying so
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from tailrace.stack import kafka
from tailrace.stack.cache import cache_folder
from tailrace.stack.ports import LOOPBACK, free_port
from tailrace.stack.supervisor import Supervisor
from tests.support.certificate import self_signed
from tests.support.wait import until

OPERATOR, SCORER, REPAIRER = "operator", "scorer", "repairer"
# In every password: a test looks for it wherever something could have been written.
CANARY = "canary-5b1e"
_PATTERNS = (ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED)
# (type, name, whether it is a prefix, operations); docs/operations.md has the same table.
Right = tuple[ResourceType, str, bool, tuple[AclOperation, ...]]


def scorer_rights(pipeline: str) -> tuple[Right, ...]:
    """What the user of a pipeline's scorers needs, and nothing more."""
    op, kind, group = AclOperation, ResourceType, f"tailrace.{pipeline}.scorer"
    written = ("predictions", "journal", "records.dlq", "workers", "rollouts")
    return (
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.READ,)) for name in ("records", "models", "rollouts")),
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.WRITE,)) for name in written),
        (kind.GROUP, group, False, (op.READ,)),
        (kind.TRANSACTIONAL_ID, f"{group}.", True, (op.WRITE,)),
        (kind.BROKER, "kafka-cluster", False, (op.DESCRIBE_CONFIGS,)),
    )


def repairer_rights(pipeline: str) -> tuple[Right, ...]:
    """What somebody needs who looks at dead letters and replays them."""
    op, kind = AclOperation, ResourceType
    read = ("records.dlq", "features.dlq", "labels.dlq", "dlq.replayed", "features")
    write = ("records", "features", "labels", "dlq.replayed")
    return (
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.READ,)) for name in read),
        *((kind.TOPIC, f"{pipeline}.{name}", False, (op.WRITE,)) for name in write),
        (kind.TRANSACTIONAL_ID, f"tailrace.{pipeline}.dlq.", True, (op.WRITE,)),
    )


@dataclass(frozen=True, slots=True)
class Secured:
    """A running broker. `plain` lets everybody in as its owner; `address` asks for TLS and SCRAM-SHA-512."""

    plain: str
    address: str
    ca: Path
    folder: Path

    def env(self, user: str, **changes: str) -> dict[str, str]:
        """The settings of a user, as variables; `changes` replace some, empty ones are left out."""
        settings = {
            "bootstrap_servers": self.address,
            "security_protocol": "sasl_ssl",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password_file": str(self.secret(user, password(user))),
            "ssl_ca_location": str(self.ca),
        } | changes
        return {f"TAILRACE_KAFKA__{name.upper()}": value for name, value in settings.items() if value}

    def secret(self, name: str, content: str) -> Path:
        """A file with a secret, as an operator would write it: a newline at its end, readable by its owner."""
        path = self.folder / f"{name}.secret"
        path.touch(mode=0o600)
        path.write_text(f"{content}\n")
        return path

    def allow(self, user: str, rights: tuple[Right, ...]) -> None:
        """Give a user rights."""
        bindings = [
            AclBinding(kind, name, _PATTERNS[prefix], f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for kind, name, prefix, operations in rights
            for operation in operations
        ]
        admin = AdminClient({"bootstrap.servers": self.plain})  # must outlive its answers
        for future in admin.create_acls(bindings).values():
            future.result(10)


@contextmanager
def secured_broker(folder: Path) -> Iterator[Secured]:
    """Run one, with the user `operator`, who may do everything, and two who may do what `allow` gives."""
    ports, secure = kafka.KafkaPorts(free_port(), free_port()), free_port()
    _, ca = self_signed(folder)
    with Supervisor(folder / "logs") as supervisor:
        program = kafka.prepare(folder / "kafka", ports, cache_folder(), supervisor, lambda _: None)
        properties = Path(program.argv[-1])
        with properties.open("a", encoding="utf-8") as file:  # of two lines with one name the later one counts
            file.writelines(f"{name}={value}\n" for name, value in _secured(ports, secure, ca).items())
        supervisor.start(replace(program, restart=False))
        supervisor.wait_ready("kafka", kafka.START_TIMEOUT_S)
        broker = Secured(f"{LOOPBACK}:{ports.clients}", f"{LOOPBACK}:{secure}", ca, folder)
        _make_users(broker.plain, (OPERATOR, SCORER, REPAIRER))
        yield broker


def password(user: str) -> str:
    """A user's own password."""
    return f"{CANARY}-{user}"


def _secured(ports: kafka.KafkaPorts, secure: int, ca: Path) -> Mapping[str, str]:
    keys = ca.parent / "keystore.pem"
    keys.write_bytes((ca.parent / "key.pem").read_bytes() + ca.read_bytes())
    keys.chmod(0o600)
    inner = f"CLIENTS://{LOOPBACK}:{ports.clients}"
    own = "listener.name.secure"
    return {
        "listeners": f"{inner},SECURE://{LOOPBACK}:{secure},CONTROLLER://{LOOPBACK}:{ports.controller}",
        "advertised.listeners": f"{inner},SECURE://{LOOPBACK}:{secure}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
        f"{own}.ssl.keystore.type": "PEM",
        f"{own}.ssl.keystore.location": str(keys),
        f"{own}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{own}.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{OPERATOR}",  # the inner listener knows no names
        # A refused client is told at once instead of after a second.
        "connection.failed.authentication.delay.ms": "0",
    }


def _make_users(address: str, users: tuple[str, ...]) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
    wanted: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(user, info, password(user).encode()) for user in users
    ]
    for future in admin.alter_user_scram_credentials(wanted).values():
        future.result(10)
    until(lambda: _known(admin, users), "the users")


def _known(admin: AdminClient, users: tuple[str, ...]) -> bool:
    asked: Any = admin.describe_user_scram_credentials(list(users))  # with names given: a future for each
    try:
        return all(future.result(10) for future in asked.values())
    except KafkaException:
        return False
