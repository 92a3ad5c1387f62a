"""Small charts as SVG, by hand: axes with ticks and names, lines, bands, bars. Every text is escaped here.

A page colours them by class names, so that a dark screen and a printer have their own.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

Tick = tuple[float, str]
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_HOUR, _DAY = 3_600_000, 86_400_000
_TIMES = (
    _HOUR,
    3 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    _DAY,
    2 * _DAY,
    7 * _DAY,
    14 * _DAY,
    28 * _DAY,
    91 * _DAY,
    182 * _DAY,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot's place in its picture, and the ranges of its axes."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 64
    top: float = 12
    width: float = 680
    height: float = 180

    def x(self, value: float) -> float:
        """Where a value of the horizontal axis lies."""
        return _place(value, self.x_range, self.left, self.left + self.width)

    def y(self, value: float) -> float:
        """Where a value of the vertical axis lies."""
        return _place(value, self.y_range, self.top + self.height, self.top)


def _place(value: float, ends: tuple[float, float], first: float, last: float) -> float:
    width = ends[1] - ends[0]
    share = (min(max(value, ends[0]), ends[1]) - ends[0]) / width if width else 0.5
    return round(first + share * (last - first), 1)


def picture(parts: Iterable[str], width: float, height: float, says: str) -> str:
    """A whole picture; `says` is for those who cannot see it."""
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(says, quote=True)}">\n{body}\n</svg>'
    )


def text(x: float, y: float, said: str, *, anchor: str = "start", kind: str = "") -> str:
    """A text; `kind` names its class."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{kind or "t"}">{escape(said)}</text>'


def upright(x: float, y: float, said: str) -> str:
    """The name of a vertical axis, read upward, its middle at y."""
    return f'<text transform="translate({x:g} {y:g}) rotate(-90)" text-anchor="middle" class="t">{escape(said)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str, says: str = "") -> str:
    """A bar; `says` is shown under the pointer."""
    inside = f"<title>{escape(says)}</title>" if says else ""
    size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} class="{kind}">{inside}</rect>'


def line(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points that are places already."""
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" class="{kind}"/>'


def area(points: Sequence[tuple[float, float]], kind: str) -> str:
    """An area around points."""
    return f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" class="{kind}"/>'


def dot(x: float, y: float, kind: str, says: str = "", size: float = 3) -> str:
    """A point; `says` is shown under the pointer."""
    inside = f"<title>{escape(says)}</title>" if says else ""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{size:g}" class="{kind}">{inside}</circle>'


def diamond(x: float, y: float, kind: str, says: str = "", size: float = 4) -> str:
    """A point of another shape, where a colour alone would have to tell."""
    inside = f"<title>{escape(says)}</title>" if says else ""
    s = f"{size:g}"
    return f'<path d="M{x:g} {y - size:g}l{s} {s}l-{s} {s}l-{s} -{s}z" class="{kind}">{inside}</path>'


def axes(frame: Frame, xs: Sequence[Tick], ys: Sequence[Tick], x_name: str, y_name: str) -> list[str]:
    """Both axes with their ticks and names; needs 40 below and `left` beside the frame."""
    bottom, right = frame.top + frame.height, frame.left + frame.width
    parts = [f'<path d="M{frame.left:g} {frame.top:g}V{bottom:g}H{right:g}" class="axis"/>']
    for value, said in ys:
        at = frame.y(value)
        parts.append(f'<path d="M{frame.left:g} {at:g}H{right:g}" class="grid"/>')
        parts.append(text(frame.left - 6, at + 4, said, anchor="end"))
    for value, said in xs:
        at = frame.x(value)
        parts.append(f'<path d="M{at:g} {bottom:g}v4" class="axis"/>')
        parts.append(text(at, bottom + 16, said, anchor="middle"))
    parts.append(text(frame.left + frame.width / 2, bottom + 34, x_name, anchor="middle"))
    parts.append(upright(14, frame.top + frame.height / 2, y_name))
    return parts


def ticks(low: float, high: float, about: int = 4, said: Callable[[float], str] = "{:g}".format) -> list[Tick]:
    """Round values between two, about so many."""
    if not high > low or not math.isfinite(high - low):
        return [(low, said(low))]
    rough = (high - low) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next((size * one for one in _STEPS if size * one >= rough), size * 10)
    first = math.ceil(low / step - 1e-9)
    found = [round((first + i) * step, 12) for i in range(math.floor((high - low) / step) + 2)]
    return [(value, said(value)) for value in found if value <= high + step * 1e-9]


def moments(low: float, high: float, about: int = 7) -> list[Tick]:
    """Round moments (ms, UTC) between two, about so many at most."""
    step = next((one for one in _TIMES if (high - low) / one <= about), (high - low) / about or 1)
    first = math.ceil(low / step)
    shape = "%H:%M" if step < _DAY else "%d %b"
    found = [(first + i) * step for i in range(about + 2)]
    return [(value, _date(value, shape, low, step)) for value in found if value <= high]


def _date(ms: float, shape: str, low: float, step: float) -> str:
    try:
        at = datetime.fromtimestamp(ms / 1_000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ms:.0f} ms"  # beyond the calendar: a clock that jumped
    # The year, or the day, stands where it begins anew.
    fresh = ms - low < step or (at.hour == 0 if step < _DAY else (at.month == 1 and at.day <= step / _DAY))
    return (
        at.strftime(("%d %b " if step < _DAY else "") + shape + ("" if step < _DAY else " %Y"))
        if fresh
        else at.strftime(shape)
    )


def roomy(values: Iterable[float], *, least: float | None = None, most: float | None = None) -> tuple[float, float]:
    """A range with some room around values, inside the limits that a figure has; 0 to 1 without any."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 0.5
    low, high = low - room, high + room
    return (low if least is None else max(low, least)), (high if most is None else min(high, most))
