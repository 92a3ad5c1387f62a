"""The console's answers on the page: figures, verdicts, and what to do."""

from collections.abc import Iterator, Sequence

from tailrace.monitor import html, tables
from tailrace.monitor.picture import Picture, Standing
from tailrace.monitor.status import Status, Todo, grouped, of_standing
from tailrace.monitor.words import between, count, moment, name_of, number


def good(told: Status) -> Iterator[str]:
    """How good is it? Rolling figures, and what is expected of predictions without labels."""
    found, guess = told.quality, told.quality.estimate
    if found.window is None:
        yield html.paragraph("unknown: nothing was observed of the version in force yet")
    else:
        since = f"{moment(found.window[0])} to {moment(found.window[1])} UTC"
        yield tables.figures(found.figures, f"of the windows from {since}; intervals of 95 %")
    if guess is not None and guess.value is None:
        yield html.paragraph(f"Of {count(guess.n, 'prediction')} without labels nothing is expected: {guess.why}.")
    elif guess is not None:
        words = f"Expected of {guess.n:,} predictions whose labels are not there yet: {name_of(guess.figure)}"
        limits = between(guess.low, guess.high)
        yield html.paragraph(f"{words} {number(guess.value)} ({limits}), {guess.condition}.")


def changed(picture: Picture) -> str:
    """What changed? Every verdict with its reasons; what is in order or unknown is folded away."""
    if not picture.standing:
        return html.paragraph("unknown: there is nothing to compare yet")
    loud = [one for one in picture.standing if one.verdict.verdict != "ok"]
    calm = [one for one in picture.standing if one.verdict.verdict == "ok"]
    shown = _verdicts(loud) if loud else html.paragraph("Nothing that is known.")
    if not calm:
        return shown
    unknown = sum(one.unknown for one in calm)
    words = f"{len(calm) - unknown} in order, {unknown} unknown"
    return f"{shown}<details><summary>{words}</summary>{_verdicts(calm)}</details>"


def _verdicts(shown: Sequence[Standing]) -> str:
    rows = [
        (html.state(of_standing(one)), name_of(one.verdict.metric), "; ".join(one.verdict.reasons), _since(one))
        for one in shown
    ]
    return html.table(("verdict", "on", "reasons", "since"), rows, words=3)


def _since(one: Standing) -> str:
    if one.said:
        return f"{moment(one.verdict.since)} UTC"
    return "-" if one.verdict.verdict == "ok" else "found now"


def todo(told: Status) -> Iterator[str]:
    """What should I do? A box each, then what nobody knows, and the open request."""
    yield from map(_box, grouped(told.todo))
    if not told.todo:
        words = "Nothing: what is known is in order." if told.state == "ok" else "Wait: nothing is known yet."
        kind = "ok" if told.state == "ok" else "unknown"
        yield f'<div class="box {kind}">{html.state(kind)}{html.paragraph(words)}</div>'
    if told.unknown:
        yield html.paragraph(f"Not known: {', '.join(name_of(metric) for metric in told.unknown)}.", "soft")
    asked = told.request
    if asked is None:
        yield html.paragraph("No retrain request is open.")
        return
    since = f"Retraining was asked for at {moment(asked.at)} UTC"
    yield html.paragraph(f"{since} because of {name_of(asked.trigger)} (request {asked.id}).")
    rows = [(name_of(verdict.metric), "; ".join(verdict.reasons)) for verdict in asked.reasons]
    yield html.table(("because", "reasons"), rows, words=2)


def _box(calls: Sequence[Todo]) -> str:
    first = calls[0]
    told = [one.since for one in calls if one.said]
    since = f"since {moment(min(told))} UTC" if told else "found just now; the analyst has not said so yet"
    head = f"({', '.join(name_of(one.metric) for one in calls)}), {since}."
    reasons = "".join(html.paragraph("; ".join(one.reasons), "soft") for one in calls)
    return (
        f'<div class="box {html.said(first.state)}">{html.state(first.state)} <b>{html.said(first.title)}</b> '
        f"{html.said(head)}{html.paragraph(f'{first.means} {first.do}')}{reasons}"
        f"{html.paragraph(f'More: {first.page}', 'soft')}</div>"
    )
