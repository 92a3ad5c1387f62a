"""What need not be computed again: values of inputs that are the very same objects as at the last turn."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Kept:
    """Values by name, each for the inputs that it was made of; it never changes an answer, only what it costs.

    Inputs are compared by identity, and are held, so none of them can be another object's successor: who wants to gain
    by this gives the same decoded cards again (most windows are closed and never change).
    """

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[tuple[object, ...], Any]] = {}
        self._asked: set[Hashable] = set()

    def of(self, name: Hashable, inputs: Sequence[object], make: Callable[[], T]) -> T:
        """The value of that name for these inputs; `make` is called where it is not there."""
        self._asked.add(name)
        before = self._made.get(name)
        if before is not None and _same(before[0], inputs):
            value: T = before[1]
            return value
        value = make()
        self._made[name] = (tuple(inputs), value)
        return value

    def sweep(self) -> None:
        """Forget what nobody asked for since the last time."""
        self._made = {name: self._made[name] for name in self._asked if name in self._made}
        self._asked = set()


def _same(a: Sequence[object], b: Sequence[object]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
