"""Mistakes in a file that a person wrote: all of them at once, each with its path and what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from shared.core.errors import UserError


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: where (`features[3].missing`; empty for the whole file), what, and the remedy."""

    path: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class Mistakes(UserError):  # noqa: N818 - the plural of what it carries
    """A file with mistakes. As text: `<file>: 2 mistakes`, then one aligned line each.

    Args:
        where: the file, as the user named it.
        mistakes: all of them, in the order in which they are shown.
    """

    def __init__(self, where: str, mistakes: Sequence[Mistake]) -> None:
        self.where = where
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        paths = [mistake.path or "(the file)" for mistake in self.mistakes]
        width = max((len(path) for path in paths), default=0)
        lines = [f"  {path:<{width}}   {mistake}" for path, mistake in zip(paths, self.mistakes, strict=True)]
        super().__init__("\n".join([f"{where}: {count} mistake{'s' if count != 1 else ''}", *lines]))


class Unanswerable(Exception):  # noqa: N818 - no error: a question about a value that was already reported
    """A check asked for a value whose own mistake is already reported: the check has nothing to say."""


class Unknown:
    """Stands for a value that could not be decoded. Every question about it raises `Unanswerable`.

    With it the rest of the file is still checked as a whole, and one mistake is not reported twice.
    """

    def _ask(self, *_: object) -> NoReturn:
        raise Unanswerable

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _ask
    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __float__ = __int__ = _ask
    __mul__ = __rmul__ = __add__ = __radd__ = __str__ = __format__ = _ask
    __hash__ = _ask

    def __getattr__(self, name: str) -> Any:
        raise Unanswerable


UNKNOWN = Unknown()


def known(value: object) -> bool:
    """Whether the value was decoded; the one question that `UNKNOWN` answers."""
    return value is not UNKNOWN


def at(path: str, key: str | int) -> str:
    """The path of a part: `features`, 3 is `features[3]`; `record`, `key` is `record.key`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def near(word: str, known: Iterable[str]) -> str:
    """The remedy for a word that is none of the known ones: the one that was meant, or all of them."""
    names = list(known)
    close = get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"use one of {', '.join(names)}" if names else ""
