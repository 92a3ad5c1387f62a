"""`tailrace scorer PIPELINE`: workers of one pipeline on this machine, each a process of its own."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scorer")(scorer)


def scorer(
    pipeline: Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")],
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; best one a core.")] = 1,
    slot: Annotated[int, typer.Option(min=0, help="First worker slot; other machines take other slots.")] = 0,
) -> None:
    """Score a pipeline's records until stopped (Ctrl-C).

    Each worker has a stable transactional id made of its slot, so two machines must use different slots. A worker
    that ends is started again with back-off; the others go on.

    Example: `tailrace scorer flights --workers 2`
    """
    from tailrace.cli.common import run_service  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(run_service("scorer", pipeline, workers=workers, first_slot=slot))
