"""`tailrace demo`: the main job, on a real broker, in one command."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

SHORT, FULL = 60_000, 48_000
EACH = 1 << 30  # trainings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    *,
    pipeline: Annotated[str, typer.Option(help="Folder, pipeline.yaml or name.")] = "flights",
    records: Annotated[
        int | None, typer.Option(min=100, help="Records to replay.", show_default="60,000; --full: 48,000")
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Records a second; 0: as fast as it goes.")] = 6_000.0,
    full: Annotated[
        bool,
        typer.Option("--full", help="The whole story: every retraining, a bad challenger, what it brought."),
    ] = False,
    wait: Annotated[
        int | None,
        typer.Option(min=0, help="Trainings that the replay waits for.", show_default="the first; --full: each"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Scorer workers.")] = 2,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="Training ends and the replay begins here: a date (UTC) or RFC 3339.",
            show_default="history.train_until",
        ),
    ] = "",
    from_month: Annotated[
        int | None,
        typer.Option(min=1, max=12, help="The same as a month of the year in which the history's training begins."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the malformed records and trace ids.")] = 7,
    no_kill: Annotated[bool, typer.Option("--no-kill", help="Kill no worker on the way.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the monitor's page (HTML, self-contained) here.", show_default="none")
    ] = None,
    attach: Annotated[bool, typer.Option("--attach", help="Use the stack that `tailrace up` started.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Train on a pipeline's past, score what followed through Kafka, kill a worker, retrain, swap, close the books.

    Labels come as late as they did, and the monitor joins them meanwhile. When it asks for a new model, the replay
    waits for the training, the gate and the swap, as slow time would. Ends with a summary that proves that each record
    has exactly one committed outcome (exit code 1 if one was lost or doubled), with the quality of the predictions
    where labels are known, with what the monitor saw, by month, and with where each version began.

    Example: `tailrace demo --pipeline taxi --records 50000`, `tailrace demo --full`
    """
    began = time.monotonic()
    from services.retrainer.dataset import bound  # noqa: PLC0415 - keeps --help fast
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from shared.core.errors import UserError  # noqa: PLC0415 - the same
    from tailrace.cli.common import cli_settings, emit  # noqa: PLC0415 - the same
    from tailrace.demo.main import Request, play  # noqa: PLC0415 - the same
    from tailrace.demo.part import month  # noqa: PLC0415 - the same
    from tailrace.demo.screen import Screen  # noqa: PLC0415 - the same
    from tailrace.demo.summary import conclusion  # noqa: PLC0415 - the same
    from tailrace.stack.endpoints import Endpoints  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    if start and from_month is not None:
        raise UserError("both --from and --from-month are given", remedy="choose one")
    at = bound(start, "--from") if from_month is None else month(loaded.spec, from_month)
    request = Request(
        records=records or (FULL if full else SHORT), rate=rate, workers=workers, seed=seed, start=at, kill=not no_kill,
        wait=wait if wait is not None else EACH if full else 1, full=full, report=report,
    )  # fmt: skip
    external = Endpoints.from_env()
    if attach:
        settings = cli_settings()
        external = Endpoints(
            kafka=settings.kafka.bootstrap_servers, redis=settings.redis.url, mlflow=settings.mlflow.url
        )
    home = tempfile.TemporaryDirectory(prefix="tailrace-demo-", ignore_cleanup_errors=True)
    with stoppable(), home as folder, Screen(loaded.spec) as screen:
        summary = play(loaded, request, state=Path(folder), external=external, screen=screen, began=began)
    emit(summary, as_json, lambda: conclusion(summary, loaded.spec.labels.unit))
    raise typer.Exit(0 if summary.ok else 1)
