"""What must hold of the monitor's topics: each check is a small function over what was published and the books."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tailrace.proof.checks import Finding
from tailrace.proof.monitor_books import Books, OutcomeKey
from tailrace.proof.monitor_saying import ABORTED
from tailrace.recompute.main import Report

_TOLD, _FLAG = 4, ABORTED.encode()


@dataclass(slots=True)
class Published:
    """The observer's and the router's topics, as a read_committed reader sees them; of large values only what counts.

    Attributes:
        accounts: the last value of each account.
        again: keys of `scorecards` that were told after they were closed.
        outcomes: how often each stands there.
        letters: of `labels.dlq`, by reason.
        labels: how many messages stand in `labels`.
        flagged: what an aborted attempt wrote, in part.
        card: key and value of the last scorecard.
    """

    accounts: dict[bytes, bytes] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    outcomes: Counter[OutcomeKey] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    flagged: list[str] = field(default_factory=list)
    card: tuple[bytes, bytes] = (b"", b"")
    _closed: set[bytes] = field(default_factory=set)

    def take_card(self, key: bytes, value: bytes) -> None:
        """The next value of `scorecards`."""
        if key in self._closed:
            self.again.append(f"{key.decode()} was told again after it was closed")
        if b'"closed":true' in value:
            self._closed.add(key)
        if b'"type":"account"' in value:
            self.accounts[key] = value
        else:
            self.card = key, value
        self.suspect(value)

    def take_outcome(self, value: bytes) -> None:
        """The next value of `outcomes`."""
        told: dict[str, Any] = msgspec.json.decode(value)
        label = told["label"]
        self.outcomes[label["id"], label.get("revision", 0), told["status"], label["value"]] += 1
        self.suspect(value)

    def suspect(self, value: bytes) -> None:
        """Look for the mark of aborted attempts."""
        if _FLAG in value:
            self.flagged.append(value[:120].decode(errors="replace"))


def aborted(found: Published) -> Finding:
    """I5: nothing that only an aborted transaction held is counted or told anywhere."""
    return _finding(found.flagged)


def closed_again(found: Published) -> Finding:
    """A window that was closed is final: nothing of its key follows."""
    return _finding(found.again)


def recomputed(report: Report) -> Finding:
    """I13: every figure equals the recomputation of the same offsets, and none was left out of the comparison."""
    told = [f"{one.topic}[{one.partition}] {one.of} {one.figure}: published {one.published}, recomputed "
            f"{one.recomputed}" for one in report.differences]  # fmt: skip
    told += [f"{report.skipped} windows lack entries"] * (report.skipped > 0)
    told += [f"version {name}: {why}" for name, why in report.refused.items()]
    return Finding(report.differing + len(told) - len(report.differences), tuple(told[:_TOLD]))


def accounts(found: Published, books: Books) -> Finding:
    """The accounts' sums are what the books say was sent, status by status; and add up to the labels read."""
    sums = total(found)
    told = list(_differing(books.accounts, sums, ("ticks",)))
    read = found.labels - found.letters.total()
    statuses = sum(sums[name] for name in books.accounts if name in STATUS_NAMES) + sums["held"]
    if not sums["labels"] == read == statuses:
        told.append(
            f"{read:,} labels were read and not refused, {sums['labels']:,} counted, {statuses:,} have a status"
        )
    return _finding(told)


STATUS_NAMES = frozenset(("matched", "corrected", "late", "orphaned", "duplicate", "conflicting", "unsampled"))


def outcomes(found: Published, books: Books) -> Finding:
    """No outcome is lost, doubled, or of anything that was not sent."""
    told = found.outcomes
    lost = [f"lost: {key}" for key, n in books.outcomes.items() for _ in range(n - told[key])]
    more = [f"doubled or made up: {key}" for key, n in told.items() for _ in range(n - books.outcomes[key])]
    return _finding([*lost, *more])


def letters(found: Published, books: Books) -> Finding:
    """Each bad label became one dead letter with its reason, and no good one did."""
    return _finding(_differing(books.letters, found.letters, ()))


def total(found: Published) -> Counter[str]:
    """The sums of all accounts, by the last value of each."""
    sums: Counter[str] = Counter()
    for value in found.accounts.values():
        sums.update(msgspec.json.decode(value).get("sums", {}))
    return sums


def _differing(wanted: Mapping[str, int], found: Mapping[str, int], without: Sequence[str]) -> Iterator[str]:
    for name in sorted(wanted.keys() | found.keys()):
        mine, theirs = wanted.get(name, 0), found.get(name, 0)
        if mine != theirs and name not in without:
            yield f"{name}: {theirs:,} instead of {mine:,}"


def _finding(told: Iterable[str]) -> Finding:
    cases = list(told)
    return Finding(len(cases), tuple(cases[:_TOLD]))
