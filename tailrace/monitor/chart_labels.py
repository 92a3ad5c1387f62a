"""Labels: how many records of each window have theirs, and how late labels come."""

from collections.abc import Sequence

from services.monitor.analyst.panes import Pane
from shared.core.monitor_records import DELAYS, Ints
from tailrace.monitor import svg
from tailrace.monitor.words import moment, percent, span

_WIDTH, _LEFT = 760.0, 64.0


def coverage(panes: Sequence[Pane]) -> str:
    """Bars of records by window, the part that has labels filled."""
    most = max(pane.sums.n for pane in panes)
    frame = svg.Frame(
        (panes[0].window, max(pane.until for pane in panes)), (0, most * 1.05 or 1), left=_LEFT, height=140,
        width=_WIDTH - _LEFT - 14,
    )  # fmt: skip
    name = f"window of event time, {span(panes[0].span)} each (UTC)"
    parts = svg.axes(frame, svg.moments(*frame.x_range), svg.ticks(0, most, 4, "{:,.0f}".format), name, "records")
    bottom = frame.top + frame.height
    for pane in panes:
        x, width = frame.x(pane.window), max(frame.x(pane.until) - frame.x(pane.window) - 1, 0.8)
        seen, known = frame.y(pane.sums.n), frame.y(pane.sums.labelled)
        share = pane.sums.labelled / pane.sums.n if pane.sums.n else None
        open_ = "" if pane.closed else ", labels may still come"
        says = f"{moment(pane.window)}: {pane.sums.labelled:,} of {pane.sums.n:,} labelled, {percent(share)}{open_}"
        parts.append(svg.rect(x, seen, width, bottom - seen, "rest", says))
        parts.append(svg.rect(x, known, width, bottom - known, "bar", says))
    return svg.picture(parts, _WIDTH, bottom + 42, "records by window, and how many of them have labels")


def delays(counts: Ints) -> str:
    """Bars of labels by their delay."""
    total = sum(counts)
    frame = svg.Frame((0, len(counts)), (0, max(counts) / total), left=_LEFT, height=110, width=_WIDTH - _LEFT - 14)
    ys = svg.ticks(0, max(counts) / total, 3, lambda share: f"{share:.0%}")
    parts = svg.axes(frame, (), ys, "delay of a label behind its record, each bar up to", "share of labels")
    bottom = frame.top + frame.height
    for i, n in enumerate(counts):
        x, y, width = frame.x(i), frame.y(n / total), frame.width / len(counts)
        says = f"{_range(i)}: {n:,} of {total:,} labels, {percent(n / total)}"
        parts.append(svg.rect(x + 1, y, width - 2, bottom - y, "bar", says))
        parts.append(svg.text(x + width / 2, bottom + 16, _short(i), anchor="middle"))
    return svg.picture(parts, _WIDTH, bottom + 42, "labels by delay")


def _short(place: int) -> str:
    if place == 0:
        return "before"
    return span(DELAYS[place] * 1_000) if place < len(DELAYS) else "later"


def _range(place: int) -> str:
    if place == 0:
        return "before its record"
    first = span(DELAYS[place - 1] * 1_000)
    return f"{first} to {span(DELAYS[place] * 1_000)}" if place < len(DELAYS) else f"{first} or more"
