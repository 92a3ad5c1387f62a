"""How the demo shows itself: one calm, live screen on a terminal, a plain line a second elsewhere."""

import sys
import time
from collections import deque
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shared.core.pipeline import PipelineSpec
from tailrace.demo.watch import View
from tailrace.demo.words import last_line

_EVENTS = 8
_STILL = 10.0  # s between two equal lines where there is no terminal


class Screen:
    """Shows steps, figures and events on standard error.

    Args:
        spec: the pipeline, for its answers in words.
        quiet: show nothing (tests).
    """

    def __init__(self, spec: PipelineSpec, *, quiet: bool = False) -> None:
        self._spec = spec
        self._console = Console(stderr=True, quiet=quiet)
        self._tty = sys.stderr.isatty() and not quiet
        self._live: Live | None = None
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._said: tuple[object, float] = (None, 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self, text: str) -> None:
        """A step of the set-up."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def event(self, text: str) -> None:
        """Something that happened on the way."""
        line = f"  {datetime.now(UTC):%H:%M:%S}  {text}"
        if self._live is None:
            self._console.print(line, highlight=False, soft_wrap=True)
        else:
            self._events.append(line)

    def figures(self, view: View, lag: int, sent: int) -> None:
        """The figures of this moment."""
        if self._tty:
            if self._live is None:
                self._live = Live(console=self._console, refresh_per_second=4, transient=False)
                self._live.start()
            self._live.update(self._group(view, lag))
            return
        told, now = (sent, view.outcomes, view.waits), time.monotonic()
        if told == self._said[0] and now - self._said[1] < _STILL:
            return
        self._said = told, now
        bad = sum(view.dead_letters.values())
        waits = f"  waits: {view.waits}" if view.waits else ""
        self._console.print(
            f"  {view.rate:7,.0f} records/s  lag {lag:6,}  p50 {_ms(view.p50)}  p99 {_ms(view.p99)}  sent {sent:,}"
            f"  scored {view.predictions:,}  dead letters {bad}  degraded {view.degraded}  {view.quality}{waits}",
            highlight=False,
            soft_wrap=True,
        )

    def done(self) -> None:
        """Leave the live table as it is and go on below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _group(self, view: View, lag: int) -> Group:
        table = Table(box=None, pad_edge=True, header_style="bold")
        for name in ("records/s", "lag", "p50", "p99", "scored", "dead letters", "degraded", "quality, as labelled"):
            table.add_column(name, justify="right")
        reasons = ", ".join(f"{reason} {n}" for reason, n in view.dead_letters.most_common(3))
        bad = f"{sum(view.dead_letters.values())}" + (f" ({reasons})" if reasons else "")
        table.add_row(
            f"{view.rate:,.0f}", f"{lag:,}", _ms(view.p50), _ms(view.p99), f"{view.predictions:,}", bad,
            f"{view.degraded:,}", view.quality,
        )  # fmt: skip
        lines = [Text(line) for line in self._events]
        if view.waits:
            lines.append(Text(f"  event time stands still: {view.waits}", style="dim"))
        return Group(table, *lines, Text(last_line(self._spec, view.last), style="dim"))


def _ms(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN: nothing was measured yet, which is not 0
        return "     ?"
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"  # noqa: PLR2004 - 10 s
