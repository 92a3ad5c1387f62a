"""How every client of ours reaches Kafka: librdkafka's configuration, from our settings and the files of secrets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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
    return conf


def _check(settings: "KafkaSettings") -> None:
    sasl = settings.security_protocol.startswith("sasl")
    if sasl and not settings.sasl_mechanism:
        raise UserError(
            f"kafka.sasl_mechanism is empty, but security_protocol is {settings.security_protocol}",
            remedy="name one, for example PLAIN or SCRAM-SHA-512",
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
    for name in sorted(_OWNED & settings.client.keys()):
        raise UserError(f"kafka.client names {name}, which is a setting of its own", remedy=f"use {_own(name)} instead")


def _own(name: str) -> str:
    field = name.replace(".", "_")
    return f"kafka.{field}_file" if name in _SECRET_FILES.values() else f"kafka.{field}"
