"""`tailrace monitor ask PIPELINE`: an operator's wish that a model be trained anew."""

import os
from typing import Annotated

import typer

from tailrace.cli.monitor import monitor


def register(app: typer.Typer) -> None:
    """Add the command, to `tailrace monitor`."""
    del app
    monitor.command()(ask)


def ask(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, in words; stands in the request.", prompt=False)],
    kafka: Annotated[str, typer.Option(help="Bootstrap servers.", show_default="as set, or the embedded stack's")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask that the model in force be trained anew, whatever its figures say.

    The analyst decides on it like on everything else: inside a cool-down it waits for its end, and one request serves
    all that ask. It is asked once this command ends; the request comes on the topic `retrain`.

    Example: `tailrace monitor ask flights --reason "new airline from Monday on"`
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, emit, need  # noqa: PLC0415 - the same

    spec = load_pipeline(pipeline).spec
    settings = cli_settings({**os.environ, **({"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka} if kafka else {})})
    need(settings, "kafka")
    from tailrace.monitor.ask import send_ask  # noqa: PLC0415 - the same

    asked = send_ask(spec, settings, reason)
    emit(asked, as_json, lambda: f"asked as {asked.id}; `tailrace monitor status {spec.name}` shows what becomes of it")
