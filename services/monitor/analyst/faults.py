"""Faults of data, told apart from drift: missing, unknown or out of range, in another unit, or labels that fail."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from services.monitor.analyst.findings import Finding, Level, Trigger
from services.monitor.analyst.intervals import wilson
from shared.core.monitor_records import AccountSums, Sums
from shared.core.reference import Reference

Window = tuple[int, int]
End = tuple[str, int]


class FaultTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares from which a fault is told: `warn`, then `alarm`, each above the most that a window of the reference had.

    `unreadable`: of entries, or of records that lack every feature at once, or that come when their window is over. A
    *unit jump* is `jumped` of the records in a number's first or last bin, which in every window before held at most
    `usual`: a season comes by degrees. A *label outage* is less than `outage` of the labels that as many observations
    usually had. `conflicts` is the share of labels that contradict another of the same revision, and at least five
    times what is usual. `windows` before this one are needed to say what is usual; of fewer than `minimum` records or
    labels nothing is said.
    """

    warn: float = 0.05
    alarm: float = 0.25
    unreadable: float = 0.05
    jumped: float = 0.95
    usual: float = 0.5
    outage: float = 0.2
    conflicts: float = 0.05
    windows: int = 3
    minimum: int = 200


class Ends(msgspec.Struct, frozen=True):
    """The first (0) or last (-1) bins of numbers that hold more than is usual of a window, and nearly all of it."""

    over: frozenset[End]
    nearly: frozenset[End]


EndsOf = Callable[[Sums], Ends]


class Past(msgspec.Struct, frozen=True):
    """All windows of a version before one, the oldest first, and such of the records that it was trained on."""

    windows: Sequence[Sums] = ()
    trained: Sequence[Sums] = ()


def of_records(
    now: Sums, past: Past, reference: Reference | None, window: Window, terms: FaultTerms,
    ends_of: EndsOf | None = None,
) -> list[Finding]:  # fmt: skip
    """Missing, unseen, out of range, unreadable and in another unit.

    Args:
        now: a window of one version.
        past: what was before that. Of 305 days of flights with 17 numbers one day's air pressure looks like a
            unit jump beside all days before, but six days' do (and one of the dew point) beside the last 14 only.
        reference: what it was trained on; None for a version that nobody knows: then little can be said.
        window: [from, until) of `now`.
        terms: the thresholds.
        ends_of: `ends` of a window, where somebody has them already.
    """
    had = _had(reference, past.trained)
    absent = {name: (counts.missing, had.get(name, 0.0)) for name, counts in now.features.items()}
    unseen = {name: (counts.unseen, 0.0) for name, counts in now.features.items()}
    out = {"records": (now.flags.get("out_of_range", 0), 0.0)}
    return [
        _shares("missing", absent if reference is not None else {}, now.n, window, terms),
        _shares("unseen", unseen, now.n, window, terms),
        _shares("out_of_range", out, now.n, window, terms),
        _unreadable(absent, now.n, window, terms),
        _unit_jump(now, past, reference, window, terms, ends_of or (lambda sums: ends(sums, terms))),
    ]


def of_labels(now: AccountSums, past: Sequence[AccountSums], window: Window, terms: FaultTerms) -> list[Finding]:
    """A label outage, and a flood of conflicting labels.

    Args:
        now: the entries that all partitions folded while event time was in the window.
        past: the same of windows before.
        window: [from, until).
        terms: the thresholds.
    """
    return [_outage(now, past, window, terms), _conflicts(now, past, window, terms)]


def _had(reference: Reference | None, trained: Sequence[Sums]) -> Mapping[str, float]:
    """The most that was missing of each feature in any window of the training: calm days have no gusts at all."""
    if reference is None:
        return {}
    most = {name: one.missing / max(reference.n, 1) for name, one in reference.features.items()}
    for sums in trained:
        for name, counts in sums.features.items():
            most[name] = max(most.get(name, 0.0), 1 - sum(counts.counts) / max(sums.n, 1))
    return most


def _shares(
    trigger: Trigger, counts: Mapping[str, tuple[int, float]], n: int, window: Window, terms: FaultTerms
) -> Finding:
    """The worst of some shares above what is usual of each."""
    if n < terms.minimum or not counts:
        why = f"{n:,} records are too few" if n < terms.minimum else "it is not known what is usual"
        return _unknown(trigger, n, window, why)
    more = {name: (count / n - usual, count, usual) for name, (count, usual) in counts.items()}
    name, (above, count, usual) = max(more.items(), key=lambda item: (item[1][0], item[0]))
    low, high = wilson(count, n)
    level: Level = "alarm" if low > usual + terms.alarm else "warn" if low > usual + terms.warn else "ok"
    words = f"{name}: {count / n:.1%} {trigger.replace('_', ' ')}, at most {usual:.1%} in the reference"
    others = sum(one[0] > terms.warn for one in more.values()) - 1
    if others > 0:
        words += f"; and {others} more"
    return Finding(
        trigger=trigger, metric=trigger, level=level, n=n, window=window, words=words, value=count / n,
        low=low, high=high, threshold=usual + terms.warn, weight=max(above, 0.0) / terms.warn,
    )  # fmt: skip


def _unreadable(absent: Mapping[str, tuple[int, float]], n: int, window: Window, terms: FaultTerms) -> Finding:
    if n < terms.minimum or len(absent) < 2:  # noqa: PLR2004 - one feature that is missing is a missing feature
        return _unknown("schema", n, window, "too few records, or too few features to tell")
    share = min(count / n - usual for count, usual in absent.values())
    level: Level = "alarm" if share >= terms.unreadable else "ok"
    words = f"{max(share, 0.0):.1%} of the records lack every feature at once"
    return _fault("schema", level, n, window, words, share=max(share, 0.0), threshold=terms.unreadable)


def ends(sums: Sums, terms: FaultTerms) -> Ends:
    """Where the numbers of one window lie."""
    over, nearly = set[End](), set[End]()
    for name, counts in sums.features.items():
        total = sum(counts.counts)
        if total < terms.minimum:
            continue
        for end in (0, -1):
            if counts.counts[end] > terms.usual * total:
                over.add((name, end))
            if counts.counts[end] >= terms.jumped * total:
                nearly.add((name, end))
    return Ends(frozenset(over), frozenset(nearly))


def _unit_jump(
    now: Sums, past: Past, reference: Reference | None, window: Window, terms: FaultTerms, ends_of: EndsOf
) -> Finding:
    trained, before = ([sums for sums in of if sums.n >= terms.minimum] for of in (past.trained, past.windows))
    if reference is None or now.n < terms.minimum or len(trained) + len(before) < terms.windows:
        return _unknown("unit_jump", now.n, window, "too few records, too few windows before, or no reference")
    usual = _at_ends(reference, terms).union(*(ends_of(sums).over for sums in trained))
    found = _jumps([*map(ends_of, before), ends_of(now)], usual)
    jumped = sorted({name for name, _ in found if name in reference.features})
    words = f"{', '.join(jumped)}: nearly all at one end, where few were before" if jumped else "no number has jumped"
    return _fault("unit_jump", "alarm" if jumped else "ok", now.n, window, words)


def _at_ends(reference: Reference, terms: FaultTerms) -> set[End]:
    """The ends that held much in the whole reference; words have none."""
    return {
        (name, end)
        for name, one in reference.features.items()
        for end in (0, -1)
        if not one.edges or one.counts[end] > terms.usual * sum(one.counts)
    }


def _jumps(windows: Sequence[Ends], usual: set[End]) -> frozenset[End]:
    """What jumped and has not come back, after these windows.

    While it lasts it becomes nothing usual, nor does the window in which it began, which is of both units.
    """
    last, jumps = frozenset[End](), frozenset[End]()
    for window in windows:
        jumps = window.nearly - usual
        usual |= last - jumps
        last = window.over
    return jumps


def _outage(now: AccountSums, past: Sequence[AccountSums], window: Window, terms: FaultTerms) -> Finding:
    seen, came = sum(one.observations for one in past), sum(one.labels for one in past)
    wanted = now.observations * came / seen if seen else 0.0
    if len(past) < terms.windows or wanted < terms.minimum:
        return _unknown("label_outage", now.labels, window, "too few windows or labels to say what is usual")
    level: Level = "alarm" if now.labels < terms.outage * wanted else "ok"
    words = f"{now.labels:,} labels came, {wanted:,.0f} usually do with {now.observations:,} observations"
    limit = terms.outage * wanted
    return _fault("label_outage", level, now.labels, window, words, share=float(now.labels), threshold=limit)


def _conflicts(now: AccountSums, past: Sequence[AccountSums], window: Window, terms: FaultTerms) -> Finding:
    if now.labels < terms.minimum:
        return _unknown("conflicts", now.labels, window, f"{now.labels:,} labels are too few")
    share = now.conflicting / now.labels
    usual = sum(one.conflicting for one in past) / max(sum(one.labels for one in past), 1)
    limit = max(terms.conflicts, 5 * usual)
    words = f"{share:.1%} of {now.labels:,} labels contradict another one, {usual:.1%} usually do"
    return _fault("conflicts", "alarm" if share >= limit else "ok", now.labels, window, words, share, limit)


def of_entries(now: AccountSums, window: Window, terms: FaultTerms) -> Finding:
    """Entries of `journal` that nobody can read: its writers and readers do not agree on the schema."""
    n = now.observations + now.labels + now.invalid
    if n < terms.minimum:
        return _unknown("schema", n, window, f"{n:,} entries are too few", "invalid_entries")
    share = now.invalid / n
    level: Level = "alarm" if share >= terms.unreadable else "ok"
    found = _fault("schema", level, n, window, f"{share:.1%} of the entries are invalid", share, terms.unreadable)
    return msgspec.structs.replace(found, metric="invalid_entries")


def of_clock(now: AccountSums, window: Window, terms: FaultTerms) -> Finding:
    """Observations whose window was over when they came: event time has jumped ahead, or their clock is behind."""
    n = now.observations
    if n < terms.minimum:
        return _unknown("clock", n, window, f"{n:,} observations are too few", "expired_observations")
    share = now.expired / n
    level: Level = "alarm" if share >= terms.unreadable else "ok"
    words = f"{share:.1%} of the observations came when their window was over"
    found = _fault("clock", level, n, window, words, share, terms.unreadable)
    return msgspec.structs.replace(found, metric="expired_observations")


def _fault(
    trigger: Trigger, level: Level, n: int, window: Window, words: str,
    share: float | None = None, threshold: float | None = None,
) -> Finding:  # fmt: skip
    return Finding(
        trigger=trigger, metric=trigger, level=level, n=n, window=window, words=words, value=share, threshold=threshold
    )


def _unknown(trigger: Trigger, n: int, window: Window, why: str, metric: str = "") -> Finding:
    return Finding(trigger=trigger, metric=metric or trigger, level=None, n=n, window=window, words=f"unknown: {why}")
