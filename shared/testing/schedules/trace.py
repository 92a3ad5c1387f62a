"""What happened in a schedule, as lines for a person: the same seed gives the same text."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Told(Generic[T]):
    """A detail that is put into words only where the trace is read; what it is about must not change meanwhile."""

    __slots__ = ("_about", "_words")

    def __init__(self, words: Callable[[T], str], about: T) -> None:
        self._words, self._about = words, about

    def __str__(self) -> str:
        return self._words(self._about)


class Trace:
    """Takes events as they come; they become text only if somebody asks."""

    def __init__(self) -> None:
        self._events: list[tuple[str, str, object]] = []

    def add(self, who: str, what: str, detail: object = "") -> None:
        """Something happened: to whom, what, and a detail whose `str` says more."""
        self._events.append((who, what, detail))

    def lines(self) -> Sequence[str]:
        """A line an event, numbered."""
        return [f"{i:4} {who:>7}  {what} {detail}".rstrip() for i, (who, what, detail) in enumerate(self._events, 1)]
