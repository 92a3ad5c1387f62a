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
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each row; the median is printed.")] = 3,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only rows with this in their name.")] = None,
    pin: Annotated[bool, typer.Option(help="Give the worker a core to itself, and the broker the others.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score preloaded records with one worker, and with a bare loop beside it that writes the same bytes.

    A linear model and a forest, exactly once and at least once, with look-ups and without, observed and not. On an
    embedded Kafka of its own, gone at the end. Figures are of this machine as it is now: whatever else runs on it is
    in them. Exit code 1 if the two ever wrote different bytes.

    Example: `tailrace bench scorer --records 50000 --case linear`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.cases import chosen  # noqa: PLC0415 - the same
    from tailrace.bench.scorer import measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    cases = chosen(case or ())
    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), records, cases=cases, repeat=repeat, pin=pin)
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
    pin: Annotated[bool, typer.Option(help="Give each in turn a core to itself, and the broker the others.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score the same records with Quix Streams, FastStream, Bytewax and Faust, beside a bare loop and our scorer.

    Each framework has an environment of its own, from its own lock, kept in the cache, and runs as it comes and tuned.
    Exit code 1 if one could not run, or if ours is not as many times as fast as it is to be beside it as it comes.

    Example: `tailrace bench peers --records 50000 --peer bytewax`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.peer_result import table  # noqa: PLC0415 - the same
    from tailrace.bench.peers import measure  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), records, peer or (), pin=pin)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def latency(
    *,
    rate: Annotated[float, typer.Option(min=1, help="Records a second.")] = 1_000.0,
    seconds: Annotated[float, typer.Option(min=1, help="Of each round, after its warm-up.")] = 20.0,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds; the median is printed.")] = 3,
    pin: Annotated[bool, typer.Option(help="Give the worker a core to itself, and the broker the others.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure ms from a producer's send until the prediction is readable, beside the bare loop, exactly once.

    With observations and without, by turns. Exit code 1 if the median is above 1.25 times the bare loop's, or the
    99th of a hundred above 1.7 times. On an embedded Kafka of its own, gone at the end.

    Example: `tailrace bench latency --seconds 5`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.latency import measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), rate=rate, seconds=seconds, repeat=repeat, pin=pin)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def shadow(
    *,
    rate: Annotated[float, typer.Option(min=1, help="Records a second.")] = 1_000.0,
    seconds: Annotated[float, typer.Option(min=1, help="Of each round, after its warm-up.")] = 20.0,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds; the median of their ratios is printed.")] = 5,
    pin: Annotated[bool, typer.Option(help="Give the scorer a core to itself, and all else the others.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure ms from send to readable for the champion alone, and with a challenger scoring beside it as a shadow.

    By turns, with observations, exactly once. Exit code 1 if the median or the 99th of a hundred is above 1.1 times
    that of the champion alone. On an embedded Kafka of its own, gone at the end.

    Example: `tailrace bench shadow --seconds 5 --repeat 1`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.shadow import measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), rate=rate, seconds=seconds, repeat=repeat, pin=pin)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def burst(
    out: Annotated[str, typer.Option(help="Folder for the plot (burst.svg) and the figures (burst.json).")] = "burst",
    *,
    low: Annotated[float, typer.Option(min=1, help="Records a second before and after.")] = 100.0,
    high: Annotated[float, typer.Option(min=1, help="Records a second in the burst.")] = 50_000.0,
    seconds: Annotated[float, typer.Option(min=1, help="Of the burst, and before it; three times that after.")] = 5.0,
    pin: Annotated[bool, typer.Option(help="Give the worker a core to itself, and the broker the others.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Step the rate up and down again, and plot batch size, lag and p99 over time.

    Exit code 1 if p99 is not back within the pipeline's latency target 5 s after the burst's backlog is gone, or if
    a record was lost or doubled. On an embedded Kafka of its own, gone at the end.

    Example: `tailrace bench burst --high 20000 --out /tmp/burst`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.burst import measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), Path(out), low=low, high=high, seconds=seconds, pin=pin)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def scaleout(
    *,
    records: Annotated[int, typer.Option(min=1_000, help="Records of each run at full load.")] = 200_000,
    rate: Annotated[float, typer.Option(min=1, help="Records a second of the steady load.")] = 5_000.0,
    repeat: Annotated[int, typer.Option(min=1, help="Runs at full load; the median is printed.")] = 3,
    workers: Annotated[list[int] | None, typer.Option("--workers", help="How many; can be given again.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score with 1, 2 and 4 workers at full load; then at steady load add one, take it away, and restart all in turn.

    Prints records/s, who owned what, the longest pause of a partition, and what was lost or doubled. Exit code 1 if
    a partition paused for more than 3 s in the rolling restart, or a record was lost or doubled.

    Example: `tailrace bench scaleout --records 50000 --workers 1 --workers 2`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.scaleout import WORKERS, measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), records=records, rate=rate, repeat=repeat, workers=workers or WORKERS)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def drift(
    *,
    records: Annotated[int, typer.Option(min=10_000, help="Records without drift, of each stream.")] = 1_000_000,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each change.")] = 10,
    real: Annotated[bool, typer.Option("--flights/--no-flights", help="Also the flights of 2013.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count false alarms and measure delays of our detectors and feature monitor, beside those usually taken.

    On seeded streams with a known change, on streams without any, and on the errors of a model of real flights; no
    broker. Beside ADWIN, DDM, Page-Hinkley, KSWIN, tests of each feature, PSI > 0.2, and a dummy that alarms at
    random. Exit code 1 if a bar is missed; takes some minutes.

    Example: `tailrace bench drift --records 100000 --seeds 3`
    """
    from tailrace.bench.drift import measure  # noqa: PLC0415 - keeps --help fast
    from tailrace.bench.drift_table import table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    with stoppable():
        result = measure(records=records, seeds=seeds, real=real, say=to_stderr)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def estimate(*, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Compare the label-free estimate of accuracy with what came true, a week and a day of the flights of 2013.

    At the base rate as threshold and at 0.5, beside "as in the reference" and "as in the last window with labels", and
    on a stream whose concept changes, to which it is blind. No broker. Exit code 1 if a bar is missed.

    Example: `tailrace bench estimate`
    """
    from tailrace.bench.estimate import measure  # noqa: PLC0415 - keeps --help fast
    from tailrace.bench.estimate_table import table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same
    from tailrace.stack.stack import to_stderr  # noqa: PLC0415 - the same

    with stoppable():
        result = measure(to_stderr)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)


@bench.command()
def observer(
    *,
    records: Annotated[int, typer.Option(min=5_000, help="Predictions to fold; nearly as many labels.")] = 400_000,
    open_: Annotated[int, typer.Option("--open", min=0, help="Predictions that wait at once; 0: skip.")] = 1_000_000,
    pin: Annotated[bool, typer.Option(help="Give the observer a core to itself, and the broker the others.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fold predictions and labels with one observer: entries a second of a core, sizes, memory, and ways back.

    Every record is sampled, and half of the ids are forgotten meanwhile. Then it starts again with its disk, with a
    checkpoint alone, and with neither. Exit code 1 below 60,000 entries a second of a core, for a scorecard of 20
    features from 4 kB on, or for 1 GB with a million open predictions of 200 features. On an embedded Kafka of its own.

    Example: `tailrace bench observer --records 100000 --open 0`
    """
    import tempfile  # noqa: PLC0415 - keeps --help fast
    from pathlib import Path  # noqa: PLC0415 - the same

    from tailrace.bench.observer import measure, table  # noqa: PLC0415 - the same
    from tailrace.cli.common import emit  # noqa: PLC0415 - the same
    from tailrace.stack.signals import stoppable  # noqa: PLC0415 - the same

    with stoppable(), tempfile.TemporaryDirectory(prefix="tailrace-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), records, open_, pin=pin)
    emit(result, as_json, lambda: table(result))
    raise typer.Exit(0 if result.ok else 1)
