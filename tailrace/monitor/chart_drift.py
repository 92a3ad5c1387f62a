"""Drift: how far each feature moved, in units of its own threshold, and its histogram now beside the reference."""

from collections.abc import Sequence

from services.monitor.analyst.calibration import Drift
from shared.core.monitor_records import FeatureCounts
from shared.core.reference import FeatureProfile
from tailrace.monitor import svg
from tailrace.monitor.words import number, percent, plain

_WIDTH, _ROW, _NAMES = 760.0, 20.0, 170.0


def moved(drifts: Sequence[Drift]) -> str:
    """Bars of features, the most moved first; beyond the line at 1 one is out of what is usual."""
    most = max(1.25, *(drift.score for drift in drifts)) * 1.05
    frame = svg.Frame((0, most), (0, 1), left=_NAMES, height=_ROW * len(drifts), width=_WIDTH - _NAMES - 240)
    bottom = frame.top + frame.height
    parts: list[str] = []
    for i, drift in enumerate(drifts):
        y, over = frame.top + i * _ROW, drift.score >= 1.0
        says = f"{plain(drift.feature)}: {drift.score:.3g} times its threshold"
        parts.append(
            svg.text(frame.left - 8, y + 14, plain(drift.feature, 24), anchor="end", kind="b" if over else "t")
        )
        parts.append(
            svg.rect(frame.left, y + 3, frame.x(drift.score) - frame.left, _ROW - 6, "over" if over else "bar", says)
        )
        words = f"{'!! ' if over else ''}PSI {drift.psi:.3g}, distance {drift.distance:.3g}, n {drift.n:,}"
        parts.append(svg.text(frame.left + frame.width + 6, y + 14, words, kind="b" if over else "t"))
    parts.append(f'<path d="M{frame.left:g} {frame.top:g}V{bottom:g}H{frame.left + frame.width:g}" class="axis"/>')
    at = frame.x(1.0)
    parts.append(svg.line([(at, frame.top - 4), (at, bottom)], "goal"))
    for value, said in svg.ticks(0, most, 5):
        parts.append(svg.text(frame.x(value), bottom + 16, said, anchor="middle"))
    name = "how far it moved, in units of its threshold (1, dashed: an alarm)"
    parts.append(svg.text(frame.left + frame.width / 2, bottom + 34, name, anchor="middle"))
    return svg.picture(parts, _WIDTH, bottom + 42, "features by how far they moved from the reference")


def histogram(profile: FeatureProfile, counts: FeatureCounts | Sequence[int]) -> str:
    """Shares by the bins of the reference: bars now, steps in the reference; missing values beside them."""
    now = counts.counts if isinstance(counts, FeatureCounts) else tuple(counts)
    before, bins = _shares(profile.counts), max(len(profile.counts), len(now), 1)
    after = _shares(now)
    top = max([*before, *after, 0.01]) * 1.05
    frame = svg.Frame((0, bins), (0, top), left=44, top=6, height=70, width=230)
    bottom, width = frame.top + frame.height, frame.width / bins
    parts = [f'<path d="M{frame.left:g} {frame.top:g}V{bottom:g}H{frame.left + frame.width:g}" class="axis"/>']
    parts += [
        svg.text(40, frame.y(value) + 4, said, anchor="end")
        for value, said in svg.ticks(0, top, 2, lambda v: f"{v:.0%}")
    ]
    for i, share in enumerate(after):
        was = before[i] if i < len(before) else 0.0
        says = f"{_bin(profile, i)}: {percent(share)} now, {percent(was)} in the reference"
        parts.append(svg.rect(frame.x(i) + 1, frame.y(share), width - 2, bottom - frame.y(share), "bar", says))
    steps = [(frame.x(i + side), frame.y(share)) for i, share in enumerate(before) for side in (0, 1)]
    parts.append(svg.line(steps, "was"))
    parts.append(svg.text(frame.left, bottom + 14, _bin(profile, 0), anchor="start"))
    parts.append(svg.text(frame.left + frame.width, bottom + 14, _bin(profile, bins - 1), anchor="end"))
    parts.append(svg.upright(8, frame.top + frame.height / 2, "share"))
    return svg.picture(parts, 280, bottom + 20, "histogram now, and in the reference")


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [n / total for n in counts] if total else [0.0] * len(counts)


def _bin(profile: FeatureProfile, place: int) -> str:
    """The name of a bin: a word, `others`, or its bounds."""
    if profile.words:
        return plain(profile.words[place], 14) if place < len(profile.words) else "others"
    edges = profile.edges
    if not edges:
        return "all"
    if place == 0:
        return f"≤ {number(edges[0])}"
    return f"> {number(edges[-1])}" if place >= len(edges) else f"{number(edges[place - 1])} to {number(edges[place])}"
