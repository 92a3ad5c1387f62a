"""The report's tables: how it works, figures, slices, importance, versions."""

from collections.abc import Iterator, Sequence

from services.monitor.analyst.intervals import wilson
from services.monitor.analyst.panes import together
from shared.core.monitor_records import Sums
from shared.core.scorecards import real
from tailrace.monitor import html
from tailrace.monitor.picture import Picture
from tailrace.monitor.status import FigureNow, Working
from tailrace.monitor.status_text import working_rows
from tailrace.monitor.words import between, meaning_of, moment, name_of, number, percent, plain

_IMPORTANCE = (
    "Importance: by how much the log-loss (of a number: the mean absolute error) on the judged holdout rises when a "
    "feature's values are shuffled. Of two that say the same each may look dispensable."
)


def working(now: Working) -> Iterator[str]:
    """As on the screen of `status`."""
    yield html.table(("part", "state"), working_rows(now), words=2)


def figures(shown: Sequence[FigureNow], caption: str) -> str:
    """Every figure with its interval, beside goal and holdout."""
    rows = [
        (
            name_of(one.figure), meaning_of(one.figure), html.state(one.state), number(one.value),
            one.why if one.value is None else between(one.low, one.high), f"{one.n:,}",
            "-" if one.goal is None else number(one.goal), "-" if one.holdout is None else number(one.holdout),
        )
        for one in shown
    ]  # fmt: skip
    head = ("figure", "is", "state", "value", "95 %", "labels", "goal", "holdout")
    return html.table(head, rows, words=3, caption=caption)


def slices(sums: Sums) -> Iterator[str]:
    """Declared slices, the one with the most errors first."""
    if not sums.slices:
        yield html.paragraph("No slices are declared (`monitoring.slices` in the pipeline's file).")
        return
    rows = []
    found = sorted(sums.slices.items(), key=lambda item: (-item[1].errors / max(item[1].labelled, 1), item[0]))
    for name, one in found:
        if not one.labelled:
            rows.append((name, f"{one.n:,}", "0", "unknown", "", "unknown", "unknown"))
            continue
        low, high = wilson(one.errors, one.labelled)
        share, limits = percent(one.errors / one.labelled), f"{percent(low)} to {percent(high)}"
        loss, bias = number(real(one.loss) / one.labelled), number(real(one.bias) / one.labelled)
        rows.append((name, f"{one.n:,}", f"{one.labelled:,}", share, limits, loss, bias))
    yield html.table(("slice", "records", "labels", "wrong", "95 %", "mean loss", "bias"), rows)
    yield html.paragraph("Bias: how much scores lie above what came true, on average.", "soft")


def importance(picture: Picture) -> Iterator[str]:
    """By how much the holdout's loss rises when a feature is shuffled, as the trainer recorded it."""
    subject = picture.subjects.get(picture.champion)
    found = {} if subject is None or subject.reference is None else subject.reference.importance
    if not found:
        yield html.paragraph("not recorded: the bundle of the version in force says nothing about importance")
        return
    moved = {} if picture.front is None else {drift.feature: drift.score for drift in picture.front.drifts}
    rows = [
        (plain(name), number(value), f"{moved[name]:.3g}" if name in moved else "unknown")
        for name, value in sorted(found.items(), key=lambda item: (-item[1], item[0]))
    ]
    yield html.table(("feature", "importance", "moved (1: an alarm)"), rows)
    yield html.paragraph(_IMPORTANCE, "soft")


def versions(picture: Picture) -> Iterator[str]:
    """Every version that left scorecards."""
    rows = []
    for look in picture.looks:
        manifest = picture.manifests.get(look.version)
        span_ = "unknown"
        if manifest is not None:
            span_ = f"{moment(manifest.trained_from)} to {moment(manifest.trained_until)}"
        first = moment(look.windows[0].since) if look.windows else "-"
        role = "shadow" if look.shadow else "in force" if look.version == picture.champion else "former"
        why = picture.refused.get(look.version, "")
        rows.append((look.version, role, span_, first, why, f"{look.labels:,}"))
    if not rows:
        yield html.paragraph("unknown: no version has left scorecards yet")
        return
    yield html.table(("version", "role", "trained on (UTC)", "first window", "note", "labels"), rows, words=5)


def shadows(picture: Picture) -> Iterator[str]:
    """Every shadow beside the version in force, on the same labels; nothing where there is none."""
    rows = []
    for look in picture.looks:
        panes = picture.windows(look.version, shadow=True) if look.shadow else []
        for champion, one in sorted(together(pane.sums for pane in panes).pairs.items()):
            if one.n:
                counts = (one.n, one.both_right, one.champion_only, one.shadow_only)
                loss = number(real(one.loss) / one.n)
                rows.append((look.version, champion, *(f"{n:,}" for n in counts), loss))
    if rows:
        head = (
            "shadow",
            "beside",
            "labels",
            "both right",
            "only the other",
            "only the shadow",
            "loss less the other's",
        )
        yield html.table(head, rows, words=2, caption="shadows on the same labels; a loss below 0 is better")
