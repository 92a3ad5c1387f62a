"""Where Kafka, Redis and MLflow are, and how a process is told."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from shared.core.errors import UserError
from tailrace.stack.ports import reachable

SETTINGS = {
    "kafka": "TAILRACE_KAFKA__BOOTSTRAP_SERVERS",
    "redis": "TAILRACE_REDIS__URL",
    "mlflow": "TAILRACE_MLFLOW__URL",
}
_DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "http": 80, "https": 443}
_NAMES = {"kafka": "Kafka", "redis": "Redis", "mlflow": "MLflow"}
_REACH_S = 3.0


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses; empty where there is none.

    Attributes:
        kafka: `host:port` list, comma separated.
        redis: `redis://host:port/db`.
        mlflow: `http://host:port`.
    """

    kafka: str = ""
    redis: str = ""
    mlflow: str = ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Endpoints":
        """Take the addresses that the environment gives."""
        return cls(**{part: environ.get(name, "") for part, name in SETTINGS.items()})

    def get(self, part: str) -> str:
        """The address of one part, empty if there is none."""
        return str(getattr(self, part))

    def env(self) -> dict[str, str]:
        """Settings that lead another process here."""
        return {name: self.get(part) for part, name in SETTINGS.items() if self.get(part)}


def check_reachable(part: str, address: str, *, remedy: str = "start that server") -> None:
    """Check that something listens at an address that was given.

    Args:
        part: `kafka`, `redis` or `mlflow`.
        address: where it should be.
        remedy: what to do first where nothing listens.

    Raises:
        UserError: if nothing does, or it is no address; names the setting.
    """
    setting = SETTINGS[part]
    try:
        targets = [_target(part, one.strip()) for one in address.split(",")]
    except ValueError:
        example = {"kafka": "127.0.0.1:9092", "redis": "redis://127.0.0.1:6379/0", "mlflow": "http://127.0.0.1:5000"}
        raise UserError(f"{setting}={address} is no address", remedy=f"write it like {example[part]}") from None
    if not any(reachable(host, port, _REACH_S) for host, port in targets):
        raise UserError(
            f"no {_NAMES[part]} answers at {address} ({setting})",
            remedy=f"{remedy}, mend that address, or unset it for the embedded one",
        )


def _target(part: str, address: str) -> tuple[str, int]:
    url = urlsplit(f"kafka://{address}" if part == "kafka" else address)
    port = url.port or _DEFAULT_PORTS.get(url.scheme)
    if not url.hostname or port is None:
        raise ValueError(address)
    return url.hostname, port
