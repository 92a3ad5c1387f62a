"""Whether scores mean what they say, and what is taken for what: calibration plot and confusion matrix."""

from collections.abc import Sequence

from services.monitor.analyst.intervals import wilson
from shared.core.monitor_records import SCORE_BINS, Ints, Sums
from shared.core.scorecards import real
from tailrace.monitor import svg
from tailrace.monitor.html import said
from tailrace.monitor.words import percent, plain

_TENTHS = 10
_LARGEST = 12  # classes that have a row of their own


def calibration(sums: Sums, of: str) -> str:
    """Share of hits by tenth of the score, with its interval; on the diagonal a score means what it says."""
    frame = svg.Frame((0, 1), (0, 1), left=58, top=10, width=300, height=260)
    ys = svg.ticks(0, 1, 5, lambda share: f"{share:.0%}")
    parts = svg.axes(frame, ys, ys, f"mean score: {of}", "share that came true")
    parts.append(svg.line([(frame.x(0), frame.y(0)), (frame.x(1), frame.y(1))], "goal"))
    places: list[tuple[float, float]] = []
    seen, hits, scores = (_tenths(row) for row in (sums.labelled_scores, sums.hits, sums.score_sums))
    for n, hit, score in zip(seen, hits, scores, strict=True):
        if not n:
            continue
        low, high = wilson(hit, n)
        x, share = frame.x(real(score) / n), hit / n
        says = f"mean score {percent(real(score) / n)}: {percent(share)} of {n:,} came true"
        parts.append(svg.line([(x, frame.y(low)), (x, frame.y(high))], "err"))
        parts.append(svg.dot(x, frame.y(share), "nowdot", says, 4))
        places.append((x, frame.y(share)))
    parts.append(svg.line(places, "now"))
    return svg.picture(parts, 380, frame.top + frame.height + 42, "share that came true by mean score")


def _tenths(row: Ints) -> list[int]:
    filled, wide = [*row, *[0] * (SCORE_BINS - len(row))], SCORE_BINS // _TENTHS
    return [sum(filled[i : i + wide]) for i in range(0, SCORE_BINS, wide)]


def confusion(counts: Ints, classes: Sequence[str]) -> str:
    """The matrix as a table: what came true by row, what was said by column; shaded by the share of the row."""
    rows, names = _grouped(counts, classes)
    head = "".join(f"<th>{said(name)}</th>" for name in names)
    lines: list[str] = []
    for i, (name, row) in enumerate(zip(names, rows, strict=True)):
        total = sum(row)
        cells = "".join(_cell(n, total, hit=i == j) for j, n in enumerate(row))
        lines.append(f'<tr><th class="w">{said(name)}</th>{cells}<td>{total:,}</td></tr>')
    return (
        '<div class="wide"><table><caption>rows: what came true; columns: what was said; in each cell labels, '
        f'and their share of the row</caption><thead><tr><th class="w">true \\ said</th>{head}<th>all</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(n: int, total: int, *, hit: bool) -> str:
    share = n / total if total else 0.0
    words = f"{n:,}<br><small>{percent(share) if total else 'none came'}</small>"
    return f'<td class="cell{" hit" if hit else ""}" style="--s:{share * 60:.1f}%">{words}</td>'


def _grouped(counts: Ints, classes: Sequence[str]) -> tuple[list[list[int]], list[str]]:
    """The largest classes by themselves, all others together."""
    k = len(classes)
    cells = [list(counts[i * k : (i + 1) * k]) + [0] * (k - len(counts[i * k : (i + 1) * k])) for i in range(k)]
    names = [plain(name, 24) for name in classes]
    if k <= _LARGEST + 1:
        return cells, names
    order = sorted(range(k), key=lambda i: -sum(cells[i]))
    groups = [[i] for i in sorted(order[:_LARGEST])] + [sorted(order[_LARGEST:])]
    made = [[sum(cells[i][j] for i in a for j in b) for b in groups] for a in groups]
    return made, [*(names[group[0]] for group in groups[:-1]), f"{k - _LARGEST} others"]
