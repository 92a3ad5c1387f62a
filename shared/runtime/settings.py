"""Settings of a process: defaults, then a YAML or JSON file, then the environment (`TAILRACE_REDIS__URL` ...).

Nested names are joined with `__`. Secrets are never values here: settings name the *file* that holds one. An unknown
`TAILRACE_*` variable is reported, since a misspelt setting that is silently ignored is the dearest kind.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.core.errors import UserError

PREFIX = "TAILRACE_"
# Read by other parts than this module; known, so not reported.
OTHERS = frozenset(
    {
        "TAILRACE_MAVEN_URL",
        "TAILRACE_TEST_CONTAINERS",
        "TAILRACE_STATE",
        "TAILRACE_CACHE",
        "TAILRACE_CONFIG",
        "TAILRACE_PIPELINES",
        "TAILRACE_DEBUG",
    }
)
Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every group of settings."""


class KafkaSettings(Section, frozen=True, kw_only=True):
    """How to reach Kafka. `client` is passed to librdkafka as it is, for what has no name here.

    With `static_membership` a worker that was killed gets its partitions back as soon as it is up again; without it
    they go to the others after the session time-out, and a worker that is stopped in order hands them over at once.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password_file: str = ""
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""
    ssl_key_password_file: str = ""
    group_protocol: Literal["classic", "consumer"] = "classic"
    static_membership: bool = False
    client: dict[str, str] = {}


class RedisSettings(Section, frozen=True, kw_only=True):
    """How to reach the feature cache, and how long a scorer waits for it (s)."""

    url: str = "redis://127.0.0.1:6379/0"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    timeout: Seconds = 0.05
    local_max_age: Seconds = 0.2
    breaker_failures: int = 3
    breaker_reset: Seconds = 1.0


class MlflowSettings(Section, frozen=True, kw_only=True):
    """The model registry; scorers never import its client, they only fetch files from it."""

    url: str = "http://127.0.0.1:5000"
    username: str = ""
    password_file: str = ""


class ModelSettings(Section, frozen=True, kw_only=True):
    """Trust in bundles: scorers hold the public key, only the trainer the signing key; `cache` has verified copies."""

    public_key_file: str = ""
    signing_key_file: str = ""
    cache: str = ""
    timeout: Seconds = 60.0


class LoopSettings(Section, frozen=True, kw_only=True):
    """Time-outs of the loop (s), checked against each other and the broker's limits at start."""

    session_timeout: Seconds = 6.0
    max_poll_interval: Seconds = 120.0
    transaction_timeout: Seconds = 10.0
    call_timeout: Seconds = 5.0
    step_budget: Seconds = 45.0
    heartbeat: Seconds = 1.0


class HttpSettings(Section, frozen=True, kw_only=True):
    """Where a process shows its metrics and health; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: Port = 0


class TracingSettings(Section, frozen=True, kw_only=True):
    """OTLP over HTTP; without an endpoint nothing is exported. `sample` is the share of records linked and spanned."""

    otlp_endpoint: str = ""
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.01


class LogSettings(Section, frozen=True, kw_only=True):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class WorkerSettings(Section, frozen=True, kw_only=True):
    """Which worker this is: `slot` makes the transactional id, stable over restarts and unique among live workers.

    A supervisor tells by `restarts` and `last_exit` how often it started this one again, and why the last time.
    """

    slot: Annotated[int, Meta(ge=0)] = 0
    restarts: Annotated[int, Meta(ge=0)] = 0
    last_exit: Literal["exit", "signal", "watchdog", "fenced", "memory", "unhealthy"] = "exit"


class PrivacySettings(Section, frozen=True, kw_only=True):
    """The file with the key of the keyed hash of personal fields."""

    key_file: str = ""


class MonitorSettings(Section, frozen=True, kw_only=True):
    """Where the observer keeps what it remembers: a folder of its own disk, and one for checkpoints (empty: none).

    Without `state` it is in the state folder. A checkpoint is written every so many seconds. The analyst looks at
    everything every `turn` seconds; with `look` only when event time has passed a multiple of so many seconds, so that
    what it decides is the same at whatever pace a stream is played.
    """

    state: str = ""
    checkpoints: str = ""
    checkpoint_every: Seconds = 300.0
    turn: Seconds = 2.0
    look: Annotated[float, Meta(ge=0)] = 0.0


class ArchiveSettings(Section, frozen=True, kw_only=True):
    """Where outcomes are archived: a folder, or a URL that fsspec knows; without `url` it is in the state folder.

    Days of event time older than `retention` (such as `400d`; empty: kept for good) before the newest one are removed.
    What is not yet in a complete file is written every `flush` seconds. `range` counts where an archive is begun.
    """

    url: str = ""
    retention: str = ""
    flush: Seconds = 10.0
    range: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


class Settings(Section, frozen=True, kw_only=True):
    """All settings of a process."""

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    mlflow: MlflowSettings = MlflowSettings()
    models: ModelSettings = ModelSettings()
    loop: LoopSettings = LoopSettings()
    http: HttpSettings = HttpSettings()
    tracing: TracingSettings = TracingSettings()
    log: LogSettings = LogSettings()
    worker: WorkerSettings = WorkerSettings()
    privacy: PrivacySettings = PrivacySettings()
    monitor: MonitorSettings = MonitorSettings()
    archive: ArchiveSettings = ArchiveSettings()


def load_settings(environ: Mapping[str, str] | None = None) -> tuple[Settings, list[str]]:
    """Decode the settings and name the variables that mean nothing.

    Args:
        environ: the environment; the process's own when None. `TAILRACE_CONFIG` may name a YAML or JSON file.

    Returns:
        The settings, and a warning for each unknown `TAILRACE_*` variable.

    Raises:
        UserError: a value is of the wrong type, or the file is unreadable; names the variable or file and the key.
    """
    env = os.environ if environ is None else environ
    tree: dict[str, Any] = _read_file(env.get("TAILRACE_CONFIG", ""))
    warnings: list[str] = []
    for name in sorted(n for n in env if n.startswith(PREFIX) and n not in OTHERS):
        path = name.removeprefix(PREFIX).lower().split("__")
        if _known(path):
            _put(tree, path, env[name])
        else:
            warnings.append(f"{name} is no setting of Tailrace and is ignored; `tailrace settings` lists them all")
    try:
        return msgspec.convert(tree, Settings, strict=False), warnings
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        section, _, name = place.rstrip("`").partition(".")
        key = f"{PREFIX}{section.upper()}__{name.upper()}" if name else "settings"
        source = f"mend that variable, or {section}.{name} in {env.get('TAILRACE_CONFIG') or 'the file of settings'}"
        raise UserError(f"{key}: {what}", remedy=f"{source}; `tailrace settings` lists them") from None


def read_secret(path: str, *, setting: str) -> str:
    """The content of a secret's file, without the newline at its end.

    Raises:
        UserError: the file cannot be read or is empty; names the setting, never the content.
    """
    try:
        secret = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{setting}: cannot read {path} ({error.strerror})", remedy="name a readable file") from None
    except UnicodeDecodeError:
        raise UserError(f"{setting}: {path} is no text in UTF-8", remedy="write the secret as text") from None
    if not secret:
        raise UserError(f"{setting}: {path} is empty", remedy="write the secret into it")
    return secret


def _known(path: list[str]) -> bool:
    tree = msgspec.to_builtins(Settings())
    if path[:2] == ["kafka", "client"]:
        return len(path) == 3  # noqa: PLR2004 - section, field, librdkafka's own name
    return len(path) == 2 and path[1] in tree.get(path[0], {})  # noqa: PLR2004 - section and field


def _put(tree: dict[str, Any], path: list[str], value: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1].replace("_", ".") if path is not None and len(path) > 2 else path[-1]] = value  # noqa: PLR2004 - client's


def _read_file(name: str) -> dict[str, Any]:
    if not name:
        return {}
    try:
        tree = msgspec.yaml.decode(Path(name).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())  # PyYAML's has five lines
        raise UserError(f"TAILRACE_CONFIG: cannot read {name} ({why})", remedy="name a readable YAML file") from None
    if not isinstance(tree, dict):
        raise UserError(f"{name}: must be a mapping of sections", remedy="see `tailrace settings`")
    return tree
