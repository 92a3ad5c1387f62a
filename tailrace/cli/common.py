"""What every command shares: the settings in force, and one way to print a result."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import typer

from shared.runtime.settings import Settings, load_settings
from tailrace.stack.running import running_stack
from tailrace.stack.state import state_folder

_warned: set[str] = set()


def cli_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings; addresses that are not set are those of the stack that runs on the state folder, if one does.

    Warnings about unknown variables go to standard error, once a process.

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
    return settings


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

    settings, loaded = cli_settings(), load_pipeline(pipeline)
    servers = Endpoints(kafka=settings.kafka.bootstrap_servers, redis=settings.redis.url, mlflow=settings.mlflow.url)
    return run_workers(service, loaded, servers, state_folder(os.environ), workers, first_slot)
