"""`tailrace dlq list|show|replay PIPELINE`: what could not be scored, why, and sending it again after a repair."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.core.errors import UserError

if TYPE_CHECKING:
    from services.ingest.dlq.terms import Shown
    from shared.core.dlq import Selection
    from shared.core.pipeline import PipelineSpec
    from shared.core.topics import TopicName
    from shared.runtime.settings import Settings

Where = Annotated[str, typer.Argument(metavar="PIPELINE", help="Folder, pipeline.yaml or name.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
Topic = Annotated[str, typer.Option(help="Dead-letter topic.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only letters of this reason; may be repeated.")]
Since = Annotated[str, typer.Option(help="Written since: a date, RFC 3339 (UTC unless said), or 2h for two hours ago.")]
Until = Annotated[str, typer.Option(help="Written before, the same.")]

dlq = typer.Typer(no_args_is_help=True, help="Look at dead letters, and replay them after a repair.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dlq, name="dlq")


@dlq.command("list")
def list_(
    pipeline: Where,
    *,
    topic: Annotated[str, typer.Option(help="One dead-letter topic.", show_default="all of them")] = "",
    reason: Reasons = None,
    since: Since = "",
    until: Until = "",
    as_json: Json = False,
) -> None:
    """Count dead letters by reason: how many, since when, how many were replayed, what usually mends them.

    Example: `tailrace dlq list flights --since 2h`
    """
    from services.ingest.dlq.main import list_letters  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.cli.dlq_text import Told, list_text  # noqa: PLC0415 - the same

    spec, settings = _open(pipeline)
    names = [_topic(spec, topic)] if topic else []
    found = list_letters(spec, settings, names, _selection(reason, since, until), Told())
    emit(found, as_json, lambda: list_text(found, pipeline))


@dlq.command()
def show(
    pipeline: Where,
    position: Annotated[str, typer.Argument(help="As `dlq list` gives it, or 2@17.", show_default=False)] = "",
    *,
    topic: Topic = "records.dlq",
    reason: Reasons = None,
    since: Since = "",
    until: Until = "",
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="At most so many, the newest.")] = 10,
    raw: Annotated[bool, typer.Option("--raw", help="The body of one letter, byte by byte, and nothing else.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the body of one letter, byte by byte, to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Show letters: body, reason, detail, where the record stood, its trace, and what a replay would do.

    Example: `tailrace dlq show flights 'flights.records.dlq[2]@17' --raw > record.json`
    """
    from services.ingest.dlq.main import show_letters  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.cli.dlq_text import Told, show_json, show_text  # noqa: PLC0415 - the same

    if not position and not reason:
        raise UserError("which letters?", remedy="name a position or a --reason (`tailrace dlq list` has both)")
    spec, settings = _open(pipeline)
    selection = _selection(reason, since, until, [position] if position else [], spec, topic)
    name = _named(spec, selection, topic)
    found = show_letters(spec, settings, name, selection, 1 if raw or out else n, Told())
    if raw or out:
        _write(found, out)
        return
    emit(
        [show_json(one) for one in found],
        as_json,
        lambda: "\n\n".join(map(show_text, found)) or f"{spec.name}.{name}: no such letter",
    )


@dlq.command()
def replay(
    pipeline: Where,
    *,
    topic: Topic = "records.dlq",
    reason: Reasons = None,
    position: Annotated[list[str] | None, typer.Option("--position", help="Only this letter; may be repeated.")] = None,
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0: no limit.")] = 0,
    max_attempts: Annotated[int, typer.Option(min=1, help="Leave out what failed so often already.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Send named positions although they are forged, superseded or failed often.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send letters to the topic that they came from: the same bytes, key and id, each letter once.

    Do it after a repair. A second replay sends nothing twice, whatever ended the first. Exit 1: a named position
    could not be sent.

    Example: `tailrace dlq replay flights --reason out_of_range --dry-run`
    """
    from services.ingest.dlq.main import replay_letters  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.cli.dlq_text import Told, replay_text  # noqa: PLC0415 - the same

    if force and not position:
        raise UserError("--force goes with --position", remedy="name the letters that are to be sent all the same")
    spec, settings = _open(pipeline)
    meant = _selection(reason, since, until, position or [], spec, topic, max_attempts, force=force)
    name = _named(spec, meant, topic)
    report = replay_letters(spec, settings, name, meant, limit=limit, dry_run=dry_run, progress=Told())
    emit(report, as_json, lambda: replay_text(report))
    if position and report.refused:
        raise typer.Exit(1)


def _open(pipeline: str) -> "tuple[PipelineSpec, Settings]":
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - the same

    spec, settings = load_pipeline(pipeline).spec, cli_settings()
    need(settings, "kafka")
    return spec, settings


def _topic(spec: "PipelineSpec", text: str) -> "TopicName":
    from shared.core.dlq import letter_topics  # noqa: PLC0415 - keeps --help fast

    known = letter_topics()
    for name in known:
        if text in (name, f"{spec.name}.{name}"):
            return name
    raise UserError(f"{text} is no dead-letter topic of {spec.name}", remedy=f"it has {', '.join(known)}")


def _named(spec: "PipelineSpec", selection: "Selection", topic: str) -> "TopicName":
    """The topic of the named positions, or the one that was asked for."""
    topics = {position.topic for position in selection.positions} or {topic}
    if len(topics) > 1:
        raise UserError("positions of several topics are named", remedy="take one topic at a time")
    return _topic(spec, topics.pop())


def _selection(
    reasons: list[str] | None,
    since: str,
    until: str,
    positions: list[str] | tuple[str, ...] = (),
    spec: "PipelineSpec | None" = None,
    topic: str = "",
    max_attempts: int = 3,
    *,
    force: bool = False,
) -> "Selection":
    from shared.core.dlq import Selection, parse_position  # noqa: PLC0415 - keeps --help fast

    _check_reasons(reasons or [])
    try:
        at = [parse_position(text, topic) for text in positions]
    except ValueError as error:
        raise UserError(str(error), remedy="`tailrace dlq list` gives positions") from None
    if spec is not None:
        at = [one._replace(topic=f"{spec.name}.{_topic(spec, one.topic)}") for one in at]
    return Selection(
        reasons=frozenset(reasons or ()),
        positions=frozenset(at),
        since=_moment("--since", since),
        until=_moment("--until", until),
        max_attempts=max_attempts,
        force=force,
    )


def _check_reasons(given: list[str]) -> None:
    from difflib import get_close_matches  # noqa: PLC0415 - keeps --help fast

    from shared.core import reasons as known  # noqa: PLC0415 - the same

    for word in given:
        if word not in known.ALL:
            near = get_close_matches(word, known.ALL, 1)
            remedy = f"did you mean {near[0]}?" if near else f"one of {', '.join(sorted(known.ALL))}"
            raise UserError(f"--reason {word} is no reason", remedy=remedy)


def _moment(option: str, text: str) -> int | None:
    """Milliseconds since 1970; a span is counted back from now."""
    import time  # noqa: PLC0415 - keeps --help fast
    from datetime import UTC, datetime  # noqa: PLC0415 - the same

    from shared.core import durations  # noqa: PLC0415 - the same

    if not text:
        return None
    try:
        return int((time.time() - durations.parse(text)) * 1000)
    except ValueError:
        pass
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option}: {text!r} is no date", remedy="write 2h, 2026-02-01 or 2026-02-01T05:00Z") from None
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000)


def _write(found: "list[Shown]", out: Path | None) -> None:
    """The bytes of one letter, as they are; exit 1 where there are none."""
    letter = found[-1].letter if found else None
    if letter is None or letter.body is None:
        print(
            f"tailrace: {letter.at} has no body ({letter.kind})" if letter else "tailrace: no letter", file=sys.stderr
        )
        raise typer.Exit(1)
    if out is None:
        sys.stdout.buffer.write(letter.body)
        sys.stdout.buffer.flush()
        return
    try:
        out.write_bytes(letter.body)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror}", remedy="name a file to write to") from None
