"""Gain by retrains as an SVG, written by hand: plain clocks as a line with its range, ours as points."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from tailrace.backtest.study import Report

_WIDTH, _HEIGHT, _LEFT, _TOP = 560, 300, 60, 40
_FONT = 'font-family="sans-serif" font-size="12" fill="#333"'
_LEGEND = "red: ours, a point a run; line: plain clocks, mean, and worst to best"
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def picture(report: Report) -> str:
    """The picture; needs the line of plain clocks."""
    clocks = sorted(report.line)
    most = max([report.oracle_retrains, *(retrains for retrains, *_ in clocks), 2.0])
    points = [(float(run.retrains), run.gain) for run in report.runs]
    lowest = min([0.0, *(low for _, _, low, _ in clocks), *(gain for _, gain in points)])
    highest = max([1.0, *(high for *_, high in clocks), *(gain for _, gain in points)])
    bottom, top = math.floor(lowest * 4) / 4, math.ceil(highest * 4) / 4

    def x(retrains: float) -> float:
        return round(_LEFT + _WIDTH * math.log(max(retrains, 1.0)) / math.log(most), 1)

    def y(gain: float) -> float:
        return round(_TOP + _HEIGHT * (top - gain) / (top - bottom), 1)

    band = [(x(n), y(high)) for n, _, _, high in clocks] + [(x(n), y(low)) for n, _, low, _ in reversed(clocks)]
    title = f"{report.stream}: share of the oracle's gain by retrains ({len(report.runs)} {report.unit})"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 30} {_TOP + _HEIGHT + 60}">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{_LEFT}" y="20" {_FONT}>{escape(title)}</text>',
    ]
    for k in range(round(bottom * 4), round(top * 4) + 1):
        parts.append(f'<path d="M{_LEFT} {y(k / 4)}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(k / 4) + 4}" text-anchor="end" {_FONT}>{k * 25}%</text>')
    below = _TOP + _HEIGHT + 16
    parts += [
        f'<text x="{x(tick)}" y="{below}" text-anchor="middle" {_FONT}>{tick}</text>' for tick in _TICKS if tick <= most
    ]
    parts += [
        f'<polygon points="{_joined(band)}" fill="#ccd" fill-opacity="0.5"/>',
        f'<polyline points="{_joined([(x(n), y(mean)) for n, mean, *_ in clocks])}" fill="none" stroke="#558"/>',
        *(f'<circle cx="{x(n)}" cy="{y(gain)}" r="4" fill="#c33" fill-opacity="0.7"/>' for n, gain in points),
        f'<text x="{_LEFT}" y="{below + 24}" {_FONT}>{_LEGEND}</text>',
    ]
    return "\n".join([*parts, "</svg>\n"])


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
