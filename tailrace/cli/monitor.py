"""`tailrace monitor`: the present picture, and whether its figures are right, worked out again from the topics."""

import os
import sys
from typing import Annotated

import typer

from tailrace.cli import monitor_picture

monitor = typer.Typer(name="monitor", no_args_is_help=True, help="Look at what the monitor says, and check it.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(monitor)


monitor.command()(monitor_picture.status)
monitor.command()(monitor_picture.report)


@monitor.callback()
def options() -> None:
    """Look at what the monitor says, and check it."""


@monitor.command()
def recompute(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")],
    *,
    kafka: Annotated[str, typer.Option(help="Bootstrap servers.", show_default="as set, or the embedded stack's")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with every figure.")] = False,
) -> None:
    """Work every figure of the observers out again from the journal, with pandas, and compare it with theirs.

    Reads `journal` from its start to the offsets that the observers have committed; prints labels by status, quality by
    version and window, and each figure that differs. Exit 1: one does. It writes nothing, and they may go on meanwhile.

    Example: `tailrace monitor recompute flights`
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, emit, need  # noqa: PLC0415 - the same

    spec = load_pipeline(pipeline).spec
    given = {"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka} if kafka else {}
    settings = cli_settings({**os.environ, **given})
    need(settings, "kafka")
    from tailrace.recompute.main import recompute_monitor  # noqa: PLC0415 - pandas, after what fails at once
    from tailrace.recompute.text import report_text  # noqa: PLC0415 - the same

    report = recompute_monitor(spec, settings, lambda line: print(line, file=sys.stderr))
    emit(report, as_json, lambda: report_text(report))
    raise typer.Exit(0 if report.equal else 1)
