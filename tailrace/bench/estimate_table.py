"""The result of `tailrace bench estimate`, for a person."""

from collections.abc import Iterator

from tailrace.bench.estimate import WEEK, Result


def table(result: Result) -> str:
    """Windows and thresholds, then each bar and whether it is reached."""
    parts = (_rows(result), _bars(result), result.notes)
    return "\n\n".join("\n".join(part) for part in parts)


def _rows(result: Result) -> Iterator[str]:
    head = ("realised", "off by", "constant", "last", "bias", "in band")
    yield f"{'accuracy expected':<32}" + "".join(f"{name:>12}" for name in head)
    for row in result.rows:
        name = f"{row.windows} {'weeks' if row.days == WEEK else 'days'}, threshold {row.threshold:.3f}"
        realised = f"{row.realised:.3f}+-{row.deviation:.3f}"
        figures = "".join(f"{value:>12.4f}" for value in (row.mae, row.constant, row.last, row.bias))
        yield f"{name:<32}{realised:>12}{figures}" + ("-" if row.covered is None else f"{row.covered:.0%}").rjust(12)
    blind = result.blind
    yield f"Agrawal, the concept changes: expected {blind.expected:.3f}, realised {blind.realised:.3f}"


def _bars(result: Result) -> Iterator[str]:
    for bar in result.bars:
        yield f"{'reached' if bar.ok else 'MISSED':<9}{bar.found:>8.4f} of {bar.wanted:>7.4f}  {bar.name}"
