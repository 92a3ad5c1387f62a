"""How a replay shows how far it is: one line that changes on a terminal, a plain line every few seconds elsewhere."""

from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from services.ingest.replay.terms import Progress, Report

_PLAIN_EVERY = 10  # progress comes twice a second
_CLEAR = "\r\x1b[2K"


def moment(event_ms: int) -> str:
    """An event time for people, UTC; a dash before the first record."""
    return datetime.fromtimestamp(event_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M") if event_ms else "-"


def line_of(progress: "Progress") -> str:
    """One line: event time, share, records, rate, lag (`?` where nobody asked), what is waited for."""
    lag = f"lag {progress.lag:,}" if progress.lag >= 0 else "lag ?"
    parts = [moment(progress.event_time), f"{progress.share:.1%}", f"{progress.sent:,} records"]
    parts += [f"{progress.rate:,.0f}/s", lag, *([f"waiting: {progress.holding}"] if progress.holding else [])]
    return "  ".join(parts)


def summary(report: "Report") -> str:
    """What was done, in one or two lines."""
    sent = f"{report.records:,} records, {report.features:,} feature updates, {report.labels:,} labels"
    pace = f"in {report.wall_s:.1f} s ({report.records_per_s:,.0f} records/s), to {moment(report.event_time)}"
    bad = f"\n{report.bad_rows:,} bad rows were sent as they are" if report.bad_rows else ""
    stopped = "\nstopped; go on with the same command and --resume" if report.interrupted else ""
    return f"{sent} {pace}{bad}{stopped}"


class ProgressLine:
    """Writes progress to a stream, and clears its line at the end.

    Args:
        stream: standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live, self._count = stream, stream.isatty(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live and self._count:
            self._write(_CLEAR)

    def show(self, progress: "Progress") -> None:
        """Show how far it is."""
        if self._live:
            self._write(_CLEAR + line_of(progress))
        elif self._count % _PLAIN_EVERY == 0:
            self._write(line_of(progress) + "\n")
        self._count += 1

    def say(self, text: str) -> None:
        """One line that stays."""
        self._write((_CLEAR if self._live else "") + text + "\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
