"""Faults of records, labels and entries: in the newest whole window, in the one that runs, and in any left out.

Whole windows are judged once event time has passed them. The one that runs is judged beside them, so that a fault is
seen within minutes, by what does not depend on the time of day; for a unit jump it needs three fifths of the records
that windows usually have: then a whole window as usual cannot look like one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from statistics import median

from services.monitor.analyst import faults
from services.monitor.analyst.findings import Finding
from services.monitor.analyst.heard import Entries
from services.monitor.analyst.kept import Kept
from services.monitor.analyst.panes import Pane
from services.monitor.analyst.policy_state import RANK
from services.monitor.analyst.terms import LookTerms
from shared.core.monitor_records import AccountSums, FeatureCounts, Sums
from shared.core.reference import Reference
from shared.core.reference_panes import span_of
from shared.core.scorecards import merge

_MOST = 0.6  # of a usual window's records: with `FaultTerms.jumped` of them at one end it would hold more than `usual`
_BY_THE_HOUR = frozenset(("label_outage",))  # labels follow their records by hours: a part of a day lacks them


@dataclass(frozen=True, slots=True)
class Moment:
    """Event time now, and at the look before (ms); 0: there was none."""

    now: int
    before: int


def of_records(
    windows: Sequence[Pane], reference: Reference | None, at: Moment, terms: LookTerms, kept: Kept
) -> list[Finding]:
    """Missing, unseen, out of range, unreadable and in another unit, by metric.

    Args:
        windows: of one version, the oldest first; they begin at or before `at.now`.
        reference: what the version was trained on.
        at: when it is looked at.
        terms: the parameters.
        kept: what need not be computed again.
    """
    whole = [pane for pane in windows if pane.until <= at.now]
    running = [pane for pane in windows if pane.until > at.now]
    name = ("trained", windows[0].version if windows else "")
    trained = kept.of(name, (reference,), partial(_trained, reference, terms))

    def judged(pane: Pane, before: Sequence[Pane]) -> list[Finding]:
        past = faults.Past([one.sums for one in before], trained)
        window = (pane.window, pane.until)
        return faults.of_records(pane.sums, past, reference, window, terms.faults, partial(_ends, terms, kept))

    # An event time of long ago says nothing of now; of no window at all everything is unknown.
    fresh = [pane for pane in whole if pane.until > at.now - max(terms.rolling, 2 * terms.window)]
    newest = judged(fresh[-1], whole[:-1]) if fresh else _nothing(reference, at, terms)
    missed = [
        finding
        for i, pane in enumerate(whole[:-1])
        if 0 < at.before < pane.until
        for finding in judged(pane, whole[:i])
        if finding.level == "alarm"
    ]
    usual = median([pane.sums.n for pane in whole]) if whole else 0
    part = [
        finding
        for pane in running[-1:]
        for finding in judged(pane, whole)
        if finding.trigger != "unit_jump" or pane.sums.n >= _MOST * usual > 0
    ]
    return [*missed, *_worse(newest, part)]


def of_entries(entries: Sequence[Entries], at: Moment, terms: LookTerms) -> list[Finding]:
    """A label outage, conflicting labels, unreadable entries, and observations that come when their window is over."""
    heard = [one for one in entries if one.since <= at.now]
    whole = [one for one in heard if one.until <= at.now]
    running = [one for one in heard if one.until > at.now]

    def judged(one: Entries, before: Sequence[Entries]) -> list[Finding]:
        window = (one.since, one.until)
        labels = faults.of_labels(one.sums, [past.sums for past in before], window, terms.faults)
        others = (faults.of_entries(one.sums, window, terms.faults), faults.of_clock(one.sums, window, terms.faults))
        return [*labels, *others]

    fresh = [one for one in whole if one.until > at.now - max(terms.rolling, 2 * terms.window)]
    newest = judged(fresh[-1], whole[:-1]) if fresh else judged(Entries(at.now, at.now, AccountSums()), ())
    missed = [
        finding
        for i, one in enumerate(whole[:-1])
        if 0 < at.before < one.until
        for finding in judged(one, whole[:i])
        if finding.level == "alarm"
    ]
    part = [f for one in running[-1:] for f in judged(one, whole) if f.trigger not in _BY_THE_HOUR]
    return [*missed, *_worse(newest, part)]


def _ends(terms: LookTerms, kept: Kept, sums: Sums) -> faults.Ends:
    return kept.of(("ends", id(sums)), (sums,), lambda: faults.ends(sums, terms.faults))


def _nothing(reference: Reference | None, at: Moment, terms: LookTerms) -> list[Finding]:
    return faults.of_records(Sums(), faults.Past(), reference, (at.now, at.now), terms.faults)


def _worse(whole: Sequence[Finding], running: Sequence[Finding]) -> list[Finding]:
    """Of each metric the finding that says more: the one of the running window where that is worse, or all there is."""
    part = {finding.metric: finding for finding in running}
    return [_of_two(finding, part.get(finding.metric)) for finding in whole]


def _of_two(whole: Finding, part: Finding | None) -> Finding:
    if part is None or part.level is None:
        return whole
    return part if whole.level is None or RANK[part.level] > RANK[whole.level] else whole


def _trained(reference: Reference | None, terms: LookTerms) -> list[Sums]:
    """The records that a version was trained on, in windows as long as those that are watched, or nearly."""
    if reference is None or not reference.features:
        return []
    first = next(iter(reference.features.values()))
    span = span_of(first, reference.pane_ms, terms.window, terms.drift.windows)
    panes = min(len(profile.panes) for profile in reference.features.values())
    found = [_put_together(reference, i, span) for i in range(panes - span + 1)] if span else []
    return [sums for sums in found if sums.n >= terms.faults.minimum]


def _put_together(reference: Reference, first: int, span: int) -> Sums:
    features = {
        name: FeatureCounts(reduce(merge, profile.panes[first : first + span]))
        for name, profile in reference.features.items()
    }
    return Sums(n=max(sum(one.counts) for one in features.values()), features=features)
