"""Quality over time: each window with its band, as known now and as known then, goal and version swaps marked."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from services.monitor.analyst.look import Look
from services.monitor.analyst.quality import Measured
from tailrace.monitor import svg
from tailrace.monitor.picture import Picture
from tailrace.monitor.words import between, is_share, meaning_of, moment, name_of, number, plain, span

if TYPE_CHECKING:
    from shared.core.monitor_records import Said

_USUAL = {"binary": ("auc", "accuracy", "log_loss"), "multiclass": ("macro_f1", "accuracy", "log_loss"),
          "regression": ("rmse", "mae")}  # fmt: skip
_MOST = 4
_WIDTH, _LEFT = 760.0, 64.0
_GAP = 1.5  # windows: further apart than that, no line joins them
Point = tuple[int, Measured]


def chosen(picture: Picture) -> list[str]:
    """The figures that are worth a chart: what the pipeline aims at, then what is usual for its task."""
    looks = [look for look in picture.looks if not look.shadow]
    known = {name for look in looks for quality in look.windows for name in quality.figures}
    wanted = (*picture.terms.goal, *_USUAL[picture.spec.task])
    return [name for name in dict.fromkeys(wanted) if name in known][:_MOST]


def over_time(picture: Picture, name: str) -> str:
    """The chart of one figure."""
    roles = [look for look in reversed(picture.looks) if not look.shadow and look.windows]
    frame = _frame(picture, roles, name)
    unit = f" ({picture.spec.labels.unit})" if picture.spec.labels.unit and name in {"rmse", "mae"} else ""
    parts = svg.axes(
        frame, svg.moments(*frame.x_range), svg.ticks(*frame.y_range, 5, number),
        f"window of event time, {span(picture.terms.window)} each (UTC)", name_of(name) + unit,
    )  # fmt: skip
    for look in roles:
        parts += _version(picture, look, name, frame)
    parts += _goal(picture, name, frame)
    parts += _swaps(roles, frame)
    parts += _then(picture, roles, name, frame)
    says = f"{name_of(name)} by window; {meaning_of(name)}"
    return svg.picture(parts, _WIDTH, frame.top + frame.height + 42, says)


def caption(picture: Picture) -> str:
    """How to read these charts."""
    words = [
        "Line and filled points: as known now, with the 95 % band; hollow points: labels are still to come.",
        "A question mark: unknown, never 0.",
    ]
    if any(picture.then(look.version) for look in picture.looks):
        words.append("Diamonds: as known when the window ended.")
    else:
        words.append("As known then: not recorded, as no analyst was there when these windows ended.")
    if picture.terms.goal:
        words.append("Dashed: the goal.")
    return " ".join([*words, "Dotted: the version's holdout. Upright lines: a version's first window."])


def _points(look: Look, name: str) -> list[Point]:
    return [(quality.since, quality.figures[name]) for quality in look.windows if name in quality.figures]


def _frame(picture: Picture, roles: Sequence[Look], name: str) -> svg.Frame:
    starts = [quality.since for look in roles for quality in look.windows]
    ends = [quality.until for look in roles for quality in look.windows]
    values = [one for look in roles for _, point in _points(look, name) for one in _limits(point)]
    values += [
        figures.figures[name].value or 0.0
        for look in roles
        for figures in picture.then(look.version)
        if name in figures.figures and figures.figures[name].value is not None and figures.window >= min(starts)
    ]
    aims = [picture.terms.goal.get(name), *(_held(picture, look, name) for look in roles)]
    values += [aim for aim in aims if aim is not None]
    ends_y = svg.roomy(values, least=0.0, most=1.0 if is_share(name) else None)
    return svg.Frame((min(starts), max(ends)), ends_y, left=_LEFT, top=22, width=_WIDTH - _LEFT - 14)


def _limits(point: Measured) -> list[float]:
    return [one for one in (point.value, point.low, point.high) if one is not None and point.value is not None]


def _held(picture: Picture, look: Look, name: str) -> float | None:
    subject = picture.subjects.get(look.version)
    return None if subject is None else subject.holdout.get(name)


def _version(picture: Picture, look: Look, name: str, frame: svg.Frame) -> Iterator[str]:
    """Band, line and points of one version; they break where nothing is known."""
    step = picture.terms.window
    closed = {quality.since: quality.closed for quality in look.windows}
    points = _points(look, name)
    for run in _runs(points, step):
        places = [(frame.x(at + step / 2), one) for at, one in run]
        banded = [(x, one) for x, one in places if one.low is not None and one.high is not None]
        edge = [(x, frame.y(one.high or 0.0)) for x, one in banded]
        if len(banded) > 1:
            yield svg.area([*edge, *((x, frame.y(one.low or 0.0)) for x, one in reversed(banded))], "band")
        yield from (
            f'<path d="M{x:g} {frame.y(one.low or 0.0):g}V{frame.y(one.high or 0.0):g}" class="err"/>'
            for x, one in (banded if len(banded) < 2 else ())  # noqa: PLR2004 - a band needs two
        )
        yield svg.line([(x, frame.y(one.value or 0.0)) for x, one in places], "now")
    held = _held(picture, look, name)
    if held is not None and points:
        first, last = frame.x(points[0][0]), frame.x(points[-1][0] + step)
        yield svg.line([(first, frame.y(held)), (last, frame.y(held))], "held")
    for at, one in points:
        x = frame.x(at + step / 2)
        if one.value is None:
            yield svg.text(x, frame.top + frame.height - 4, "?", anchor="middle", kind="q")
            continue
        measured = f"{number(one.value)} ({between(one.low, one.high)}), n {one.n:,}"
        says = f"version {plain(look.version)}, {moment(at)}: {measured}"
        yield svg.dot(x, frame.y(one.value), "nowdot" if closed[at] else "young", says, 2.6 if closed[at] else 3.2)


def _runs(points: Sequence[Point], step: int) -> Iterator[list[Point]]:
    run: list[Point] = []
    for at, one in points:
        if run and (one.value is None or at - run[-1][0] > _GAP * step):
            yield run
            run = []
        if one.value is not None:
            run.append((at, one))
    if run:
        yield run


def _goal(picture: Picture, name: str, frame: svg.Frame) -> Iterator[str]:
    goal = picture.terms.goal.get(name)
    if goal is not None:
        y, right = frame.y(goal), frame.left + frame.width
        yield svg.line([(frame.left, y), (right, y)], "goal")
        yield svg.text(right - 4, y - 4, f"goal {number(goal)}", anchor="end", kind="b")


def _swaps(roles: Sequence[Look], frame: svg.Frame) -> Iterator[str]:
    first = sorted((look.windows[0].since, look.version) for look in roles)
    for i, (at, version) in enumerate(first):
        x = frame.x(at)
        if i:
            yield svg.line([(x, frame.top - 8), (x, frame.top + frame.height)], "swap")
        end = x > frame.left + frame.width * 0.8
        yield svg.text(x + (-4 if end else 4), frame.top - 8, f"version {plain(version, 24)}",
                       anchor="end" if end else "start", kind="b")  # fmt: skip


def _then(picture: Picture, roles: Sequence[Look], name: str, frame: svg.Frame) -> Iterator[str]:
    """As known then: what was published when each window ended, which later labels do not change."""
    for look in roles:
        found: list[tuple[float, float, Said, int]] = []
        for told in picture.then(look.version):
            one = told.figures.get(name)
            if one is not None and one.value is not None and told.window >= frame.x_range[0]:
                found.append((frame.x(told.window + told.span / 2), frame.y(one.value), one, told.window))
        yield svg.line([(x, y) for x, y, _, _ in found], "thenline")
        for x, y, one, at in found:
            says = f"as known then, {moment(at)}: {number(one.value)} ({between(one.low, one.high)}), n {one.n:,}"
            yield svg.diamond(x, y, "then", says)
