"""`tailrace monitor status` and `report`: the present picture of a pipeline's predictions."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from tailrace.monitor.main import Monitor
    from tailrace.monitor.status import Status

_Pipeline = Annotated[str, typer.Argument(help="Folder, pipeline.yaml or name.")]
_Kafka = Annotated[str, typer.Option(help="Bootstrap servers.", show_default="as set, or the embedded stack's")]
_AS_BEFORE = "; as it was before:\n\n"
_RANK = {"ok": 0, "unknown": 0, "warn": 1, "alarm": 2}


def status(
    pipeline: _Pipeline,
    *,
    kafka: _Kafka = "",
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two looks (--watch).")] = 5.0,
    fail_on: Annotated[
        Literal["never", "warn", "alarm"], typer.Option(help="Exit with 1 if anything stands so high, or higher.")
    ] = "never",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with every figure.")] = False,
) -> None:
    """Say whether the monitor works, how good the predictions are, what changed, and what to do.

    From the topics alone, by the analyst's own code, whether it lives or not; it writes nothing. Times are event times,
    intervals of 95 %, and what nobody knows is `unknown`, never 0. Exit code 0 whatever it shows, unless --fail-on.

    Example: `tailrace monitor status flights --fail-on alarm`
    """
    from shared.core.errors import UserError  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same

    if watch and as_json:
        raise UserError("--watch and --json do not go together", remedy="ask for --json as often as you need it")
    monitor = _open(pipeline, kafka)
    from tailrace.monitor.status_text import status_text  # noqa: PLC0415 - after what fails at once

    if watch:
        _watch(monitor, every)
    told = monitor.status()
    emit(told, as_json, lambda: status_text(told))
    raise typer.Exit(_code(told, fail_on))


def report(
    pipeline: _Pipeline,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("report.html"),
    kafka: _Kafka = "",
) -> None:
    """Write the whole picture to one page that loads nothing from anywhere: mail it, print it, keep it.

    Quality over time with its band, label coverage and delays, drift by feature with histograms, calibration, confusion
    matrix, slices, importance, versions. From the topics alone; it writes nothing else.

    Example: `tailrace monitor report flights -o report.html`
    """
    monitor = _open(pipeline, kafka)
    from tailrace.monitor.main import write_page  # noqa: PLC0415 - after what fails at once

    write_page(monitor.report(), output)
    print(output)


def _open(pipeline: str, kafka: str) -> "Monitor":
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - the same

    spec = load_pipeline(pipeline).spec
    given = {"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka} if kafka else {}
    settings = cli_settings({**os.environ, **given})
    need(settings, "kafka")
    from tailrace.monitor.main import Monitor  # noqa: PLC0415 - after what fails at once

    return Monitor(spec, settings, lambda line: print(line, file=sys.stderr))


def _watch(monitor: "Monitor", every: float) -> None:
    """One screen that stays where it is; without a terminal one picture after the other."""
    from rich.console import Console  # noqa: PLC0415 - keeps --help fast
    from rich.live import Live  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    console, told = Console(highlight=False), ""
    if not console.is_terminal:
        while True:
            told = _again(monitor, told)
            print(told, end="\n\n", flush=True)
            time.sleep(every)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            told = _again(monitor, told)
            live.update(Text(told), refresh=True)
            time.sleep(every)


def _again(monitor: "Monitor", before: str) -> str:
    """The present picture; while it cannot be had, the last one, and why."""
    from shared.core.errors import TailraceError  # noqa: PLC0415 - keeps --help fast
    from tailrace.monitor.status_text import status_text  # noqa: PLC0415 - the same

    try:
        return status_text(monitor.status())
    except TailraceError as error:
        last = before.rpartition(_AS_BEFORE)[2]
        return f"cannot be read now: {error}{_AS_BEFORE}{last}" if last else f"cannot be read now: {error}"


def _code(told: "Status", fail_on: str) -> int:
    return 1 if fail_on != "never" and _RANK[told.state] >= _RANK[fail_on] else 0
