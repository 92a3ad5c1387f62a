"""The report's part about drift: features sorted by how far they moved, histograms of the most moved."""

from collections.abc import Iterator, Sequence

from services.monitor.analyst.look import Look
from services.monitor.analyst.moves import FEATURES, LABELS, SCORES
from shared.core.reference import FeatureProfile, Reference
from tailrace.monitor import chart_drift, html
from tailrace.monitor.picture import Picture
from tailrace.monitor.words import moment, plain

_BARS, _PLOTS = 25, 12


def drift(picture: Picture) -> Iterator[str]:
    """Everything."""
    look = picture.front
    if look is None:
        yield html.paragraph("unknown: nothing was observed of the version in force yet")
        return
    subject = picture.subjects.get(look.version)
    reference = None if subject is None else subject.reference
    if not look.drifts:
        why = "too few records, or a reference too short to say what is usual"
        yield html.paragraph(f"Drift of the features: unknown; {why if reference else 'the version has no reference'}.")
    else:
        shown = look.drifts[:_BARS]
        about = f"{len(shown)} of {len(look.drifts)}; the answers stand as score, what came true as label. "
        about += _beside(reference)
        yield html.figure("How far features have moved, the most moved first", chart_drift.moved(shown), about)
        if len(look.drifts) > len(shown):
            rows = [
                (d.feature, f"{d.score:.3g}", f"{d.psi:.3g}", f"{d.distance:.3g}", f"{d.n:,}")
                for d in look.drifts[_BARS:]
            ]
            head = ("feature", "score", "PSI", "distance", "n")
            yield f"<details><summary>the other {len(rows)}</summary>{html.table(head, rows)}</details>"
    if reference is None:
        yield html.paragraph("Histograms: none, as the version has no reference.", "soft")
    else:
        yield from _histograms(picture, look, reference)


def _beside(reference: Reference | None) -> str:
    """What is compared with what."""
    if reference is not None and any(profile.panes for profile in reference.features.values()):
        return "The newest whole window, beside the training."
    return "The newest whole window, beside the first ones of this version: it brought nothing that says what is usual."


def _histograms(picture: Picture, look: Look, reference: Reference) -> Iterator[str]:
    """Of the most moved; in the order of the file where nothing can be said of drift."""
    drawn = list[str]()
    for name in [one.feature for one in look.drifts] or [*reference.features, "score", "label"]:
        profile, counts, when = of_name(name, reference, picture, look)
        if profile is not None and any(counts) and any(profile.counts):
            about = f"{moment(when[0])} to {moment(when[1])}"
            drawn.append(html.figure(plain(name), chart_drift.histogram(profile, counts), about))
        if len(drawn) == _PLOTS:
            break
    if drawn:
        yield f"<h3>Histograms over the bins of the reference</h3><div class='few'>{''.join(drawn)}</div>"
        yield html.paragraph("Bars: now. Steps: the reference, when the model was trained.", "soft")


def of_name(
    name: str, reference: Reference, picture: Picture, look: Look
) -> tuple[FeatureProfile | None, Sequence[int], tuple[int, int]]:
    """The reference of a feature (`score`: the answers, `label`: what came true), its counts now, and their window."""
    for group in (FEATURES, SCORES, LABELS):
        profile = group.profiles(reference).get(name)
        if profile is not None:
            when = _when(picture, look, group.metric)
            return profile, group.counts(picture.sums(when), picture.terms.classes).get(name, ()), when
    return None, (), (0, 0)


def _when(picture: Picture, look: Look, metric: str) -> tuple[int, int]:
    """The window that was compared; where none was, the newest."""
    panes = picture.windows(look.version)
    told = next((one.window for one in look.findings if one.metric == metric), (0, 0))
    if any(told[0] <= pane.window and pane.until <= told[1] for pane in panes):
        return told
    return (panes[-1].window, panes[-1].until) if panes else (0, 0)
