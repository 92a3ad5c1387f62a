"""What has moved: features, answers and what came true, window by window, each beside what its reference had.

A reference with panes says what is usual. One without (of a bundle of before) is replaced by the version's own first
windows, which no later comparison is about. With neither nothing can be said, and nothing is: that is no alarm.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from services.monitor.analyst.calibration import Calibration, Drift, Panes, calibrate, compare, stands
from services.monitor.analyst.findings import Finding, of_features
from services.monitor.analyst.kept import Kept
from services.monitor.analyst.panes import Pane
from services.monitor.analyst.terms import LookTerms
from shared.core.monitor_records import Ints, Sums
from shared.core.reference import FeatureProfile, Reference
from shared.core.reference_panes import span_of

Counts = dict[str, Ints]
OWN = 30
"""First windows of a version at most that are its reference where it brought none."""
_RECALLED = 8  # windows: a drift that has been almost over for longer than that is over


@dataclass(frozen=True, slots=True)
class Group:
    """Distributions that are judged together: their `metric`, how the reference and how scorecards have them."""

    metric: str
    profiles: Callable[[Reference], Mapping[str, FeatureProfile]]
    counts: Callable[[Sums, int], Counts]


@dataclass(frozen=True, slots=True)
class Moved:
    """What was found of one group: the drifts of its newest window, the finding, and whether it stands."""

    drifts: tuple[Drift, ...]
    finding: Finding
    standing: bool


def _features(sums: Sums, _classes: int) -> Counts:
    return {name: counts.counts for name, counts in sums.features.items()}


def _answers(sums: Sums, _classes: int) -> Counts:
    return {"score": sums.answers.counts} if sums.answers.counts else {}


def _truths(sums: Sums, classes: int) -> Counts:
    """What came true: by class, or over the bins of the reference's scores."""
    if not classes:
        return {"label": sums.truths.counts} if sums.truths.counts else {}
    cells = (*sums.confusion, *(0,) * (classes * classes - len(sums.confusion)))
    return {"label": tuple(sum(cells[i : i + classes]) for i in range(0, len(cells), classes))}


FEATURES = Group("features", lambda reference: reference.features, _features)
SCORES = Group("score", lambda reference: {"score": reference.scores}, _answers)
LABELS = Group("label", lambda reference: {"label": reference.labels}, _truths)


def moved(
    group: Group, windows: Sequence[Pane], reference: Reference | None, now: int, terms: LookTerms, kept: Kept
) -> Moved:
    """Compare the newest windows with the reference.

    Args:
        group: what is compared.
        windows: whole windows of one version, the oldest first; those of labels have had their time for them.
        reference: what it was trained on, if that is known.
        now: event time (ms): what is older than rolling quality is no news.
        terms: the parameters.
        kept: what need not be computed again.
    """
    alike = [pane for pane in windows if pane.span == terms.window]
    known, rest = _calibrated(group, alike, reference, terms, kept)
    drifts: tuple[Drift, ...] = ()
    before, standing, window = False, False, (now, now)
    for pane in rest[-_RECALLED:]:
        name = ("drift", group.metric, pane.version, pane.shadow, pane.window)
        drifts = kept.of(name, (known, pane), partial(_compared, known, group, pane, terms))
        window, before = (pane.window, pane.until), standing
        standing = stands(before, drifts, terms.drift) if drifts else before
    if window[1] <= now - max(terms.rolling, 2 * terms.window) - terms.horizon:
        drifts = ()
    finding = of_features(drifts, window, before, terms.drift.calm)
    return Moved(drifts, msgspec.structs.replace(finding, metric=group.metric), standing)


def _calibrated(
    group: Group, windows: Sequence[Pane], reference: Reference | None, terms: LookTerms, kept: Kept
) -> tuple[Calibration | None, Sequence[Pane]]:
    """What is usual, and the windows that are to be compared with it."""
    profiles = group.profiles(reference) if reference is not None else {}
    if reference is not None and any(profile.panes for profile in profiles.values()):
        name = ("usual", group.metric, windows[0].version if windows else "")
        made = partial(_of_reference, profiles, reference.pane_ms, terms)
        return kept.of(name, (reference,), made), windows
    own = windows[: min(OWN, max(len(windows) - 1, 0))]
    name = ("own", group.metric, *((own[0].version, own[0].shadow) if own else ()))
    return kept.of(name, own, partial(_of_windows, group, own, terms)), windows[len(own) :]


def _of_reference(profiles: Mapping[str, FeatureProfile], pane_ms: int, terms: LookTerms) -> Calibration | None:
    panes = {
        name: Panes(profile.panes, ordered=not profile.words) for name, profile in profiles.items() if profile.panes
    }
    first = next(iter(profiles[name] for name in panes))
    return calibrate(panes, span_of(first, pane_ms, terms.window, terms.drift.windows), terms.drift)


def _of_windows(group: Group, windows: Sequence[Pane], terms: LookTerms) -> Calibration | None:
    rows = [group.counts(pane.sums, terms.classes) for pane in windows]
    names = [name for name in (rows[0] if rows else ()) if len({len(row.get(name, ())) for row in rows}) == 1]
    # Nothing says here whether bins are in order: the answers' and a regression's truths are, words are not.
    ordered = group is SCORES or (group is LABELS and not terms.classes)
    panes = {name: Panes(tuple(row[name] for row in rows), ordered=ordered) for name in names}
    return calibrate(panes, 1, terms.drift)


def _compared(known: Calibration | None, group: Group, pane: Pane, terms: LookTerms) -> tuple[Drift, ...]:
    if known is None:
        return ()
    found = group.counts(pane.sums, terms.classes)
    fitting = {n: found[n] for n, usual in known.features.items() if len(found.get(n, ())) == len(usual.counts)}
    return tuple(compare(known, fitting, terms.drift))
