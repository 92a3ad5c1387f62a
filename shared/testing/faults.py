"""Failures as a test scripts them: a crash at a named step, an error of one call."""

from collections import defaultdict, deque
from collections.abc import Callable

from shared.core.errors import TailraceError


class Crash(BaseException):
    """The process ends here: nothing that follows may run, so nothing but a test catches it."""


class MisuseError(AssertionError):
    """A call that the real client would not survive, e.g. a begin after an end that is unknown."""


def crash_at(step: str, nth: int = 1) -> Callable[[str], None]:
    """A `mark` of a delivery that crashes when this step is reached for the nth time."""
    left = [nth]

    def mark(name: str) -> None:
        if name == step:
            left[0] -= 1
            if left[0] == 0:
                raise Crash(step)

    return mark


class Faults:
    """Failures to come, in order, by the name of the call."""

    def __init__(self) -> None:
        self._to_come: defaultdict[str, deque[tuple[TailraceError | None, bool]]] = defaultdict(deque)

    def add(self, call: str, error: TailraceError | None, *, times: int = 1, after: bool = False) -> None:
        """The next calls of this name fail: before they do anything, or after they did all. None: that one succeeds."""
        self._to_come[call].extend([(error, after)] * times)

    def around(self, call: str, action: Callable[[], None]) -> None:
        """Do it, or fail as scripted."""
        error, after = self._to_come[call].popleft() if self._to_come.get(call) else (None, False)
        if error is not None and not after:
            raise error
        action()
        if error is not None:
            raise error
