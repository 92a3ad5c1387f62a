"""How every client of ours reaches Kafka: librdkafka's configuration, from our settings and the files of secrets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import KafkaException, Producer

from shared.core.errors import UserError

if TYPE_CHECKING:
    from shared.runtime.settings import KafkaSettings

_NAMED = {
    "sasl_mechanism": "sasl.mechanism",
    "sasl_username": "sasl.username",
    "ssl_ca_location": "ssl.ca.location",
    "ssl_certificate_location": "ssl.certificate.location",
    "ssl_key_location": "ssl.key.location",
}
_SECRET_FILES = {"sasl_password_file": "sasl.password", "ssl_key_password_file": "ssl.key.password"}
_OWNED = {"bootstrap.servers", "security.protocol", *_NAMED.values(), *_SECRET_FILES.values()}
# What the loop sets itself. Set from outside, a promise would be broken in silence, or a worker could never start.
_LOOP = {
    "transactional.id": "it is made of the pipeline and worker.slot",
    "transaction.timeout.ms": "use loop.transaction_timeout",
    "message.timeout.ms": "it follows loop.transaction_timeout",
    "delivery.timeout.ms": "it follows loop.transaction_timeout",
    "session.timeout.ms": "use loop.session_timeout",
    "max.poll.interval.ms": "use loop.max_poll_interval",
    "group.protocol": "use kafka.group_protocol",
    "group.instance.id": "use kafka.static_membership",
    **dict.fromkeys(
        (
            *("group.id", "enable.auto.commit", "enable.auto.offset.store", "isolation.level", "auto.offset.reset"),
            *("enable.idempotence", "acks", "request.required.acks", "partitioner", "partition.assignment.strategy"),
        ),
        "delivery rests on ours: take it away",
    ),
}
_SECRET_WORDS = ("password", "secret", "token", ".pem")


class Secret(str):
    """A text that the client gets as it is, and that no `repr` of a configuration shows, merged into others or not."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class ReadSecret(Protocol):
    """`shared.runtime.settings.read_secret` is one."""

    def __call__(self, path: str, *, setting: str) -> str:
        """The content of a secret's file; `setting` names it in the error."""


def client_config(settings: "KafkaSettings", read_secret: ReadSecret) -> dict[str, Any]:
    """What any librdkafka client needs to connect; the caller adds what its role needs.

    Args:
        settings: where Kafka is, and how to be let in.
        read_secret: gives the content of the files that hold a password.

    Returns:
        A new dict of librdkafka's names. Values that are secret are `Secret`, so printing the dict is safe.

    Raises:
        UserError: settings contradict each other, or a named file cannot be read; names the setting.
    """
    _check(settings)
    conf: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
    }
    for field, name in _NAMED.items():
        if value := getattr(settings, field):
            conf[name] = value
    for field, name in _SECRET_FILES.items():
        if path := getattr(settings, field):
            conf[name] = Secret(read_secret(path, setting=f"kafka.{field}"))
    for name, value in settings.client.items():
        conf[name] = Secret(value) if any(word in name for word in _SECRET_WORDS) else value
    if len(conf) > len(("bootstrap.servers", "security.protocol")):
        _try(conf)
    return conf


def _try(conf: dict[str, Any]) -> None:
    """Let the client itself say what it cannot take, once and before anything else, instead of at each use."""
    alone = {name: value for name, value in conf.items() if name != "bootstrap.servers"}
    try:
        Producer({**alone, "log_level": 0})  # without an address it connects to nothing
    except (KafkaException, TypeError, ValueError) as error:
        cause = error.args[0] if error.args else error
        said = str(cause.str() if hasattr(cause, "str") else cause).removeprefix("Failed to create producer: ")
        for value in conf.values():
            said = said.replace(value, "***") if isinstance(value, Secret) and value else said
        raise UserError(
            f"Kafka's client refuses our settings ({said})",
            remedy="mend the setting of that name: kafka.* with _ for each dot, or kafka.client (`tailrace settings`)",
        ) from None


def _check(settings: "KafkaSettings") -> None:
    sasl = settings.security_protocol.startswith("sasl")
    if sasl and not settings.sasl_mechanism:
        raise UserError(
            f"kafka.sasl_mechanism is empty, but security_protocol is {settings.security_protocol}",
            remedy="name one, for example PLAIN or SCRAM-SHA-512",
        )
    if sasl and settings.sasl_mechanism.upper().startswith(("PLAIN", "SCRAM")):
        for field in ("sasl_username", "sasl_password_file"):
            if not getattr(settings, field):
                raise UserError(
                    f"kafka.{field} is empty, but sasl_mechanism is {settings.sasl_mechanism}",
                    remedy=f"set TAILRACE_KAFKA__{field.upper()}",
                )
    # A password that is set but not asked for usually means a protocol that was forgotten: nobody is let in, or worse.
    if not sasl and (settings.sasl_username or settings.sasl_password_file):
        raise UserError(
            f"kafka.sasl_username or sasl_password_file is set, but security_protocol is {settings.security_protocol}",
            remedy="set kafka.security_protocol to sasl_ssl or sasl_plaintext",
        )
    for field in ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location"):
        path = getattr(settings, field)
        if path and not Path(path).exists():
            raise UserError(f"kafka.{field}: {path} does not exist", remedy="name a readable file")
    for name in sorted(_LOOP.keys() & settings.client.keys()):
        raise UserError(f"kafka.client names {name}, which is not to be set", remedy=_LOOP[name])
    for name in sorted(_OWNED & settings.client.keys()):
        raise UserError(f"kafka.client names {name}, which is a setting of its own", remedy=f"use {_own(name)} instead")


def _own(name: str) -> str:
    field = name.replace(".", "_")
    return f"kafka.{field}_file" if name in _SECRET_FILES.values() else f"kafka.{field}"
