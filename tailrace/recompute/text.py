"""The report for a person: labels by status, quality by window, and every figure that differs."""

from datetime import UTC, datetime
from typing import Any

from tailrace.recompute.compare import Difference
from tailrace.recompute.main import Report, WindowReport
from tailrace.recompute.tables import STATUSES

NAMED = 40  # differences; `--json` has more


def report_text(report: Report) -> str:
    """Several lines."""
    return "\n".join([*_labels(report), "", *_windows(report.windows), "", *_end(report)])


def _labels(report: Report) -> list[str]:
    rows = [["partition", "offsets", "watermark", "labels", *STATUSES]]
    for part in report.partitions:
        offsets = f"{part.start}-{part.end}"
        counts = [str(part.labels[name]) for name in ("labels", *STATUSES)]
        rows.append([str(part.partition), offsets, _moment(part.watermark), *counts])
    rows.append(["all", "", "", *(str(report.labels[name]) for name in ("labels", *STATUSES))])
    return _table(rows)


def _windows(windows: list[WindowReport]) -> list[str]:
    names = list(dict.fromkeys(name for one in windows for name in one.quality))
    rows = [["version", "window", *names]]
    for one in windows:
        who = f"{one.version} (shadow)" if one.shadow else one.version
        rows.append([who, _moment(one.window), *(_figure(one.quality.get(name)) for name in names)])
    return _table(rows)


def _end(report: Report) -> list[str]:
    counts = report.compared
    what = (
        f"{counts['figures']:,} figures of {counts['cards']:,} scorecards, {counts['accounts']:,} accounts and "
        f"{counts['blocks']:,} error blocks, and {counts['outcomes']:,} outcomes"
    )
    lines = [f"version {name} has no counts over its reference: {why}" for name, why in report.refused.items()]
    if report.skipped:
        lines.append(f"{report.skipped:,} windows lack entries that retention took: not compared")
    if report.equal:
        return [*lines, f"equal: {what}"]
    lines += [_difference(one) for one in report.differences[:NAMED]]
    more = report.differing - min(len(report.differences), NAMED)
    return [*lines, *([f"... and {more:,} more"] if more else []), f"{report.differing:,} differ: {what}"]


def _difference(one: Difference) -> str:
    where = f"partition {one.partition}, {one.topic}, {one.of}"
    return f"{where}{f', {one.figure}' if one.figure else ''}: published {one.published}, recomputed {one.recomputed}"


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M")
    except (OverflowError, ValueError, OSError):
        return str(ms)  # beyond the calendar: a clock that jumped


def _figure(value: Any) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.4g}"


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
