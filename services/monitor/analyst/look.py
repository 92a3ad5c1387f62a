"""One look at one version: all figures, drifts and faults that scorecards, accounts and error blocks show by now."""

from collections.abc import Iterable

import msgspec

from services.monitor.analyst.alarms import Watch
from services.monitor.analyst.calibration import Drift
from services.monitor.analyst.estimate import Expected
from services.monitor.analyst.findings import Finding
from services.monitor.analyst.policy_state import Evidence
from services.monitor.analyst.quality import Quality
from services.monitor.analyst.subject import Subject
from services.monitor.analyst.terms import LookTerms
from shared.core.monitor_records import Account, AccountSums, Scorecard


class Before(msgspec.Struct, frozen=True):
    """What the look before left: its event time (ms), the version, and whether features drifted."""

    now: int = 0
    version: str = ""
    drifting: bool = False


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
    terms: LookTerms, *, shadow: bool = False, now: int | None = None,
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

    Returns:
        None where there is nothing of this version.
    """
    raise NotImplementedError


def evidence(look: Look, manual: str = "") -> Evidence:
    """What the policy decides on; `manual` is an operator's request by an id of its own."""
    return Evidence(
        pipeline=look.pipeline, version=look.version, now=look.now, findings=look.findings, labels=look.labels,
        manual=manual, offsets=look.offsets,
    )  # fmt: skip
