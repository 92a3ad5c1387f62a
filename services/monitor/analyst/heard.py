"""All that was heard of a pipeline, put in order: windows of every version, windows of entries, and event time.

Event time is the smallest watermark of the partitions that were heard of: what was promised by then has come in all of
them. Windows that begin later, in partitions that are ahead, are not looked at yet; so one partition whose clock jumps
by years moves nothing. Cards that no pipeline of these classes can have made are left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce

import msgspec

from services.monitor.analyst.base import further
from services.monitor.analyst.delays import come_by
from services.monitor.analyst.kept import Kept
from services.monitor.analyst.panes import Pane, panes
from services.monitor.analyst.terms import LookTerms
from shared.core.monitor_records import DELAYS, SCORE_BINS, Account, AccountSums, Ints, Scorecard, account_key
from shared.core.scorecards import merge

KEPT = 90
"""Windows that are looked back to, beside those whose labels still come and those of rolling quality."""
_ALL = 0.99  # of the labels that ever come


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries that all partitions folded while event time was in the window [since, until) (ms)."""

    since: int
    until: int
    sums: AccountSums


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard.

    `now` is event time (ms), 0 before anything was heard; `offsets` how far `journal` was read, by its partitions.
    `versions` has the windows of each version and role, `entries` those of entries, the oldest first. `patience` is how
    long (ms) labels take: in windows that are over for so long, 99 % of all that ever come are there.
    """

    now: int
    offsets: dict[str, int]
    versions: Mapping[tuple[str, bool], tuple[Pane, ...]]
    entries: tuple[Entries, ...]
    patience: int


def heard(cards: Iterable[Scorecard], accounts: Iterable[Account], terms: LookTerms, kept: Kept) -> Heard:
    """Put cards and accounts in order, whatever theirs was and however often they came."""
    fitting = [card for card in cards if kept.of(("fits", id(card)), (card,), partial(_fits, terms, card))]
    accounts = list(accounts)
    offsets = dict[int, int]()
    every: list[Scorecard | Account] = [*fitting, *accounts]
    for one in every:
        offsets[one.partition] = max(offsets.get(one.partition, 0), one.offset)
    grouped: dict[tuple[str, bool], list[Pane]] = {}
    for pane in panes(fitting, kept=kept):
        grouped.setdefault((pane.version, pane.shadow), []).append(pane)
    return Heard(
        now=event_time(every),
        offsets={f"journal/{partition}": offsets[partition] for partition in sorted(offsets)},
        versions={key: tuple(found) for key, found in grouped.items()},
        entries=tuple(_entries(accounts, kept)),
        patience=_patience(grouped, terms),
    )


def event_time(cards: Iterable[Scorecard | Account]) -> int:
    """The smallest watermark of the partitions (ms); 0 before anything was heard."""
    marks = dict[int, int]()
    for one in cards:
        marks[one.partition] = max(marks.get(one.partition, one.watermark), one.watermark)
    return min(marks.values(), default=0)


def begin(now: int, terms: LookTerms) -> int:
    """Windows that end up to this event time (ms) are looked at no more."""
    return now - KEPT * terms.window - terms.rolling - terms.horizon - terms.hold


def _fits(terms: LookTerms, card: Scorecard) -> bool:
    """Whether an observer of this pipeline can have made it: as many places as it has, and nothing below 0."""
    sums = card.sums
    bins = (sums.scores, sums.labelled_scores, sums.hits, sums.score_sums)
    counts = (*sums.features.values(), sums.answers, sums.truths)
    fits = (
        len(sums.confusion) <= terms.classes**2
        and len(sums.delays) <= len(DELAYS) + 1
        and max(map(len, bins)) <= SCORE_BINS
        and len(sums.hits) <= len(sums.labelled_scores)
        and card.span > 0
        and card.window % card.span == 0
    )
    sane = (
        0 <= sums.errors <= sums.labelled <= sums.n
        and min(sums.loss, sums.brier, sums.squared, sums.squared_log, sums.unlogged) >= 0
        and min(map(min, filter(None, (*bins, sums.confusion, sums.delays))), default=0) >= 0
        and all(min((*one.counts, one.missing, one.unseen)) >= 0 for one in counts)
        and all(hit <= n for hit, n in zip(sums.hits, sums.labelled_scores, strict=False))
    )
    return fits and sane


def _entries(accounts: Iterable[Account], kept: Kept) -> Iterator[Entries]:
    latest: dict[bytes, Account] = {}
    for account in accounts:
        before = latest.get(account_key(account))
        if before is None or further(account) > further(before):
            latest[account_key(account)] = account
    windows: dict[int, list[Account]] = {}
    for key in sorted(latest):
        windows.setdefault(latest[key].window, []).append(latest[key])
    for since in sorted(windows):
        found = windows[since]
        yield kept.of(("entries", since), found, partial(_of_window, found))


def _of_window(accounts: list[Account]) -> Entries:
    first = accounts[0]
    return Entries(first.window, first.window + first.span, added(one.sums for one in accounts))


def added(sums: Iterable[AccountSums]) -> AccountSums:
    """All of them as one."""
    rows = [msgspec.structs.astuple(one) for one in sums]
    names = AccountSums.__struct_fields__
    return AccountSums(**{name: sum(column) for name, column in zip(names, zip(*rows, strict=True), strict=False)})


def _patience(versions: Mapping[tuple[str, bool], list[Pane]], terms: LookTerms) -> int:
    """By when (ms) nearly all labels that ever come have come, from the windows to which none can come any more."""
    closed = [p for (_, shadow), found in versions.items() if not shadow for p in found if p.closed]
    delays: Ints = reduce(merge, (pane.sums.delays for pane in closed), ())
    if sum(delays) < terms.policy.minimum:
        return terms.horizon
    enough = (edge * 1_000 for edge in DELAYS if (come_by(delays, edge) or 0.0) >= _ALL)
    return min(next(enough, terms.horizon), terms.horizon)
