"""`tailrace archive run|status|erase PIPELINE`: outcomes as Parquet files, which training reads."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.retrainer.archive.erase import Erasure
    from services.retrainer.archive.status import Status

Where = Annotated[str, typer.Argument(metavar="PIPELINE", help="Folder, pipeline.yaml or name.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]

archive = typer.Typer(no_args_is_help=True, help="Outcomes as Parquet files: the set that models are trained on.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(archive, name="archive")


@archive.command()
def run(pipeline: Where) -> None:
    """Archive a pipeline's outcomes until stopped (Ctrl-C).

    Where to says TAILRACE_ARCHIVE__URL (default: the folder `archive` in the state folder).

    Example: `tailrace archive run flights`
    """
    from tailrace.cli.common import run_service  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(run_service("archiver", pipeline, workers=1))


@archive.command()
def status(pipeline: Where, *, as_json: Json = False) -> None:
    """Say what the archive holds: rows, bytes, days, and how far each partition is in it.

    Example: `tailrace archive status flights`
    """
    from services.retrainer.archive import store  # noqa: PLC0415 - keeps --help fast
    from services.retrainer.archive.status import status as look  # noqa: PLC0415 - the same
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from tailrace.cli.common import cli_settings, emit  # noqa: PLC0415 - the same

    name, settings = load_pipeline(pipeline).spec.name, cli_settings()
    opened = store.Archive(store.archive_url(settings), name)
    found = look(opened, name, opened.span() or settings.archive.range)
    emit(found, as_json, lambda: _status_text(found))


@archive.command()
def erase(
    pipeline: Where,
    *,
    key: Annotated[str, typer.Option("--key", help="The entity, as it stood in its records.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it only says what it would touch.")] = False,
    as_json: Json = False,
) -> None:
    """Take every outcome of one entity out of the archive, for good. It may be repeated.

    A hash of the key is kept, so that nothing of it is archived again. Where the pipeline hashes keys, its secret
    finds the pseudonym. What stands in Kafka's topics goes with their retention; models that learnt from it stay.

    Example: `tailrace archive erase flights --key N14228 --yes`
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - keeps --help fast

    from services.retrainer.archive import store  # noqa: PLC0415 - the same
    from services.retrainer.archive.erase import erase as take_out  # noqa: PLC0415 - the same
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from shared.core.privacy import Redactor  # noqa: PLC0415 - the same
    from shared.runtime.secrets import privacy_secret  # noqa: PLC0415 - the same
    from tailrace.cli.common import cli_settings, emit  # noqa: PLC0415 - the same

    spec, settings = load_pipeline(pipeline).spec, cli_settings()
    redactor = Redactor(spec.privacy, spec.record, privacy_secret(settings.privacy, spec.privacy))
    opened = store.Archive(store.archive_url(settings), spec.name)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found = take_out(opened, spec.name, redactor.key(key.encode()).decode(), asked=now, apply=yes)
    emit(found, as_json, lambda: _erasure_text(found))
    raise typer.Exit(1 if found.unreadable else 0)


def _status_text(found: "Status") -> str:
    days = f"{found.days:,} days, {found.first_day} to {found.last_day}" if found.days else "no complete range yet"
    lines = [f"{found.pipeline}: {found.rows:,} outcomes in {found.files:,} files, {found.bytes:,} bytes"]
    lines += [f"  at {found.url}", f"  {days}; ranges of {found.range:,} offsets"]
    for log in found.logs:
        tail = "" if log.tail is None else f", tail to {log.tail:,}"
        gaps = f", no file for {', '.join(f'{a:,}-{b:,}' for a, b in log.missing)}" if log.missing else ""
        ranges = f"{log.ranges:,} ranges, offsets {log.start:,}-{log.end:,}"
        lines.append(f"  partition {log.partition} ({log.topic} {log.generation}): {ranges}{tail}{gaps}")
    lines += [f"  {found.erased:,} subjects erased"] if found.erased else []
    lines += [f"  warning: {name} is not readable, and not used" for name in found.unreadable]
    return "\n".join(lines)


def _erasure_text(found: "Erasure") -> str:
    lines = [f"{one.file}: {one.rows:,} rows" for one in found.touched]
    what = "gone" if found.applied else "would go (nothing was changed: add --yes)"
    lines.append(f"{found.rows:,} rows of {len(found.touched):,} files {what}")
    lines += [f"warning: {name} is not readable: whether it has the key, nobody can tell" for name in found.unreadable]
    return "\n".join(lines)
