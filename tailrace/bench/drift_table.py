"""The result of `tailrace bench drift`, for a person."""

from collections.abc import Iterator, Sequence

from tailrace.bench.drift import Result
from tailrace.bench.drift_alarms import RISES
from tailrace.bench.drift_errors import CHANGES


def table(result: Result) -> str:
    """Delays, false alarms, feature monitors, then each bar and whether it is reached."""
    synthetic, real = [change.name for change in CHANGES], [f"flights, +{rise * 100:.0f} points" for rise in RISES]
    parts = (
        _delays(result, synthetic),
        _delays(result, real),
        _alarms(result),
        _features(result),
        _bars(result),
        result.notes,
    )
    return "\n\n".join("\n".join(part) for part in parts)


def _delays(result: Result, names: Sequence[str]) -> Iterator[str]:
    yield f"{'records until seen':<33}" + "".join(f"{name:>32}" for name in names) + f"{'us a label':>12}"
    for row in result.detectors:
        cells = (row.delays.get(name) for name in names)
        words = (f"{c.mean:,.0f} ({c.least:,.0f}..{c.most:,.0f}), {c.missed} missed" if c else "-" for c in cells)
        yield f"{row.detector:<33}" + "".join(f"{word:>32}" for word in words) + f"{row.us:>12.2f}"


def _alarms(result: Result) -> Iterator[str]:
    nulls = sorted({name for row in result.detectors for name in row.false_alarms})
    head = "".join(f"{name:>12}" for name in nulls)
    yield f"{'alarms per 100,000 labels':<33}{head}{'flights':>12}{'on days':>12}{'errors then':>14}"
    for row in result.detectors:
        cells = "".join(
            f"{row.false_alarms[name]:>12.2f}" if name in row.false_alarms else f"{'-':>12}" for name in nulls
        )
        real = row.flights
        yield f"{row.detector:<33}{cells}" + (
            f"{real.per_100k:>12.2f}{real.days:>12}{real.before:>14.1%}" if real else f"{'-':>12}"
        )


def _features(result: Result) -> Iterator[str]:
    monitors = list(result.shift.mean)
    yield f"{'alarms per 100,000 records':<33}" + "".join(f"{name:>20}" for name in monitors)
    for null in result.nulls:
        cells = "".join(f"{null.per_100k[name]:>20.2f}" if name in null.per_100k else f"{'-':>20}" for name in monitors)
        yield f"{f'{null.stream}, {null.features} features':<33}{cells}"
    shift = result.shift
    seen = (f"{shift.mean[name]:,.0f}, {shift.missed[name]} missed" for name in monitors)
    yield f"{f'{shift.shift} sd in 1: records until seen':<33}" + "".join(f"{word:>20}" for word in seen)


def _bars(result: Result) -> Iterator[str]:
    for bar in result.bars:
        yield f"{'reached' if bar.ok else 'MISSED':<9}{bar.found:>10,.2f} of {bar.wanted:>8,.2f}  {bar.name}"
