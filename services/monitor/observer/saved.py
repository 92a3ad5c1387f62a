"""How a partition's state stands in its store: one key an item, a card and a book, and a head that stamps it all.

What came later of an item has a key of its own, see `items.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify
from pathlib import Path

import msgspec

from services.monitor.observer import items as kept
from services.monitor.observer.accounts import Book
from services.monitor.observer.cards import Cards
from services.monitor.observer.checkpoints import Checkpoints
from services.monitor.observer.items import Item
from services.monitor.observer.memory import Memory
from services.monitor.observer.watermark import Terms
from shared.core.monitor_records import Scorecard, scorecard_key
from shared.core.store import Store

HEAD, CARD, BOOK = b"h", b"c", b"b"
FORMAT = 2


class Head(msgspec.Struct, frozen=True, array_like=True):
    """`next` is the stamp: the state is that of the log up to it, no more and no less.

    Not `complete`: it was begun behind the oldest entry that it needed, and nobody was told yet.
    """

    next: int
    mark: int
    blocks: tuple[tuple[object, ...], ...] = ()
    complete: bool = True
    terms: tuple[int, ...] = ()
    format: int = FORMAT


class Saved:
    """Reads and writes one partition's state.

    Args:
        store: of this partition alone.
        terms: a state that was kept by other terms is none.
    """

    def __init__(self, store: Store, terms: Terms) -> None:
        self._store = store
        self._terms = (terms.span, terms.horizon, terms.hold, terms.max_step, terms.grain, terms.judged)

    def head(self) -> Head | None:
        """The stamp; None where nothing is stored, or nothing of use."""
        (value,) = self._store.get_many([HEAD])
        if value is None:
            return None
        try:
            head = msgspec.json.decode(value, type=Head)
        except msgspec.DecodeError:
            return None
        return head if head.terms == self._terms and head.format == FORMAT else None

    def load(self, memory: Memory, cards: Cards) -> None:
        """Read everything but the items themselves."""
        laters = self._store.scan(kept.LATER)
        later = next(laters, None)
        for key, value in self._store.scan(kept.PREFIX):  # both in the order of ids
            identity, life = kept.identity_of(key), kept.decode_life(value)
            memory.waiting += [(held.reach, identity) for held in life.held]
            if later is None or later[0][1:] != key[1:]:
                memory.lives.begin(identity, life.dies, life.first)
                continue
            amended = kept.decode_later_life(later[1])
            memory.lives.begin(identity, amended.dies, amended.first)
            memory.lives.known[identity] = True
            later = next(laters, None)
        heapify(memory.waiting)
        for _, value in self._store.scan(CARD):
            cards.restore(msgspec.json.decode(value, type=Scorecard))
        for key, value in self._store.scan(BOOK):
            memory.accounts.restore(int(key.removeprefix(BOOK)), msgspec.json.decode(value, type=Book))

    def fill(self, items: dict[str, Item | None], identities: Sequence[str], known: Mapping[str, bool]) -> None:
        """Fill in the items of ids, None where nothing is remembered. `known` says of which something came later."""
        prefix, decode = kept.PREFIX, kept.decode
        values = self._store.get_many([prefix + identity.encode() for identity in identities])
        for identity, value in zip(identities, values, strict=True):
            items[identity] = None if value is None else decode(value)
        amended = [identity for identity in identities if known.get(identity)]
        laters = self._store.get_many([kept.LATER + identity.encode() for identity in amended])
        for identity, later in zip(amended, laters, strict=True):
            item = items[identity]
            if item is not None and later is not None:
                kept.amend(item, later)

    def items(
        self,
        items: Mapping[str, Item | None],
        changed: Iterable[str],
        known: dict[str, bool],
        puts: dict[bytes, bytes],
        deletes: list[bytes],
    ) -> None:
        """Note the items that changed. `known` is told of which something came later."""
        prefix, encode = kept.PREFIX, kept.encode
        for identity in changed:
            item = items[identity]
            if item is None:
                continue
            if item.stored:
                known[identity] = True
                puts[kept.LATER + identity.encode()] = kept.encode_later(item)
                continue
            puts[prefix + identity.encode()] = encode(item)
            if known.get(identity):  # of the life before this one
                known[identity] = False
                deletes.append(kept.LATER + identity.encode())

    def buried(self, gone: Iterable[tuple[str, bool]], deletes: list[bytes]) -> None:
        """Note the ids that are forgotten, and of which something came later."""
        for identity, amended in gone:
            key = identity.encode()
            deletes.append(kept.PREFIX + key)
            if amended:
                deletes.append(kept.LATER + key)

    def card(self, card: Scorecard, puts: dict[bytes, bytes], deletes: list[bytes]) -> None:
        """Note a card that changed, or is closed."""
        key = CARD + scorecard_key(card)
        if card.closed:
            deletes.append(key)
        else:
            puts[key] = msgspec.json.encode(card)

    def book(self, window: int, book: Book, closed: bool, puts: dict[bytes, bytes], deletes: list[bytes]) -> None:  # noqa: FBT001 - as above
        """Note a book that changed, or is closed."""
        key = BOOK + str(window).encode()
        if closed:
            deletes.append(key)
        else:
            puts[key] = msgspec.json.encode(book)

    def write(self, puts: dict[bytes, bytes], deletes: Iterable[bytes], head: Head) -> None:
        """Write changes and stamp, which is put to the changes, as one."""
        puts[HEAD] = msgspec.json.encode(msgspec.structs.replace(head, terms=self._terms))
        self._store.write(puts, deletes)

    def flush(self) -> None:
        """Have it on the disk."""
        self._store.flush()

    def save(self, checkpoints: Checkpoints, offset: int) -> Path:
        """Copy everything into a checkpoint."""
        return checkpoints.save(self._store, offset)

    def fetch(self, checkpoints: Checkpoints, oldest: int, newest: int) -> int:
        """Take everything from a checkpoint in [oldest, newest]; its offset, or -1 where there is none."""
        return checkpoints.load(self._store, oldest, newest)

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()

    def close(self) -> None:
        """Let the store go."""
        self._store.close()
