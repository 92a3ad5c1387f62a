"""What every command shares: the settings in force, and one way to print a result."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import typer

from shared.runtime.settings import Settings, load_settings
from tailrace.stack.running import running_stack
from tailrace.stack.state import state_folder

_warned: set[str] = set()


def cli_settings(environ: Mapping[str, str] | None = None, *, quiet: bool = True) -> Settings:
    """The settings; addresses that are not set are those of the stack that runs on the state folder, if one does.

    Warnings about unknown variables go to standard error, once a process.

    Args:
        environ: the environment; the process's own when None.
        quiet: keep librdkafka's own lines off the terminal, unless `kafka.client` sets a `log_level`: what fails is
            raised with its reason and shown as one line.

    Raises:
        UserError: a setting is wrong; names the variable or file.
    """
    env = dict(os.environ if environ is None else environ)
    for name, address in running_stack(env).items():
        env.setdefault(name, address)
    settings, warnings = load_settings(env)
    for warning in warnings:
        if warning not in _warned:
            _warned.add(warning)
            typer.echo(f"warning: {warning}", err=True)
    if not quiet:
        return settings
    client = {"log_level": "2", **settings.kafka.client}
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, client=client))


def need(settings: Settings, *parts: Literal["kafka", "redis", "mlflow"]) -> None:
    """Check that something listens where the settings say, before a command begins its work.

    Raises:
        UserError: an address is none, or nothing answers there; names the server, the variable and the remedy.
    """
    from tailrace.stack.endpoints import Endpoints, check_reachable  # noqa: PLC0415 - keeps --help fast

    servers = Endpoints(kafka=settings.kafka.bootstrap_servers, redis=settings.redis.url, mlflow=settings.mlflow.url)
    for part in parts:
        check_reachable(part, servers.get(part), remedy="start the embedded stack (`tailrace up --detach`)")


def emit(obj: Any, as_json: bool, human: Callable[[], str]) -> None:  # noqa: FBT001 - the flag as the user gave it
    """Print a result on standard output.

    Args:
        obj: the result; with `--json` exactly this, one JSON value (structs, dataclasses, dicts, lists).
        as_json: whether `--json` was given.
        human: makes the text for a person; nothing is printed where it is empty.
    """
    text = msgspec.json.format(msgspec.json.encode(obj), indent=2).decode() if as_json else human()
    if text:
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()


def run_service(service: str, pipeline: str, *, workers: int, first_slot: int = 0) -> int:
    """Run workers of one of our services in the foreground, against the servers that the settings name.

    Returns:
        The exit code.

    Raises:
        UserError: the pipeline or a setting is wrong.
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.stack.endpoints import Endpoints  # noqa: PLC0415 - the same
    from tailrace.stack.workers import run_workers  # noqa: PLC0415 - the same

    loaded, settings = load_pipeline(pipeline), cli_settings()
    need(settings, "kafka")
    servers = Endpoints(kafka=settings.kafka.bootstrap_servers, redis=settings.redis.url, mlflow=settings.mlflow.url)
    return run_workers(service, loaded, servers, state_folder(os.environ), workers, first_slot)
