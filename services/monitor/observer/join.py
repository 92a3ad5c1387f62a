"""The join of one batch: which label belongs to which observation, and what becomes of it. Entries in offset order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappush

from msgspec.structs import replace

from services.monitor.observer.accounts import Accounts, Book
from services.monitor.observer.blocks import Blocks
from services.monitor.observer.entries import Entry, Seen
from services.monitor.observer.items import Held, Item, Known
from services.monitor.observer.judging import Judge
from services.monitor.observer.lives import First, Lives
from services.monitor.observer.scorecard import Joined, Observed
from services.monitor.observer.watermark import Terms
from shared.core.codec import Row
from shared.core.monitor_records import ErrorBlock, LabelEntry, Tick
from shared.core.records import Label
from shared.core.watermark import advance

CardKey = tuple[str, bool, int]
"""A version, whether as a shadow, and the start of the window."""


@dataclass(slots=True)
class Memory:
    """What is remembered of a partition beside its items, and lives longer than a batch.

    `waiting` is a heap of (reach, id) of the labels that were held; some of them have met their observation since.
    """

    mark: int
    accounts: Accounts
    lives: Lives
    blocks: Blocks
    waiting: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Findings:
    """What a batch came to: rows for the scorecards, repeats a card, outcomes (with their key first), and blocks."""

    observed: dict[CardKey, list[Observed]] = field(default_factory=dict)
    joined: dict[CardKey, list[Joined]] = field(default_factory=dict)
    repeats: dict[tuple[CardKey, str], int] = field(default_factory=dict)
    outcomes: list[tuple[str, str, bytes, Label, tuple[int, int]]] = field(default_factory=list)
    blocks: list[ErrorBlock] = field(default_factory=list)


class Join:
    """Joins one batch of one partition. Nothing leaves it but `findings`, and the changed items.

    Args:
        terms: how event time is measured.
        judge: says how wrong a prediction was.
        memory: of the partition; it is changed.
        items: of every id that the batch is about; None: not remembered. It is changed.
    """

    def __init__(self, terms: Terms, judge: Judge, memory: Memory, items: dict[str, Item | None]) -> None:
        self._terms, self._judge, self._memory, self._items = terms, judge, memory, items
        self._mark, self._before, self._offset = memory.mark, memory.mark, -1
        self._lives, self._accounts, self._blocks = memory.lives, memory.accounts, memory.blocks
        self._book: Book
        self._window = -1
        self.changed: set[str] = set()
        self.findings = Findings()

    def fold(
        self,
        entries: Sequence[Entry | None],
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        rows: Sequence[tuple[Row | None, tuple[int, ...]]],
    ) -> None:
        """Take in n entries.

        Args:
            entries: as decoded; None for what is none.
            offsets: n, rising.
            values: n, as they stand in the journal.
            rows: of each observation, in order, its fields and slices.
        """
        described = iter(rows)
        for entry, offset, value in zip(entries, offsets, values, strict=True):
            self._offset, self._before = offset, self._mark
            if type(entry) is Seen:
                self._advance(entry.prediction.event_time)
                self._observe(entry, value or b"", *next(described))
            elif type(entry) is LabelEntry:
                self._advance(entry.label.time)
                self._label(entry)
            else:
                self._advance(entry.time if type(entry) is Tick else self._mark)
                self._book.add("ticks" if type(entry) is Tick else "invalid")
        self._memory.mark = self._mark

    def _advance(self, time: int) -> None:
        self._mark = mark = advance(self._mark, time, self._terms.max_step)
        window = self._terms.window(mark)
        if window != self._window:
            self._window = window
            self._book = self._accounts.book(window, (self._offset, self._before))

    def _observe(self, entry: Seen, value: bytes, row: Row | None, slices: tuple[int, ...]) -> None:
        prediction, mark = entry.prediction, self._mark
        identity, time = prediction.id, prediction.event_time
        item = self._alive(identity)
        known = Known(prediction.version, time, prediction.score, prediction.label, prediction.probabilities, slices)
        if entry.shadow:
            if taken := self._shadow(identity, item, known):
                self._count(Observed(taken, prediction, row, entry.lookups), shadow=True)
            return
        self._book.add("observations")
        dies = self._terms.life(time)
        if item is not None:
            self._extend(identity, item, dies)
            if item.known is not None:
                self._book.add("repeated")
                return
        elif mark > dies:
            self._book.add("expired")
            return
        else:
            item = self._begin(identity, dies)
        item.known, item.raw, item.key = known, value, prediction.key
        self.changed.add(identity)
        self._count(Observed(known, prediction, row, entry.lookups), shadow=False)
        if item.held:
            self._join_held(identity, item, known)

    def _count(self, one: Observed, *, shadow: bool) -> None:
        window = self._terms.window(one.known.time)
        if self._mark <= self._terms.over(window):
            self.findings.observed.setdefault((one.known.version, shadow, window), []).append(one)

    def _shadow(self, identity: str, item: Item | None, known: Known) -> Known | None:
        """Take a shadow's observation in beside the champion's, if it is the first of its version."""
        self._book.add("shadows")
        if item is None or item.known is None:
            self._book.add("stray")
            return None
        if any(one.version == known.version for one in item.shadows):
            self._book.add("repeated")
            return None
        if known.time != item.known.time:  # it answers for the same record, whatever it says
            known = replace(known, time=item.known.time)
        item.shadows += (known,)
        self.changed.add(identity)
        if item.label is not None and self._mark <= self._terms.over(self._terms.window(known.time)):
            self._tell(item, known, item.label, shadow=True, first=True)
        return known

    def _label(self, entry: LabelEntry) -> None:
        label, identity = entry.label, entry.label.id
        self._book.add("labels")
        reach = min(label.time, self._mark) + self._terms.hold
        item = self._alive(identity)
        if item is not None:
            self._extend(identity, item, self._terms.rounded(reach))
            if item.known is not None:
                self._book.add(self._meet(item, item.known, label, entry.at))
                return
        if not entry.sampled:
            self._book.add("unsampled")
        elif self._mark > reach:
            self._book.add("orphaned")
            if label.at is None:
                self._book.add("astray")
        else:
            item = item or self._begin(identity, self._terms.rounded(reach))
            self._book.add(self._hold(item, Held(label, entry.at, reach, self._window)))
            self.changed.add(identity)

    def _hold(self, item: Item, new: Held) -> str:
        """Let a label wait, unless one that waits already says as much; its status."""
        drop_orphans(item, self._accounts, self._mark)
        if item.held:
            top = item.held[-1].label
            if new.label.revision <= top.revision:
                return _repeat(new.label, top)
        item.held += (new,)
        heappush(self._memory.waiting, (new.reach, new.label.id))
        return "held"

    def _join_held(self, identity: str, item: Item, known: Known) -> None:
        drop_orphans(item, self._accounts, self._mark)
        for one in item.held:
            status = self._meet(item, known, one.label, one.at)
            self._accounts.settle(one.window, status)
        item.held = ()
        self.changed.add(identity)

    def _meet(self, item: Item, known: Known, label: Label, at: tuple[int, int]) -> str:
        """A label and its observation are there: the label's status."""
        if self._mark > known.time + self._terms.horizon:
            return "late"
        old = item.label
        if old is not None and label.revision <= old.revision:
            status = _repeat(label, old)
            key = (self._card(known, shadow=False), status)
            self.findings.repeats[key] = self.findings.repeats.get(key, 0) + 1
            return status
        self.changed.add(label.id)
        if old is not None:
            self._tell_all(item, known, old, sign=-1)
        self._tell_all(item, known, label, first=old is None)
        item.label = label
        status = "matched" if old is None else "corrected"
        self.findings.outcomes.append((item.key, status, item.raw, label, at))
        return status

    def _tell_all(self, item: Item, known: Known, label: Label, *, sign: int = 1, first: bool = False) -> None:
        self._tell(item, known, label, shadow=False, sign=sign, first=first)
        for one in item.shadows:
            self._tell(item, one, label, shadow=True, sign=sign, first=first)

    def _tell(
        self, item: Item, known: Known, label: Label, *, shadow: bool, sign: int = 1, first: bool = False
    ) -> None:
        """One more row for the scorecard of a version; the first label of an observation is one of a block as well."""
        verdict, beside = self._judge(known, label.value), None
        if shadow and item.known is not None:
            beside = (item.known, self._judge(item.known, label.value))
        row = Joined(known, label.value, label.time - known.time, verdict, sign, beside)
        self.findings.joined.setdefault(self._card(known, shadow=shadow), []).append(row)
        if first and (block := self._blocks.add((known.version, shadow), verdict, self._mark, self._offset)):
            self.findings.blocks.append(block)

    def _card(self, known: Known, *, shadow: bool) -> CardKey:
        return (known.version, shadow, self._terms.window(known.time))

    def _alive(self, identity: str) -> Item | None:
        """The item of an id, unless its life is over. Whatever is counted now depends on the entries it came from."""
        item = self._items[identity]
        if item is None:
            return None
        if self._mark > item.dies:
            drop_orphans(item, self._accounts, self._mark)  # all of them: none waits beyond the item's life
            self._items[identity] = None
            self.changed.add(identity)
            return None
        self._book.first = min(item.first, self._book.first)
        return item

    def _begin(self, identity: str, dies: int) -> Item:
        first: First = (self._offset, self._before)
        item = self._items[identity] = Item(dies, first)
        self._lives.begin(identity, dies, first, again=identity in self.changed)
        self.changed.add(identity)
        return item

    def _extend(self, identity: str, item: Item, dies: int) -> None:
        if dies > item.dies:
            item.dies = dies
            self._lives.extend(identity, dies, item.first)
            self.changed.add(identity)


def drop_orphans(item: Item, accounts: Accounts, mark: int) -> bool:
    """Give up the labels that have waited for too long as of a watermark; whether there were any."""
    gone = [one for one in item.held if mark > one.reach]
    for one in gone:
        accounts.settle(one.window, "orphaned")
        if one.label.at is None:
            accounts.add(one.window, "astray")
    if gone:
        item.held = tuple(one for one in item.held if mark <= one.reach)
    return bool(gone)


def _repeat(new: Label, known: Label) -> str:
    """A label that adds nothing: the same again, an older one, or one that contradicts its equal."""
    return "conflicting" if new.revision == known.revision and new.value != known.value else "duplicate"
