"""What the broker answers in a simulated schedule: every call of a worker to the log passes here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from shared.core.errors import Abortable, Fatal, Fenced, Indefinite, Retriable, TailraceError, Unavailable
from shared.testing.faults import Faults

# An answer comes before the call did anything, after it did all, or while it is under way and takes effect later.
BEFORE, AFTER, LATE = "before", "after", "under way"
Answer = tuple[str, Callable[[], TailraceError]]


def _error(
    kind: type[Abortable | Fatal | Indefinite | Retriable], *, transient: bool = True
) -> Callable[[], TailraceError]:
    return lambda: kind("simulated", transient=transient)


def _unavailable() -> TailraceError:
    return Unavailable("simulated")


NOTHING_THERE: Final[Sequence[Answer]] = ((BEFORE, _unavailable),)  # of a step: its cache or model is not there
_ABORTABLE, _FATAL, _RETRIABLE = _error(Abortable), _error(Fatal), _error(Retriable)
_INDEFINITE, _FENCED = _error(Indefinite), _error(Fenced)
_ITS_OWN_FAULT = _error(Abortable, transient=False)
TRANSACTIONAL: Final[dict[str, Sequence[Answer]]] = {
    "begin": ((BEFORE, _FATAL), (BEFORE, _RETRIABLE)),
    "produce": ((BEFORE, _FATAL), (AFTER, _ABORTABLE)),
    "flush": ((BEFORE, _ABORTABLE), (AFTER, _ABORTABLE), (AFTER, _ITS_OWN_FAULT), (BEFORE, _FATAL), (AFTER, _FATAL)),
    "send_offsets": (
        *((BEFORE, _ABORTABLE), (AFTER, _ABORTABLE), (BEFORE, _RETRIABLE), (AFTER, _RETRIABLE), (AFTER, _FATAL)),
    ),
    "commit": (
        *((BEFORE, _INDEFINITE), (AFTER, _INDEFINITE), (AFTER, _INDEFINITE), (LATE, _INDEFINITE), (LATE, _INDEFINITE)),
        *((BEFORE, _ABORTABLE), (BEFORE, _ITS_OWN_FAULT), (BEFORE, _FATAL), (AFTER, _FATAL), (AFTER, _FENCED)),
    ),
    "abort": ((BEFORE, _INDEFINITE), (AFTER, _INDEFINITE), (BEFORE, _FATAL)),
    "renew": ((BEFORE, _FATAL), (AFTER, _FATAL), (BEFORE, _error(Fatal, transient=False))),
}  # fmt: skip
PLAIN: Final[dict[str, Sequence[Answer]]] = {  # a producer without transactions knows no abort
    "produce": ((BEFORE, _FATAL),),
    "flush": ((BEFORE, _FATAL), (AFTER, _FATAL)),
    "renew": TRANSACTIONAL["renew"],
}
OFFSETS: Final[dict[str, Sequence[Answer]]] = {
    "poll": ((BEFORE, _unavailable),),
    "rewind": ((BEFORE, _unavailable),),
    "commit": ((BEFORE, _ABORTABLE), (AFTER, _ABORTABLE), (AFTER, _ITS_OWN_FAULT)),
}
REFUSED: Final[dict[bool, Answer]] = {  # by whether the producer has transactions: never again this record
    True: (AFTER, _ITS_OWN_FAULT),
    False: (AFTER, _error(Fatal, transient=False)),
}


class Caller(Protocol):
    """The worker that calls."""

    def at(self, name: str) -> None:
        """It is about to make this call: it may be stopped here, or die."""

    def answer(self, choices: Sequence[Answer], call: str) -> Answer | None:
        """One of these bad answers, or None: all is well."""

    def done(self, call: str) -> None:
        """The call took effect."""


class Answers(Faults):
    """Goes around each call of one worker; takes the place of scripted faults.

    Args:
        caller: the worker.
        table: the bad answers of each call.
        arrive: lets what is queued reach the log early; may be called after a `produce`.
        commit_later: takes the commit that is under way along, until it arrives.
    """

    def __init__(
        self,
        caller: Caller,
        table: Mapping[str, Sequence[Answer]],
        arrive: Callable[[], None] = lambda: None,
        commit_later: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._caller, self._table, self._arrive, self._later = caller, table, arrive, commit_later

    def around(self, call: str, action: Callable[[], None]) -> None:
        """The call, with whatever happens before, meanwhile and after; raises the broker's answer."""
        caller = self._caller
        caller.at(call)
        choices = self._table.get(call)
        answer = caller.answer(choices, call) if choices else None
        if answer is None or answer[0] == AFTER:
            action()
            caller.done(call)
            if call == "produce":
                self._arrive()
        elif answer[0] == LATE:
            self._later()
        if answer is not None:
            error = answer[1]()
            raise error
