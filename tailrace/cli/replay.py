"""`tailrace replay`: a pipeline's history, or a file, through Kafka as it would have come."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shared.core.errors import UserError

if TYPE_CHECKING:
    from services.ingest.replay.main import Options
    from services.ingest.replay.plan import Selection
    from services.ingest.replay.terms import Report
    from shared.adapters.history import HistoryFiles
    from shared.adapters.pipeline_yaml import Pipeline
    from shared.runtime.settings import Settings

EVERY_TRAINING = 1 << 30


def replay(
    pipeline: Annotated[str, typer.Argument(help="Name or folder of the pipeline.")],
    file: Annotated[
        Path | None, typer.Argument(help="CSV, Parquet or JSON lines of records.", show_default="the history")
    ] = None,
    *,
    features: Annotated[Path | None, typer.Option(help="Feature updates that go with FILE.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Labels that go with FILE.")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Records a second; 0: as fast as it goes.")] = 0.0,
    speed: Annotated[float, typer.Option(min=0, help="Seconds of event time a second; 0: no limit.")] = 0.0,
    start: Annotated[str, typer.Option("--from", help="First event time, a date or RFC 3339 (UTC unless said).")] = "",
    until: Annotated[str, typer.Option(help="Event time to stop before, the same.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many records.")] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Send no labels.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the same replay was interrupted.")] = False,
    lead: Annotated[str, typer.Option(help="How far ahead of its event time a feature update goes out.")] = "1d",
    no_wait_features: Annotated[
        bool, typer.Option("--no-wait-features", help="Do not wait for the feature writer.")
    ] = False,
    no_wait_labels: Annotated[
        bool, typer.Option("--no-wait-labels", help="Send labels at their time, however far the scorer is behind.")
    ] = False,
    max_lag: Annotated[
        int, typer.Option(min=0, help="Pause while the scorer lags by more records; 0: never.")
    ] = 20_000,
    lockstep: Annotated[
        bool, typer.Option("--lockstep", help="Hold event time while a rollout or training is open.")
    ] = False,
    wait_retraining: Annotated[
        bool, typer.Option("--wait-retraining", help="Keep abreast of the monitor, trainings, and their versions.")
    ] = False,
    bad_rows: Annotated[
        Literal["refuse", "send"], typer.Option(help="A row that does not convert: end, or send it as it is.")
    ] = "refuse",
    trace_sample: Annotated[float, typer.Option(min=0, max=1, help="Share of records that are traced.")] = 0.01,
    seed: Annotated[int | None, typer.Option(help="Of the trace ids.", show_default="random")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Publish a pipeline's history (or a FILE of records) in event-time order, as it would have come.

    Records go to the topic records, feature updates ahead of them to features, labels at their own later time to
    labels, once the scorer has come to it. An interrupted replay goes on with --resume: the last second may be sent
    twice, nothing is left out.

    Example: tailrace replay flights --from 2013-02-01 --rate 5000
    """
    from services.ingest.replay.main import Options  # noqa: PLC0415 - keeps --help fast
    from shared.adapters.pipeline_yaml import load_pipeline  # noqa: PLC0415 - the same
    from tailrace.cli.common import cli_settings, need  # noqa: PLC0415 - the same
    from tailrace.stack.state import state_folder  # noqa: PLC0415 - the same

    loaded = load_pipeline(pipeline)
    options = Options(
        state=state_folder(),
        selection=_selection(start, until, limit, lead, labels=not no_labels),
        rate=rate,
        speed=speed,
        resume=resume,
        bad_rows=bad_rows,
        wait_features=not no_wait_features,
        wait_labels=not no_wait_labels,
        max_lag=max_lag,
        lockstep=lockstep,
        wait_retrainings=EVERY_TRAINING if wait_retraining else 0,
        trace_sample=trace_sample,
        seed=seed,
    )
    files, settings = _files(loaded, file, features, labels), cli_settings()
    need(settings, "kafka")
    _run(loaded, files, settings, options, as_json=as_json)


def _run(loaded: "Pipeline", files: "HistoryFiles", settings: "Settings", options: "Options", *, as_json: bool) -> None:
    from tailrace.cli.common import emit  # noqa: PLC0415 - keeps --help fast
    from tailrace.cli.replay_progress import summary  # noqa: PLC0415 - the same

    report = play(loaded, files, settings, options)
    emit(report, as_json, lambda: summary(report))
    if report.interrupted:
        raise typer.Exit(130)


def play(loaded: "Pipeline", files: "HistoryFiles", settings: "Settings", options: "Options") -> "Report":
    """Publish files with progress on standard error; Ctrl-C ends it between two chunks.

    Raises:
        UserError: files, topics or options are wrong, or a wait took too long.
    """
    from services.ingest.replay import main  # noqa: PLC0415 - keeps --help fast
    from services.ingest.replay.terms import Hooks  # noqa: PLC0415 - the same
    from tailrace.cli.replay_progress import ProgressLine  # noqa: PLC0415 - the same

    with _interruptible() as stop, ProgressLine(sys.stderr) as line:
        hooks = Hooks(on_progress=line.show)
        return main.replay(loaded.spec, files, settings.kafka, options, hooks=hooks, stop=stop, say=line.say)


def _files(loaded: "Pipeline", file: Path | None, features: Path | None, labels: Path | None) -> "HistoryFiles":
    from shared.adapters.history import HistoryFiles, history_files  # noqa: PLC0415 - keeps --help fast
    from tailrace.stack.cache import cache_folder  # noqa: PLC0415 - the same

    if file is None:
        if features or labels:
            raise UserError("--features and --labels go with a FILE", remedy="name the file of records as well")
        return history_files(loaded, cache_folder(), say=lambda text: print(text, file=sys.stderr))
    for path in (file, features, labels):
        if path is not None and not path.is_file():
            raise UserError(f"{path}: no such file", remedy="check the path")
    return HistoryFiles(file, features, labels)


def _selection(start: str, until: str, limit: int | None, lead: str, *, labels: bool) -> "Selection":
    from services.ingest.replay.plan import Selection  # noqa: PLC0415 - keeps --help fast
    from shared.core import durations  # noqa: PLC0415 - the same

    try:
        ahead = int(durations.parse(lead) * 1000)
    except ValueError as error:
        raise UserError(f"--lead: {error}", remedy="for example --lead 6h") from None
    first, end = _moment("--from", start), _moment("--until", until)
    if first is not None and end is not None and first >= end:
        raise UserError(f"--from {start} is not before --until {until}", remedy="exchange them")
    return Selection(first, end, limit, labels=labels, lead_ms=ahead)


def _moment(option: str, text: str) -> int | None:
    from datetime import UTC, datetime  # noqa: PLC0415 - keeps --help fast

    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{option}: {text!r} is no date", remedy="write 2013-02-01 or 2013-02-01T05:00:00-05:00"
        ) from None
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the replay between two chunks, so that what was sent is acknowledged and remembered."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def register(app: typer.Typer) -> None:
    """Add `replay`."""
    app.command()(replay)
