"""Curves over time as an SVG, written by hand: panels under each other, on a logarithmic scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 760, 110, 70, 40, 34
_FONT = 'font-family="sans-serif" font-size="12" fill="#333"'
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One curve: (s, value) in order of time; `mark` is a line across it, 0 for none."""

    title: str
    points: Points
    mark: float = 0.0


def svg(title: str, panels: Sequence[Panel]) -> str:
    """All panels on one axis of time; values below 1 stand at 1."""
    longest = max((t for panel in panels for t, _ in panel.points), default=1.0) or 1.0
    height = _TOP + len(panels) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {height}">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{_LEFT}" y="20" {_FONT}>{escape(title)}</text>',
    ]
    for i, panel in enumerate(panels):
        parts += _panel(panel, _TOP + i * (_HEIGHT + _GAP), longest)
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, top: int, longest: float) -> list[str]:
    most = max([panel.mark, 10.0, *(value for _, value in panel.points)])
    decades = math.ceil(math.log10(most))

    def x(t: float) -> float:
        return round(_LEFT + t / longest * _WIDTH, 1)

    def y(value: float) -> float:
        return round(top + _HEIGHT * (1 - math.log10(max(value, 1.0)) / decades), 1)

    parts = [f'<text x="{_LEFT}" y="{top - 6}" {_FONT}>{escape(panel.title)}</text>']
    for decade in range(decades + 1):
        at = y(10.0**decade)
        parts.append(f'<path d="M{_LEFT} {at}h{_WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4}" text-anchor="end" {_FONT}>{10**decade:,}</text>')
    if panel.mark:
        parts.append(f'<path d="M{_LEFT} {y(panel.mark)}h{_WIDTH}" stroke="#c33" stroke-dasharray="4 3"/>')
    line = " ".join(f"{x(t)},{y(value)}" for t, value in panel.points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="1.5"/>')
    bottom = top + _HEIGHT + 14
    parts += [
        f'<text x="{x(longest * k / 5)}" y="{bottom}" text-anchor="middle" {_FONT}>{longest * k / 5:.0f} s</text>'
        for k in range(6)
    ]
    return parts
