"""`tailrace doctor`: what is wrong, why, and the next command."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name; without one, only the servers.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at servers, topics, workers, models and this machine; name each fault, its cause and the next command.

    Exit code 0: all is well, 1: something was found. It changes nothing, and ends within 15 s even if nothing answers.

    Example: `tailrace doctor flights`
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.doctor.checks import examine  # noqa: PLC0415 - the same
    from tailrace.doctor.gather import gather  # noqa: PLC0415 - the same
    from tailrace.doctor.report import Report, text  # noqa: PLC0415 - the same

    spec = load_pipeline(pipeline).spec if pipeline else None
    report = Report.of(examine(gather(spec, pipeline)), pipeline)
    emit(report, as_json, lambda: text(report))
    raise typer.Exit(0 if report.ok else 1)
