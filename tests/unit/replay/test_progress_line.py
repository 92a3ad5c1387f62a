"""How a replay shows how far it is."""

import io

from services.ingest.replay.terms import Progress, Report
from tailrace.cli.replay_progress import ProgressLine, line_of, summary

HERE = Progress(1_359_694_800_000, 12_345, 10, 20, 5_000.4, 312, 0.25, "group g lags")


def test_a_line_says_where_it_is_and_what_it_waits_for() -> None:
    """Event time, share, count, rate, lag, and the reason of a hold."""
    assert line_of(HERE) == "2013-02-01 05:00  25.0%  12,345 records  5,000/s  lag 312  waiting: group g lags"


def test_elsewhere_than_on_a_terminal_lines_are_plain_and_few() -> None:
    """A log gets one line in ten, without control characters."""
    stream = io.StringIO()
    with ProgressLine(stream) as line:
        for _ in range(11):
            line.show(HERE)
    assert stream.getvalue() == (line_of(HERE) + "\n") * 2


def test_an_interruption_says_how_to_go_on() -> None:
    """The summary of a stopped replay names --resume, and bad rows are counted."""
    report = Report(
        pipeline="p",
        ok=False,
        records=1_000,
        features=1,
        labels=2,
        extras=0,
        bad_rows=3,
        resumed_at=0,
        event_time=0,
        interrupted=True,
        wall_s=2.0,
        records_per_s=500.0,
    )
    assert summary(report) == (
        "1,000 records, 1 feature updates, 2 labels in 2.0 s (500 records/s), to -\n"
        "3 bad rows were sent as they are\n"
        "stopped; go on with the same command and --resume"
    )
