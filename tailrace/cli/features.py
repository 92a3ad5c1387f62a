"""`tailrace features PIPELINE`: the feature writer of one pipeline on this machine."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("features")(features)


def features(pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")]) -> None:
    """Write a pipeline's features from their topic into Redis until stopped (Ctrl-C).

    It is started again with back-off when it ends. One is enough for most pipelines; more share the partitions.

    Example: `tailrace features flights`
    """
    from tailrace.cli.common import run_service  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(run_service("features", pipeline, workers=1))
