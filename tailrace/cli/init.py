"""`tailrace init`: from a CSV file to a pipeline that validates, trains and scores."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shared.core.errors import UserError

if TYPE_CHECKING:
    from tailrace.initialise.main import InitReport


def register(app: typer.Typer) -> None:
    """Add `tailrace init`."""
    app.command("init")(init)


def init(
    name: Annotated[str, typer.Argument(help="The new pipeline's name: a-z, 0-9 and _.")],
    *,
    source: Annotated[Path, typer.Option("--from", help="CSV file of past records, with a line of column names.")],
    label: Annotated[str, typer.Option(help="Column that is predicted.", show_default="guessed")] = "",
    no_label: Annotated[bool, typer.Option("--no-label", help="There is none: score how unusual a record is.")] = False,
    task: Annotated[
        Literal["", "binary", "multiclass", "regression"], typer.Option(help="Kind of answer.", show_default="guessed")
    ] = "",
    key: Annotated[str, typer.Option(help="Column that names the entity.", show_default="guessed")] = "",
    record_id: Annotated[str, typer.Option("--id", help="Column that names the record.", show_default="guessed")] = "",
    time_column: Annotated[
        str, typer.Option("--time", help="Column of the event time; none: take no column.", show_default="guessed")
    ] = "",
    label_delay: Annotated[
        str, typer.Option(help="How long after its record a label is known.", show_default="1d, less in a short file")
    ] = "",
    positive: Annotated[
        str, typer.Option(help="Class that a binary score is the probability of.", show_default="guessed")
    ] = "",
    drop: Annotated[list[str] | None, typer.Option(help="Column to leave out; may be given again.")] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--as", metavar="COL=KIND", help="number, category, boolean, time, text or drop; again."),
    ] = None,
    dates: Annotated[
        Literal["", "day-first", "month-first"],
        typer.Option(help="Order of day and month in 3/4/2013.", show_default="by the column as a whole"),
    ] = "",
    delimiter: Annotated[str, typer.Option(help="What divides cells; \\t for a tab.", show_default="guessed")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="pipelines/NAME")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier init.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a pipeline from a CSV file: schema, task, key and time are guessed, and each guess says why.

    Rows that cannot be used are in `rejected.csv` with line, reason and text.

    Example: tailrace init penguins --from penguins.csv --label Species
    """
    from tailrace.cli.common import emit  # noqa: PLC0415 - keeps --help fast
    from tailrace.initialise.main import initialise  # noqa: PLC0415 - the same
    from tailrace.initialise.plan import Request  # noqa: PLC0415 - the same

    ask = Request(
        name=_name(name),
        path=source,
        label=label,
        no_label=no_label,
        task=task,
        key=key,
        id=record_id,
        time=time_column,
        delay=label_delay,
        positive=positive,
        drop=tuple(drop or ()),
        kinds=dict(map(_kind, kinds or ())),
        dates=dates,
        delimiter=_delimiter(delimiter),
    )
    if label and no_label:
        raise UserError("--label and --no-label say opposite things", remedy="give one of them")
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    report = initialise(ask, out or _folder(name), say, dry=dry_run, force=force)
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    emit(report, as_json, lambda: told(report))


def told(report: "InitReport") -> str:
    """The guesses as a table, what is lost, and what to do next."""
    rows = [(one.what, one.guess, f"{one.why} ({one.flag})" if one.flag else one.why) for one in report.guesses]
    widths = [min(max(len(row[i]) for row in rows), limit) for i, limit in ((0, 32), (1, 44))]
    lines = [f"{what:<{widths[0]}}  {guess:<{widths[1]}}  {why}" for what, guess, why in rows]
    lines += [f"lost: {text}" for text in report.lost]
    if report.rejected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.reasons.items())
        lines.append(f"left out: {report.rejected:,} rows ({reasons})")
    done = (
        f"{report.records:,} records, {report.labelled:,} labelled, {report.features} features, {report.seconds:.1f} s"
    )
    if not report.files:
        return "\n".join([*lines, f"dry run: nothing written · {done}"])
    where = report.pipeline if report.folder == str(_folder(report.pipeline)) else shlex.quote(report.folder)
    following = f"next: tailrace validate {where} && tailrace train {where}"
    return "\n".join([*lines, f"{report.folder}: {', '.join(report.files)} · {done}", following])


def _folder(name: str) -> Path:
    import os  # noqa: PLC0415 - for this line only

    return Path(os.environ.get("TAILRACE_PIPELINES") or "pipelines") / name


def _name(text: str) -> str:
    import re  # noqa: PLC0415 - for this line only

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", text):
        raise UserError(f"{text}: is no name of a pipeline", remedy="use a-z, 0-9 and _, a letter first, at most 63")
    return text


def _kind(text: str) -> tuple[str, str]:
    column, equals, kind = text.rpartition("=")
    if not equals or not column:
        raise UserError(f"--as {text}: says no kind", remedy='write --as "COLUMN=category"')
    return column, kind


def _delimiter(text: str) -> str:
    one = {"\\t": "\t", "tab": "\t"}.get(text, text)
    if len(one) > 1:
        raise UserError(f"--delimiter {text}: is more than one character", remedy="write ; or , or \\t")
    return one
