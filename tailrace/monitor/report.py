"""The report: one page that holds all it shows. First what a console answers, in its order; then the pictures."""

from collections.abc import Iterator

from shared.core.monitor_records import Sums
from tailrace.monitor import chart_calibration, chart_labels, chart_quality, html, tables
from tailrace.monitor.answers import changed, good, todo
from tailrace.monitor.drift_section import drift
from tailrace.monitor.picture import Picture
from tailrace.monitor.status import Status
from tailrace.monitor.words import count, moment, name_of, plain, span


def report(picture: Picture, told: Status, made: int) -> str:
    """The page.

    Args:
        picture: the present one.
        told: the same as answers.
        made: this machine's time (ms).
    """
    return html.page(f"{picture.spec.name}: how good are the predictions?", _body(picture, told, made))


def _body(picture: Picture, told: Status, made: int) -> Iterator[str]:
    version = f"version {plain(told.version)} in force" if told.version else "no version in force"
    when = f"{moment(told.now)} UTC" if told.now else "unknown"
    yield f"<header><h1>{html.said(picture.spec.title or picture.spec.name)}</h1>"
    yield f"<p>{html.state(told.state)} · {html.said(version)} · event time {html.said(when)}</p>"
    clock = f"made {moment(made)} UTC by this machine's clock; all other times are event times"
    yield html.paragraph(f"pipeline {picture.spec.name}; {clock}", "soft") + "</header>"
    yield "<h2>Is it working?</h2>"
    yield from tables.working(told.working)
    yield "<h2>How good is it?</h2>"
    yield from good(told)
    yield "<h2>What changed?</h2>"
    yield changed(picture)
    yield "<h2>What should I do?</h2>"
    yield from todo(told)
    yield from _quality(picture)
    yield from _labels(picture)
    yield "<h2>Drift</h2>"
    yield from drift(picture)
    if picture.spec.task != "regression":
        yield from _answers(picture, _rolling(picture))
    yield "<h2>Where is it better or worse?</h2>"
    yield from tables.slices(_rolling(picture))
    yield "<h2>What does the model go by?</h2>"
    yield from tables.importance(picture)
    yield "<h2>Versions</h2>"
    yield from tables.versions(picture)
    yield from tables.shadows(picture)


def _quality(picture: Picture) -> Iterator[str]:
    names = chart_quality.chosen(picture)
    if names:
        yield "<h2>Quality over time</h2>" + html.paragraph(chart_quality.caption(picture), "soft")
    for name in names:
        yield html.figure(f"{name_of(name)} by window", chart_quality.over_time(picture, name))


def _labels(picture: Picture) -> Iterator[str]:
    yield "<h2>Labels</h2>"
    look = picture.front
    first = look.windows[0].since if look is not None and look.windows else 0  # as far back as the charts above
    panes = [pane for pane in picture.windows(picture.champion) if pane.window >= first]
    if not any(pane.sums.n for pane in panes):
        yield html.paragraph("unknown: nothing was observed of the version in force yet")
        return
    about = "Filled: records that have their label; outlined: all that were observed."
    yield html.figure("How many records have their label, by window", chart_labels.coverage(panes), about)
    counts = _whole(picture).delays
    if sum(counts) > 0:
        about = "Of all labels so far of the version in force; those that are still to come are the slow ones."
        yield html.figure("How late labels come", chart_labels.delays(counts), about)
    else:
        yield html.paragraph("How late labels come: unknown, of none the delay is known.")


def _answers(picture: Picture, sums: Sums) -> Iterator[str]:
    """What scores and answers are worth, of the windows that quality is of."""
    spec = picture.spec
    yield "<h2>Do scores mean what they say?</h2>"
    if not sum(sums.labelled_scores):
        yield html.paragraph("unknown: no label has come")
        return
    of = f"the probability of {plain(spec.labels.positive)}" if spec.task == "binary" else "of the class that was said"
    about = (
        "One point a tenth of the score, with its interval of 95 %. On the dashed line a score means what it says; "
        "above it more comes true than was said."
    )
    drawn = chart_calibration.calibration(sums, of)
    yield html.figure("Calibration: what came true, by score", drawn, about, "small")
    yield "<h2>What is taken for what?</h2>"
    yield chart_calibration.confusion(sums.confusion, spec.labels.classes)
    yield html.paragraph(f"{count(sums.labelled, 'label')} of windows of {span(picture.terms.window)}.", "soft")


def _rolling(picture: Picture) -> Sums:
    """Of the windows that quality is of; of all while it is of none that has labels."""
    look = picture.front
    if look is not None and look.quality is not None:
        sums = picture.sums((look.quality.since, look.quality.until))
        if sums.labelled:
            return sums
    return _whole(picture)


def _whole(picture: Picture) -> Sums:
    panes = picture.windows(picture.champion)
    return picture.sums((panes[0].window, panes[-1].until)) if panes else Sums()
