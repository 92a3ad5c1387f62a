"""The fold of one partition of `journal`: entries in offset order in; outcomes, scorecards and error blocks out.

A function of the entries alone. Its state lives in a store, which it may run ahead of by the batch in hand: what a
batch changes is written once that batch is known to be committed (`settle`), stamped with the offset it goes up to.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop
from pathlib import Path

from services.monitor.observer.accounts import Accounts
from services.monitor.observer.blocks import Blocks
from services.monitor.observer.cards import Cards
from services.monitor.observer.checkpoints import Checkpoints
from services.monitor.observer.entries import Entry, Seen, SeenLabel
from services.monitor.observer.findings import Findings
from services.monitor.observer.held import drop_orphans
from services.monitor.observer.items import Item
from services.monitor.observer.join import Described, Join
from services.monitor.observer.lives import First, Lives
from services.monitor.observer.memory import Memory
from services.monitor.observer.outcomes import Outcomes
from services.monitor.observer.rules import Rules
from services.monitor.observer.saved import Head, Saved
from shared.core.codec import Row
from shared.core.monitor_records import Account, Scorecard
from shared.core.store import Store

PIECE = 512
"""Entries that are read, joined and noted before the next ones: so much stays in the processor's own cache."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a batch makes to be published."""

    findings: Findings
    counts: Counter[str]
    outcomes: Outcomes
    cards: Sequence[Scorecard] = ()
    accounts: Sequence[Account] = ()


@dataclass(slots=True)
class _Changes:
    """What the store does not know yet."""

    puts: dict[bytes, bytes] = field(default_factory=dict)
    deletes: list[bytes] = field(default_factory=list)


class PartitionFold:
    """Folds one partition.

    Args:
        partition: which one.
        rules: of the pipeline.
        store: where its state is kept; nobody else's.
    """

    def __init__(self, partition: int, rules: Rules, store: Store) -> None:
        self._partition, self._rules = partition, rules
        self._saved = Saved(store, rules.terms)
        self.next = -1
        """The offset after the last entry that was taken in; -1: it knows nothing."""
        self._changes = _Changes()
        self._complete = True
        self._reset(-1)

    def _reset(self, mark: int) -> None:
        rules = self._rules
        patience = rules.terms.span + rules.terms.horizon
        self._memory = Memory(mark, Accounts(), Lives(), Blocks(self._partition, patience))
        self._cards = Cards(self._partition, rules.terms)
        self._changes = _Changes()

    @property
    def mark(self) -> int:
        """The watermark (ms of event time); -1 before the first entry."""
        return self._memory.mark

    @property
    def remembered(self) -> int:
        """How many ids are remembered."""
        return len(self._memory.lives)

    def begin(self, offset: int, mark: int, *, complete: bool = True) -> None:
        """Start anew from an offset, with the watermark before it; what was stored is thrown away.

        Not `complete`: entries that are needed stood before it and are gone.
        """
        self._saved.clear()
        self._reset(mark)
        self.next, self._complete = offset, complete

    def resume(self, oldest: int, newest: int) -> int:
        """Take up what is stored, if it goes up to an offset in [oldest, newest]; that offset, else -1."""
        head = self._saved.head()
        if head is None or not oldest <= head.next <= newest:
            return -1
        self._reset(head.mark)
        self._saved.load(self._memory, self._cards)
        self._memory.blocks.restore(head.blocks)
        self.next, self._complete = head.next, head.complete
        return head.next

    def flush(self) -> None:
        """Have all that is settled on the disk."""
        self._saved.flush()

    def save(self, checkpoints: Checkpoints) -> Path:
        """Write a checkpoint of all that is settled. Raises OSError."""
        return self._saved.save(checkpoints, self.next)

    def load(self, checkpoints: Checkpoints, oldest: int, newest: int) -> int:
        """Take up the newest checkpoint in [oldest, newest]; its offset, or -1 where there is none."""
        return self.resume(oldest, newest) if self._saved.fetch(checkpoints, oldest, newest) >= 0 else -1

    def take(self, values: Sequence[bytes | None], offsets: Sequence[int]) -> Told:
        """Fold n entries in.

        Args:
            values: as they stand in the journal.
            offsets: rising, the first one at or after `next`.

        Raises:
            Unavailable: as `take_pieces`.
            RuntimeError: the same.
        """
        places = range(0, len(values), PIECE)
        return self.take_pieces((values[at : at + PIECE], offsets[at : at + PIECE]) for at in places)

    def take_pieces(self, pieces: Iterable[tuple[Sequence[bytes | None], Sequence[int]]]) -> Told:
        """Fold the values and offsets of a batch in, piece by piece: what a piece makes is at hand when it is needed.

        Raises:
            Unavailable: a version's profile cannot be read now; nothing was taken in, or `next` is -1 and nothing of
                what is remembered holds.
            RuntimeError: what was taken in before is not settled: its items would be read as they were.
        """
        if self._changes.puts or self._changes.deletes:
            raise RuntimeError("a batch was begun before the last one was settled")
        # A label that counts belongs to a scorecard that is open: there are no other versions in a batch.
        self._rules.describer.prepare({card.version for card in self._cards})
        before = self._memory.accounts.totals()
        join = Join(self._rules.terms, self._rules.judge, self._memory, self._rules.rate)
        outcomes, last = Outcomes(), -1
        try:
            for values, offsets in pieces:
                self._piece(join, values, offsets)
                outcomes.add(join.findings.outcomes[len(outcomes.keys) :])
                last = offsets[-1]
        except BaseException:
            if last >= 0:
                self.next, self._changes = -1, _Changes()
            raise
        self._cards.add(join.findings, self._rules.summer)
        self.next = last + 1
        self._keep(join.items, join.changed)
        counts = self._memory.accounts.totals()
        counts.subtract(before)
        return Told(join.findings, counts, outcomes, self._told_cards(), self._told_accounts())

    def _piece(self, join: Join, values: Sequence[bytes | None], offsets: Sequence[int]) -> None:
        batch = self._rules.reader(values)
        self._load(batch.entries, join.items)
        self._rules.describer.prepare(batch.versions)  # from here on nothing is asked of the world
        join.fold(batch.entries, offsets, values, self._described(batch.rows))
        self._saved.items(join.items, join.changed, self._memory.lives.known, self._changes.puts, self._changes.deletes)
        join.changed.clear()

    def low(self) -> First:
        """The oldest offset that must be read again to know all that is known now, and the watermark before it."""
        firsts = [one for one in (self._memory.lives.oldest(), self._memory.accounts.oldest()) if one is not None]
        return min(firsts, default=(self.next, self.mark))

    def unfinished(self) -> tuple[tuple[object, ...], ...]:
        """The error blocks that are not full."""
        return self._memory.blocks.unfinished(self.mark)

    def arrive(self, mark: int, unfinished: Sequence[tuple[object, ...]]) -> None:
        """Where a note was made: go on with its blocks (whoever begins in the middle cannot know where one began).

        Behind a gap the watermark is lower than it was. What was over then was told to be, and is not told again.
        """
        self._memory.blocks.restore(unfinished)
        if mark > self._memory.mark:
            self._memory.mark = mark
            self._changes = _Changes()
            self._keep({}, set())
            self._told_cards()
            self._told_accounts()
            self.settle()

    def tell_again(self, *, complete: bool = True) -> None:
        """With the next batch every open window is told once more. Not `complete`: entries of them are gone."""
        complete = complete and self._complete
        self._complete = True
        self._cards.all_changed(complete=complete)
        for _, book in self._memory.accounts:
            book.changed = True
            book.complete = book.complete and complete

    def settle(self) -> None:
        """All that was taken in is committed: the store may know it."""
        if not self._changes.puts and not self._changes.deletes:
            return
        head = Head(self.next, self.mark, self.unfinished(), complete=self._complete)
        self._saved.write(self._changes.puts, self._changes.deletes, head)
        self._changes = _Changes()

    def close(self) -> None:
        """Let the store go; what was not settled is forgotten."""
        self._saved.close()

    def _load(self, entries: Sequence[Entry | None], items: dict[str, Item | None]) -> None:
        """The items of all further ids, in one request."""
        known, wanted = self._memory.lives.known, list[str]()
        for entry in entries:
            if type(entry) is Seen:
                identity = entry.prediction.id
            elif type(entry) is SeenLabel:
                identity = entry.label.id
            else:
                continue
            if identity not in items:
                items[identity] = None
                if identity in known:
                    wanted.append(identity)
        self._saved.fill(items, wanted, known)

    def _described(self, rows: Sequence[Row | None]) -> Sequence[Described]:
        describer = self._rules.describer
        if not describer.sliced:
            return [(row, ()) for row in rows]
        return [(row, describer.slices(row)) for row in rows]

    def _keep(self, items: dict[str, Item | None], changed: set[str]) -> None:
        """Give up and bury what is over, and note what the store has to learn: it puts first, and then deletes."""
        self._give_up(items, changed)
        lives, changes = self._memory.lives, self._changes
        self._saved.items(items, changed, lives.known, changes.puts, changes.deletes)
        self._saved.buried(lives.bury(self.mark), changes.deletes)

    def _give_up(self, items: dict[str, Item | None], changed: set[str]) -> None:
        """Labels that have waited for too long are orphaned, whether or not anybody asks for their id again."""
        waiting, late = self._memory.waiting, set[str]()
        while waiting and waiting[0][0] < self.mark:
            late.add(heappop(waiting)[1])
        self._saved.fill(items, sorted(late - items.keys()), self._memory.lives.known)
        for identity in late:
            item = items[identity]
            if item is not None and drop_orphans(item, self._memory.accounts, self.mark):
                changed.add(identity)

    def _told_cards(self) -> list[Scorecard]:
        made = self._cards.told(self.mark, self.next)
        for card in made:
            self._saved.card(card, self._changes.puts, self._changes.deletes)
        return made

    def _told_accounts(self) -> list[Account]:
        made: list[Account] = []
        terms, mark = self._rules.terms, self.mark
        for window, book in list(self._memory.accounts):
            closed = mark > terms.settled(window)
            if closed:
                self._memory.accounts.close(window)
            if closed or book.changed:
                book.changed = False
                self._saved.book(window, book, closed, self._changes.puts, self._changes.deletes)
                account = Account(
                    window=window, span=terms.span, partition=self._partition, watermark=mark, offset=self.next,
                    closed=closed, complete=book.complete, sums=book.sums(),
                )  # fmt: skip
                made.append(account)
        return made
