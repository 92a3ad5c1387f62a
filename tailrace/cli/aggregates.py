"""`tailrace aggregates PIPELINE`: what a pipeline's aggregates need, on this machine."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("aggregates")(aggregates)


def aggregates(pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")]) -> None:
    """Keep a pipeline's entity aggregates from its records until stopped (Ctrl-C).

    Two processes: one brings the records of an entity together, one computes. They are started again when they end.
    The feature writer (`tailrace features`) takes what they compute to Redis.

    Example: `tailrace aggregates churn`
    """
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from shared.core.errors import UserError  # noqa: PLC0415 - the same
    from tailrace.cli.common import run_service  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    if not any(lookup.aggregates for lookup in loaded.spec.lookups.values()):
        raise UserError(f"{loaded.folder}: no lookup group has aggregates", remedy="there is nothing to keep")
    raise typer.Exit(run_service("aggregates", pipeline, workers=1))
