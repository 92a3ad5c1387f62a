"""The present picture on one calm screen."""

from collections.abc import Iterable, Sequence
from textwrap import wrap

from shared.core.monitor_records import Verdict
from tailrace.monitor.status import FigureNow, Good, State, Status, Todo, Working, grouped
from tailrace.monitor.words import between, count, moment, name_of, number, percent, plain, span

WIDTH = 110
_SIGN: dict[State, str] = {"ok": "ok", "warn": "WARN", "alarm": "ALARM", "unknown": "unknown"}
_SHOWN = 6  # figures


def status_text(told: Status) -> str:
    """Several lines."""
    version = f"version {plain(told.version)}" if told.version else "no version in force"
    head = f"{told.pipeline}  {version}  {_SIGN[told.state]}  event time {_when(told.now)}"
    parts = [
        [head],
        ["Is it working?", *_rows(working_rows(told.working))],
        ["How good is it?", *_good(told.quality)],
        ["What changed?", *_changed(told)],
        ["What should I do?", *_do(told)],
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def _when(ms: int) -> str:
    return f"{moment(ms)} UTC" if ms else "unknown"


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    """A name and its words, which go on under themselves where they are long."""
    made: list[str] = []
    for name, words in rows:
        first, *rest = wrap(words, WIDTH - 27) or [""]
        made += [f"  {name:<24} {first}", *(f"{'':<27}{more}" for more in rest)]
    return made


def working_rows(now: Working) -> list[tuple[str, str]]:
    """What works, and what does not: a name and its words a row."""
    rows = [("observers", _observers(now))]
    labels = dict(now.labels)
    total = labels.pop("labels", 0)
    kinds = ", ".join(f"{n:,} {name}" for name, n in labels.items())
    rows.append(("labels", f"{total:,} read" + (f": {kinds}" if kinds else "")))
    if now.coverage is None:
        rows.append(("coverage", "unknown: no window is old enough for its labels to have come"))
    else:
        late = ", ".join(f"{d.share:.0%} within {span(d.seconds * 1_000)}" for d in now.delays)
        words = f"{percent(now.coverage)} of {now.observed:,} observed records have their label"
        rows.append(("coverage", words + (f"; of those {late}" if late else "")))
    if now.analyst is None:
        rows.append(("analyst", "unknown: it has said nothing yet"))
    else:
        age, behind = span(now.analyst.ago * 1_000), span(now.analyst.behind)
        where = "up to date" if not now.analyst.behind else f"{behind} of event time behind"
        rows.append(("analyst", f"last verdict {age} ago, at {_when(now.analyst.at)}: {where}"))
    rows += [("note", plain(problem, 300)) for problem in now.problems]
    return rows


def _observers(now: Working) -> str:
    if not now.partitions:
        return "unknown: nothing was published yet"
    marks = [part.watermark for part in now.partitions]
    waiting = [part.behind for part in now.partitions if part.behind is not None]
    words = f"{count(len(marks), 'partition')}, the slowest at {_when(min(marks))}"
    if max(marks) > min(marks):
        words += f", {span(max(marks) - min(marks))} behind the first"
    if waiting:
        words += f"; {count(sum(waiting), 'offset')} still to fold"
    return words + ("" if now.heard is None else f"; last heard {span(now.heard * 1_000)} ago")


def _good(good: Good) -> list[str]:
    lines: list[str] = []
    if good.window is None:
        lines += _rows([("quality", "unknown: nothing was observed of this version yet")])
    else:
        lines += _rows([("window", f"{moment(good.window[0])} to {moment(good.window[1])} UTC")])
        lines += _figures(good.figures)
    guess = good.estimate
    if guess is not None:
        words = f"{name_of(guess.figure)} {number(guess.value)}"
        words = f"unknown: {guess.why}" if guess.value is None else f"{words} ({between(guess.low, guess.high)})"
        lines += _rows([("expected", f"{words} of {guess.n:,} predictions without labels, {guess.condition}")])
    return lines


def _figures(figures: Sequence[FigureNow]) -> list[str]:
    """What is aimed at stands first."""
    chosen = sorted(figures, key=lambda one: one.goal is None)[:_SHOWN]
    rows = [("", "", "95 %", "labels", "goal", "holdout", "")]
    for one in chosen:
        unknown = f"unknown: {one.why}" if one.value is None else _SIGN[one.state]
        rows.append(
            (
                name_of(one.figure), number(one.value), "" if one.value is None else between(one.low, one.high),
                f"{one.n:,}", _or_dash(one.goal), _or_dash(one.holdout), unknown,
            )
        )  # fmt: skip
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(w) if j in (0, 6) else cell.rjust(w) for j, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _or_dash(value: float | None) -> str:
    return "-" if value is None else number(value)


def _changed(told: Status) -> list[str]:
    rows = [
        (f"{_SIGN[_state(told, one)]:<8}{name_of(one.metric)}", plain(one.reasons[0], 300) if one.reasons else "")
        for one in told.verdicts
        if one.trigger != "quality" and (one.verdict != "ok" or one.trigger in ("errors", "loss", "features"))
    ]
    return _rows(rows) or ["  unknown: there is nothing to compare yet"]


def _state(told: Status, one: Verdict) -> State:
    return "unknown" if one.metric in told.unknown else one.verdict


def _do(told: Status) -> list[str]:
    lines: list[str] = []
    for calls in grouped(told.todo):
        lines += _rows([(f"{_SIGN[calls[0].state]}", _call(calls))])
    if told.todo:
        lines += _rows([("read", told.todo[0].page)])
    elif told.verdicts and len(told.unknown) < len(told.verdicts):
        lines += _rows([("nothing", "what is known is in order")])
    else:
        lines += _rows([("wait", "nothing is known yet")])
    if told.unknown:
        lines += _rows([("not known", ", ".join(name_of(metric) for metric in told.unknown))])
    request, asked = told.request, "no open request"
    if request is not None:
        asked = f"asked for at {_when(request.at)} because of {name_of(request.trigger)} ({plain(request.id, 32)})"
    return lines + _rows([("retraining", asked)])


def _call(calls: Sequence[Todo]) -> str:
    first = calls[0]
    said = [one.since for one in calls if one.said]
    since = f"since {_when(min(said))}" if said else "found just now; the analyst has not said so yet"
    return f"{first.title} ({', '.join(name_of(one.metric) for one in calls)}), {since}. {first.do}"
