"""One look at one version: all figures, drifts and faults that scorecards, accounts and error blocks show by now.

Windows are compared only with windows whose labels had the same time: rolling quality is of those that are over for as
long as labels take, as labels that come early tell of other records than those that come late. For the windows since
then there is the label-free estimate.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from services.monitor.analyst import window_faults
from services.monitor.analyst.alarms import Watch
from services.monitor.analyst.calibration import Drift
from services.monitor.analyst.estimate import Expected, estimate
from services.monitor.analyst.findings import Finding, of_estimate, of_quality
from services.monitor.analyst.heard import Heard, added, begin, heard
from services.monitor.analyst.kept import Kept
from services.monitor.analyst.moves import FEATURES, LABELS, SCORES, moved
from services.monitor.analyst.panes import Pane, bare, together
from services.monitor.analyst.policy_state import Evidence
from services.monitor.analyst.quality import Measured, Quality, quality
from services.monitor.analyst.rises import of_errors
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms
from services.monitor.analyst.window_faults import Moment
from shared.core.durations import write
from shared.core.monitor_records import Account, AccountSums, Scorecard

_PAST = 60  # windows that the label-free estimate learns from


class Before(msgspec.Struct, frozen=True):
    """What the look before left: its event time (ms), the version, and whether features drifted.

    `gone` labels were in windows that end up to `until` (ms): those are looked at no more.
    """

    now: int = 0
    version: str = ""
    drifting: bool = False
    gone: int = 0
    until: int = 0


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The present picture of one version in one role.

    `now` is event time (ms): the smallest watermark of the partitions that were heard of; it never falls. `quality` is
    of the newest windows whose labels have had their time, as known now; its figures are unknown while there are none.
    `windows` are all windows by themselves, the oldest first, as known now, also those whose labels are still to come.
    `estimate` is of the newest windows without labels; None: there are none. `drifts` are of the features, of the
    answers (`score`) and of what came true (`label`), the largest first; empty: nothing can be said. `accounts` has all
    entries of the accounts that were given. `offsets` say how far `journal` was read, by `journal/<partition>`;
    `labels` how many the version has had.
    """

    pipeline: str
    version: str
    shadow: bool
    now: int
    quality: Quality | None
    windows: tuple[Quality, ...]
    estimate: Expected | None
    drifts: tuple[Drift, ...]
    accounts: AccountSums
    findings: tuple[Finding, ...]
    offsets: dict[str, int]
    labels: int
    before: Before


def look(
    cards: Iterable[Scorecard], accounts: Iterable[Account], watched: Watch | None, subject: Subject, before: Before,
    terms: LookTerms, *, shadow: bool = False, now: int | None = None, kept: Kept | None = None,
) -> Look | None:  # fmt: skip
    """Look at a version.

    Args:
        cards: published values, of all versions, in any order and however often.
        accounts: the same.
        watched: the watch over the version's errors; None: no block of it yet.
        subject: the version at its training.
        before: what the last look left.
        terms: the parameters.
        shadow: whether it is looked at in the role of a shadow.
        now: event time (ms), where the caller knows it; None: from the cards and accounts.
        kept: what need not be computed again; it changes no answer.

    Returns:
        None where there is nothing of this version.
    """
    kept = kept or Kept()
    known = heard(cards, accounts, terms, kept)
    now = known.now if now is None else now
    return look_at(known, watched, subject, before, terms, shadow=shadow, now=now, kept=kept)


def look_at(
    known: Heard, watched: Watch | None, subject: Subject, before: Before, terms: LookTerms, *,
    shadow: bool, now: int, kept: Kept,
) -> Look | None:  # fmt: skip
    """The same of what was put in order already; arguments as of `look`."""
    every = known.versions.get((subject.version, shadow), ())
    if not every and watched is None:
        return None
    now = max(now, before.now)
    first, at = begin(now, terms), Moment(now, before.now)
    windows = _sorted_out([pane for pane in every if pane.until > first], known.patience, now)
    entries = [one for one in known.entries if one.until > first]
    features = moved(FEATURES, windows.whole, subject.reference, now, terms, kept)
    scores = moved(SCORES, windows.whole, subject.reference, now, terms, kept)
    labels = moved(LABELS, windows.ripe, subject.reference, now, terms, kept)
    rolling = _rolling(windows, known.patience, now, terms, kept)
    expected = _expected(windows, terms, kept)
    findings = (
        *_of_figures(rolling, expected, windows, subject, terms),
        *_of_errors(watched, at, terms),
        *window_faults.of_records(windows.all, subject.reference, at, terms, kept),
        *window_faults.of_entries(entries, at, terms),
        *(one.finding for one in (features, scores, labels)),
    )
    gone = before.gone + sum(pane.sums.labelled for pane in every if before.until < pane.until <= first)
    return Look(
        pipeline=terms.pipeline, version=subject.version, shadow=shadow, now=now, quality=rolling,
        windows=tuple(_by_itself(pane, terms, kept) for pane in windows.all), estimate=expected,
        drifts=_largest(*features.drifts, *scores.drifts, *labels.drifts),
        accounts=added(one.sums for one in entries), findings=findings, offsets=known.offsets,
        labels=gone + sum(pane.sums.labelled for pane in every if pane.until > first),
        before=Before(now, subject.version, features.standing, gone, max(first, before.until)),
    )  # fmt: skip


def evidence(look: Look, manual: str = "") -> Evidence:
    """What the policy decides on; `manual` is an operator's request by an id of its own."""
    return Evidence(
        pipeline=look.pipeline, version=look.version, now=look.now, findings=look.findings, labels=look.labels,
        manual=manual, offsets=look.offsets,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of a version, the oldest first: all that have begun, the `whole` ones, those whose labels are there."""

    all: list[Pane]
    whole: list[Pane]
    ripe: list[Pane]
    young: list[Pane]


def _sorted_out(windows: Sequence[Pane], patience: int, now: int) -> _Windows:
    begun = [pane for pane in windows if pane.window <= now]
    return _Windows(
        all=begun,
        whole=[pane for pane in begun if pane.until <= now],
        ripe=[pane for pane in begun if pane.until <= now - patience],
        young=[pane for pane in begun if pane.until > now - patience],
    )


def _rolling(windows: _Windows, patience: int, now: int, terms: LookTerms, kept: Kept) -> Quality | None:
    """Quality of the newest windows whose labels are there; without any, why nothing is known."""
    ripe = now - patience
    since = ripe - ripe % terms.window - terms.rolling
    newest = [pane for pane in windows.ripe if pane.window >= since]
    if newest:
        name = ("rolling", newest[0].version, newest[0].shadow)
        return kept.of(name, newest, partial(quality, newest, terms.task, terms.classes, terms.within))
    if not windows.all:
        return None
    told = quality(windows.young or windows.all[-1:], terms.task, terms.classes, terms.within)
    why = f"labels take {write(patience / 1_000)}" if windows.young else "nothing was predicted lately"
    unknown = {name: Measured(name, 0, why=why) for name in told.figures}
    return msgspec.structs.replace(told, figures=unknown)


def _by_itself(pane: Pane, terms: LookTerms, kept: Kept) -> Quality:
    name = ("quality", pane.version, pane.shadow, pane.window)
    return kept.of(name, (pane,), partial(quality, [pane], terms.task, terms.classes, terms.within))


def _expected(windows: _Windows, terms: LookTerms, kept: Kept) -> Expected | None:
    """The label-free estimate of the windows since then; None: there are none."""
    past, young = windows.ripe[-_PAST:], windows.young
    if not young:
        return None

    def made() -> Expected:
        now = together(bare(pane.sums) for pane in young)
        return estimate([pane.sums for pane in past], now, terms.task, terms.threshold)

    return kept.of(("estimate", young[0].version, young[0].shadow), (*past, *young), made)


def _of_figures(
    rolling: Quality | None, expected: Expected | None, windows: _Windows, subject: Subject, terms: LookTerms
) -> Iterator[Finding]:
    if rolling is not None:
        yield from of_quality(rolling, terms.goal, subject.holdout, terms.policy.minimum)
    if expected is not None:
        window = (windows.young[0].window, windows.young[-1].until)
        aim = terms.goal.get(expected.figure, subject.holdout.get(expected.figure))
        yield of_estimate(expected, window, aim)


def _of_errors(watched: Watch | None, at: Moment, terms: LookTerms) -> list[Finding]:
    if watched is None:
        return []
    binary, lasting = terms.task == "binary", terms.policy.settle
    return of_errors(watched, at.now, at.before, binary=binary, lasting=lasting, window=terms.window)


def _largest(*drifts: Drift) -> tuple[Drift, ...]:
    return tuple(sorted(drifts, key=lambda drift: (-drift.score, drift.feature)))
