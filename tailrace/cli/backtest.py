"""`tailrace backtest`: what a retraining policy would have done on a stream, without Kafka."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

_PHASES, _SEEDS = 7, 5


def register(app: typer.Typer) -> None:
    """Add `tailrace backtest`."""
    app.command()(backtest)


def backtest(
    *,
    stream: Annotated[
        str,
        typer.Option(
            help="flights_late, flights_air, sea_abrupt, agrawal_abrupt, agrawal_gradual, hyper_gradual or no_drift; "
            "or a pipeline (folder, pipeline.yaml or name), whose history is played."
        ),
    ],
    phases: Annotated[int, typer.Option(min=1, max=60, help="Start days of the clock, of a pipeline.")] = _PHASES,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds, of a generated stream.")] = _SEEDS,
    delay: Annotated[str, typer.Option(help="No label is known sooner than this after its record.")] = "1d",
    gate: Annotated[
        bool, typer.Option("--gate", help="Also without the gate, and with challengers of shuffled labels.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture of gain by retrains here (SVG).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Play a stream with the declared retraining: gain over never retraining, as a share of retraining at each step.

    The same detectors, policy, schedule and gate as the running system, without Kafka. Labels come late, and only what
    is known trains or alarms. Beside it stand never, at every step, and a plain clock of about as many retrains.
    Exit code 1: a bar of the stream is missed. Models are kept in the cache, so that a second run takes seconds.

    Example: `tailrace backtest --stream agrawal_abrupt --seeds 2`
    """
    from shared.core import durations  # noqa: PLC0415 - keeps --help fast
    from shared.core.errors import UserError  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.cache import cache_folder  # noqa: PLC0415 - the same

    try:
        late = round(durations.parse(delay) * 1_000)
    except ValueError as error:
        raise UserError(f"--delay: {error}", remedy="write 1d or 6h") from None
    from tailrace.backtest.plot import picture  # noqa: PLC0415 - keeps --help fast
    from tailrace.backtest.study import Ask, study  # noqa: PLC0415 - the same
    from tailrace.backtest.synthetic import KINDS  # noqa: PLC0415 - the same
    from tailrace.backtest.text import table  # noqa: PLC0415 - the same

    runs = seeds if stream in KINDS else phases
    ask = Ask(stream, runs, delay=late, gate=gate, line=plot is not None)
    report = study(ask, cache_folder(), _Progress())
    if plot is not None:
        try:
            plot.write_text(picture(report), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{plot}: cannot be written ({error.strerror})", remedy="name another file") from None
    emit(report, as_json, lambda: table(report))
    raise typer.Exit(0 if report.ok else 1)


class _Progress:
    """Lines on standard error, each with the seconds since the start."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self._begin:6.1f} s  {text}", file=sys.stderr, flush=True)
