"""The join of one batch: which label belongs to which observation, and what becomes of it. Entries in offset order.

Nine entries of ten go the short way: an observation of a new id, and the first label of an observation.
"""

from collections.abc import Sequence
from heapq import heappush

from msgspec.structs import replace

from services.monitor.observer.accounts import Book
from services.monitor.observer.entries import AnyLabel, AnySeen, AnyTruth, Entry, Seen, SeenLabel, SeenTick
from services.monitor.observer.findings import Findings
from services.monitor.observer.held import drop_orphans
from services.monitor.observer.items import Held, Item, Known
from services.monitor.observer.memory import Memory
from services.monitor.observer.watermark import Terms
from shared.core.codec import Row
from shared.core.judging import Judge, Verdict
from shared.core.watermark import advance

Described = tuple[Row | None, tuple[int, ...]]
"""The fields of an observation's record, and its places in the declared slices."""


class Join:
    """Joins one batch of one partition, piece by piece. Nothing leaves it but findings and the changed items.

    Args:
        terms: how event time is measured.
        judge: says how wrong a prediction was.
        memory: of the partition; it is changed.
        rate: the sample's share in millionths, of new observations.

    Attributes:
        items: of every id that the batch is about, filled before its entries are folded; None: not remembered.
        changed: the ids whose items are others than they were.
        findings: what it came to.
    """

    def __init__(self, terms: Terms, judge: Judge, memory: Memory, rate: int) -> None:
        self._terms, self._judge, self._memory, self._rate = terms, judge, memory, rate
        self.items: dict[str, Item | None] = {}
        self._mark, self._before, self._offset = memory.mark, memory.mark, -1
        self._lives, self._accounts = memory.lives, memory.accounts
        self._book = Book((-1, -1))  # of no window: the first entry turns the page
        self._counts = self._book.counts
        self._window = self._until = -1
        self.changed: set[str] = set()
        self.findings = Findings(terms, memory.blocks)

    def fold(
        self,
        entries: Sequence[Entry | None],
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        rows: Sequence[Described],
    ) -> None:
        """Take in the next n entries.

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
            kind = type(entry)
            if kind is SeenLabel:
                time = entry.label.time  # type: ignore[union-attr] # by its kind
            elif kind is Seen:
                time = entry.prediction.event_time  # type: ignore[union-attr] # the same
            else:
                time = entry.time if kind is SeenTick else before  # type: ignore[union-attr] # the same
            if time > before:
                self._mark = advance(before, time, step)
            if self._mark >= self._until or self._until < 0:
                self._turn_page(self._mark)
            if kind is SeenLabel:
                self._label(entry)  # type: ignore[arg-type] # the same
            elif kind is Seen:
                self._observe(entry, value or b"", *next(described))  # type: ignore[arg-type] # the same
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
        item = self.items[identity]
        if item is not None:
            item = self._alive(identity, item)
        known = Known(
            prediction.version, time, prediction.score, prediction.label, prediction.probabilities, slices, self._rate
        )
        if entry.shadow:
            if taken := self._shadow(identity, item, known):
                self.findings.see((taken, prediction, row, entry.lookups), mark, shadow=True)
            return
        self._counts["observations"] += 1
        dies = self._terms.life(time)
        if item is not None:
            self._extend(identity, item, dies)
            if item.known is not None:
                self._counts["repeated"] += 1
                return
            self.changed.add(identity)
        elif mark > dies:
            self._counts["expired"] += 1
            return
        else:
            item = self._begin(identity, dies)
        item.known, item.raw, item.key = known, value, prediction.key
        self.findings.see((known, prediction, row, entry.lookups), mark, shadow=False)
        if item.held:
            self._join_held(identity, item, known)

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
        label, mark, counts = entry.label, self._mark, self._counts
        identity, time = label.id, label.time
        counts["labels"] += 1
        reach = (time if time < mark else mark) + self._terms.hold  # noqa: FURB136 - a call saved for every label
        item = self.items[identity]
        if item is not None and (item := self._alive(identity, item)) is not None:
            if reach > item.dies:
                self._extend(identity, item, self._terms.rounded(reach))
            if item.known is not None:
                counts[self._meet(item, item.known, label, entry.at)] += 1
                return
        if not entry.sampled:
            counts["unsampled"] += 1
        elif mark > reach:
            counts["orphaned"] += 1
            if label.at is None:
                counts["astray"] += 1
        else:
            item = item or self._begin(identity, self._terms.rounded(reach))
            counts[self._hold(item, Held(label, entry.at, reach, self._window))] += 1
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
        old, status = item.label, "matched"
        if old is not None:
            if label.revision <= old.revision:
                status = _repeat(label, old)
                self.findings.repeat(known, status)
                return status
            status = "corrected"
            self._tell_all(item, known, old, sign=-1)
        self.changed.add(label.id)
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
        """One more row for a version's scorecard; a shadow has the champion's observation and verdict beside it."""
        findings = self.findings
        findings.tell(known, (known, label.value, label.time - known.time, verdict, sign, beside))
        if first:
            findings.block(known.version, verdict, self._mark, self._offset, shadow=beside is not None)

    def _alive(self, identity: str, item: Item) -> Item | None:
        """The item, unless its life is over. Whatever is counted now depends on the entries it came from."""
        if self._mark > item.dies:
            drop_orphans(item, self._accounts, self._mark)  # all of them: none waits beyond the item's life
            self.items[identity] = None
            self.changed.add(identity)
            return None
        if item.first < self._book.first:  # noqa: PLR1730 - a call saved for every label
            self._book.first = item.first
        return item

    def _begin(self, identity: str, dies: int) -> Item:
        first = (self._offset, self._before)
        item = self.items[identity] = Item(dies, first)
        self._lives.begin(identity, dies, first)
        self.changed.add(identity)
        return item

    def _extend(self, identity: str, item: Item, dies: int) -> None:
        if dies > item.dies:
            item.dies = dies
            self._lives.begin(identity, dies, item.first)
            self.changed.add(identity)


def _repeat(new: AnyTruth, known: AnyTruth) -> str:
    """A label that adds nothing: the same again, an older one, or one that contradicts its equal."""
    return "conflicting" if new.revision == known.revision and new.value != known.value else "duplicate"
