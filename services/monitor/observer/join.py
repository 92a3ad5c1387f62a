"""The join of one batch: which label belongs to which observation, and what becomes of it. Entries in offset order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappush

from msgspec.structs import replace

from services.monitor.observer.accounts import Accounts, Book
from services.monitor.observer.blocks import Blocks
from services.monitor.observer.entries import AnyLabel, AnySeen, AnyTruth, Entry, Seen, SeenLabel, SeenTick
from services.monitor.observer.held import drop_orphans
from services.monitor.observer.items import Held, Item, Known
from services.monitor.observer.lives import First, Lives
from services.monitor.observer.scorecard import Joined, Observed
from services.monitor.observer.watermark import Terms
from shared.core.codec import Row
from shared.core.judging import Judge, Verdict
from shared.core.monitor_records import ErrorBlock
from shared.core.watermark import advance

CardKey = tuple[str, bool, int, int]
"""A version, whether as a shadow, the start of the window, and the sample's share."""


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
    outcomes: list[tuple[str, str, bytes, AnyTruth, tuple[int, int]]] = field(default_factory=list)
    blocks: list[ErrorBlock] = field(default_factory=list)


class Join:
    """Joins one batch of one partition. Nothing leaves it but `findings`, and the changed items.

    Args:
        terms: how event time is measured.
        judge: says how wrong a prediction was.
        memory: of the partition; it is changed.
        items: of every id that the batch is about; None: not remembered. It is changed.
        rate: the sample's share in millionths, of new observations.
    """

    def __init__(self, terms: Terms, judge: Judge, memory: Memory, items: dict[str, Item | None], rate: int) -> None:
        self._terms, self._judge, self._memory, self._items, self._rate = terms, judge, memory, items, rate
        self._mark, self._before, self._offset = memory.mark, memory.mark, -1
        self._lives, self._accounts, self._blocks = memory.lives, memory.accounts, memory.blocks
        self._book: Book
        self._counts: dict[str, int]
        self._window = self._until = -1
        self.changed: set[str] = set()
        self.findings = Findings()
        self._seen_as: CardKey = ("", False, -1, -1)  # of the last observation, and where others like it are gathered
        self._seen: list[Observed] = []
        self._told_as: CardKey = ("", False, -1, -1)  # the same of the last label
        self._told: list[Joined] = []

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
        described, step = iter(rows), self._terms.max_step
        for entry, offset, value in zip(entries, offsets, values, strict=True):
            before = self._before = self._mark
            self._offset = offset
            if type(entry) is Seen:
                time = entry.prediction.event_time
            elif type(entry) is SeenLabel:
                time = entry.label.time
            else:
                time = entry.time if type(entry) is SeenTick else before
            if time > before:
                self._mark = advance(before, time, step)
            if self._mark >= self._until or self._until < 0:
                self._turn_page(self._mark)
            if type(entry) is Seen:
                self._observe(entry, value or b"", *next(described))
            elif type(entry) is SeenLabel:
                self._label(entry)
            else:
                self._counts["invalid" if entry is None else "ticks"] += 1
        self._memory.mark = self._mark

    def _turn_page(self, mark: int) -> None:
        """The watermark has come to another window: its entries are of another account."""
        self._window = self._terms.window(mark)
        self._until = self._window + self._terms.span
        self._book = self._accounts.book(self._window, (self._offset, self._before))
        self._book.changed, self._counts = True, self._book.counts

    def _observe(self, entry: AnySeen, value: bytes, row: Row | None, slices: tuple[int, ...]) -> None:
        prediction, mark = entry.prediction, self._mark
        identity, time = prediction.id, prediction.event_time
        item = self._alive(identity)
        known = Known(
            prediction.version, time, prediction.score, prediction.label, prediction.probabilities, slices, self._rate
        )
        if entry.shadow:
            if taken := self._shadow(identity, item, known):
                self._count((taken, prediction, row, entry.lookups), shadow=True)
            return
        self._counts["observations"] += 1
        dies = self._terms.life(time)
        if item is not None:
            self._extend(identity, item, dies)
            if item.known is not None:
                self._counts["repeated"] += 1
                return
        elif mark > dies:
            self._counts["expired"] += 1
            return
        else:
            item = self._begin(identity, dies)
        item.known, item.raw, item.key = known, value, prediction.key
        self.changed.add(identity)
        self._count((known, prediction, row, entry.lookups), shadow=False)
        if item.held:
            self._join_held(identity, item, known)

    def _count(self, one: Observed, *, shadow: bool) -> None:
        known, terms = one[0], self._terms
        window = known.time - known.time % terms.span
        if self._mark <= window + terms.span + terms.horizon:  # `over`, without a call for every observation
            key = (known.version, shadow, window, known.rate)
            if key != self._seen_as:
                self._seen_as, self._seen = key, self.findings.observed.setdefault(key, [])
            self._seen.append(one)

    def _shadow(self, identity: str, item: Item | None, known: Known) -> Known | None:
        """Take a shadow's observation in beside the champion's, if it is the first of its version."""
        self._counts["shadows"] += 1
        if item is None or item.known is None:
            self._counts["stray"] += 1
            return None
        if any(one.version == known.version for one in item.shadows):
            self._counts["repeated"] += 1
            return None
        if known.time != item.known.time:  # it answers for the same record, whatever it says
            known = replace(known, time=item.known.time)
        item.shadows += (known,)
        self.changed.add(identity)
        if item.label is not None and self._mark <= self._terms.over(self._terms.window(known.time)):
            value = item.label.value
            beside = (item.known, self._judge(item.known, value))
            self._tell(known, item.label, self._judge(known, value), beside, first=True)
        return known

    def _label(self, entry: AnyLabel) -> None:
        label, identity = entry.label, entry.label.id
        self._counts["labels"] += 1
        mark, time = self._mark, label.time
        reach = (time if time < mark else mark) + self._terms.hold  # noqa: FURB136 - a call saved for every label
        item = self._alive(identity)
        if item is not None:
            self._extend(identity, item, self._terms.rounded(reach))
            if item.known is not None:
                self._counts[self._meet(item, item.known, label, entry.at)] += 1
                return
        if not entry.sampled:
            self._counts["unsampled"] += 1
        elif self._mark > reach:
            self._counts["orphaned"] += 1
            if label.at is None:
                self._counts["astray"] += 1
        else:
            item = item or self._begin(identity, self._terms.rounded(reach))
            status = self._hold(item, Held(label, entry.at, reach, self._window))
            self._counts[status] += 1
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

    def _meet(self, item: Item, known: Known, label: AnyTruth, at: tuple[int, int]) -> str:
        """A label and its observation are there: the label's status."""
        if self._mark > known.time + self._terms.horizon:
            return "late"
        old = item.label
        if old is not None and label.revision <= old.revision:
            status = _repeat(label, old)
            card = (known.version, False, self._terms.window(known.time), known.rate)
            self.findings.repeats[card, status] = self.findings.repeats.get((card, status), 0) + 1
            return status
        self.changed.add(label.id)
        status = "matched"
        if old is not None:
            status = "corrected"
            self._tell_all(item, known, old, sign=-1)
        if item.shadows:
            self._tell_all(item, known, label, first=old is None)
        else:
            self._tell(known, label, self._judge(known, label.value), None, first=old is None)
        item.label = label
        self.findings.outcomes.append((item.key, status, item.raw, label, at))
        return status

    def _tell_all(self, item: Item, known: Known, label: AnyTruth, *, sign: int = 1, first: bool = False) -> None:
        verdict = self._judge(known, label.value)
        self._tell(known, label, verdict, None, sign=sign, first=first)
        for one in item.shadows:
            self._tell(one, label, self._judge(one, label.value), (known, verdict), sign=sign, first=first)

    def _tell(
        self,
        known: Known,
        label: AnyTruth,
        verdict: Verdict,
        beside: tuple[Known, Verdict] | None,
        *,
        sign: int = 1,
        first: bool = False,
    ) -> None:
        """One more row for the scorecard of a version; the first label of an observation is one of a block as well.

        A shadow has the champion's observation and verdict beside it.
        """
        shadow = beside is not None
        time = known.time
        row = (known, label.value, label.time - time, verdict, sign, beside)
        key = (known.version, shadow, time - time % self._terms.span, known.rate)
        if key != self._told_as:
            self._told_as, self._told = key, self.findings.joined.setdefault(key, [])
        self._told.append(row)
        if first and (block := self._blocks.add((known.version, shadow), verdict, self._mark, self._offset)):
            self.findings.blocks.append(block)

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
        if item.first < self._book.first:  # noqa: PLR1730 - a call saved for every label
            self._book.first = item.first
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


def _repeat(new: AnyTruth, known: AnyTruth) -> str:
    """A label that adds nothing: the same again, an older one, or one that contradicts its equal."""
    return "conflicting" if new.revision == known.revision and new.value != known.value else "duplicate"
