"""The accounts of one partition: every entry is counted once, and every label has exactly one status."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from services.monitor.observer.lives import First
from shared.core.monitor_records import AccountSums

STATUSES = ("matched", "corrected", "late", "held", "orphaned", "duplicate", "conflicting", "unsampled")


class Book(msgspec.Struct, gc=False):
    """The account of one window of the watermark. `first` is the oldest entry that its counts depend on."""

    first: First
    counts: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(AccountSums.__struct_fields__, 0))
    complete: bool = True
    changed: bool = True

    def add(self, what: str, n: int = 1) -> None:
        """Count."""
        self.counts[what] += n
        self.changed = True

    def sums(self) -> AccountSums:
        """As it is published."""
        return AccountSums(**self.counts)


class Accounts:
    """The books that are open. An entry is entered in the window that the watermark is in when it is folded."""

    def __init__(self) -> None:
        self._books: dict[int, Book] = {}

    def book(self, window: int, first: First) -> Book:
        """The book of a window, opened by its first entry."""
        book = self._books.get(window)
        if book is None:
            book = self._books[window] = Book(first)
        return book

    def totals(self) -> Counter[str]:
        """Everything in the open books."""
        sums: Counter[str] = Counter()
        for book in self._books.values():
            sums.update(book.counts)
        return sums

    def settle(self, window: int, status: str, n: int = 1) -> None:
        """Labels that were held have their last status now, in the account that they were entered in."""
        book = self._books[window]
        book.add("held", -n)
        book.add(status, n)

    def add(self, window: int, what: str) -> None:
        """Count in a book that is open."""
        self._books[window].add(what)

    def restore(self, window: int, book: Book) -> None:
        """Put a book back."""
        self._books[window] = book

    def close(self, window: int) -> Book:
        """Take a book away: nothing in it can change any more."""
        return self._books.pop(window)

    def oldest(self) -> First | None:
        """The oldest entry that an open book depends on."""
        return min((book.first for book in self._books.values()), default=None)

    def __iter__(self) -> Iterator[tuple[int, Book]]:
        return iter(sorted(self._books.items()))
