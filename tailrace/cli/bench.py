"""`tailrace bench`: what the parts cost on this machine."""

from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, help="Measure what the parts cost on this machine.")


def register(app: typer.Typer) -> None:
    """Add `tailrace bench`."""
    app.add_typer(bench, name="bench")


@bench.callback()
def group() -> None:
    """Measure what the parts cost on this machine."""


@bench.command()
def scorer(
    *,
    records: Annotated[int, typer.Option(min=1_000, help="Records to score in each run.")] = 200_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score preloaded records with one worker, and with a bare loop beside it that writes the same bytes.

    On an embedded Kafka of its own, gone at the end. Each run reads the same topic. Figures are of this machine as it
    is now: whatever else runs on it is in them.

    Example: `tailrace bench scorer --records 50000`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.scorer import measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), records)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def tasks(
    *,
    records: Annotated[int, typer.Option(min=1_000, help="Records to score in each run.")] = 50_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score with two classes, seven classes, a value, and a value with an interval: what does the task itself cost?

    The scorer's processor time a record, that of its model alone, and what is left for the task: it should not be
    more than the model's. Exit code 1 if it is. On an embedded Kafka of its own, gone at the end.

    Example: `tailrace bench tasks --records 20000`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.tasks import measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), records)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def peers(
    *,
    records: Annotated[int, typer.Option(min=10_000, help="Records to score in each run.")] = 200_000,
    peer: Annotated[list[str] | None, typer.Option("--peer", help="Only this one; can be given again.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score the same records with Quix Streams, FastStream, Bytewax and Faust, beside a bare loop and our scorer.

    Each framework has an environment of its own, from its own lock, kept in the cache. Exit code 1 if one could not
    run, or if ours is not as many times as fast as it is to be.

    Example: `tailrace bench peers --records 50000 --peer bytewax`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.peer_result import table  # noqa: PLC0415 - the same
    from tailrace.bench.peers import measure  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), records, peer or ())
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)
