"""The delivery that is under way while the next batch is polled and scored: at most one, and its end is always heard.

Flush, offsets and commit are waiting, a fifth of a batch's time and more. While records queue up, a thread waits and
the loop goes on. Nothing is promised sooner for it: what a batch changed counts once its delivery is known to be
durable, the next delivery does not begin before, and partitions are not let go of before.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from shared.core.ports import Count, Message, Reject
from shared.core.rollout import Split


class Later(Protocol):
    """A call whose end can be waited for."""

    def wait(self) -> None:
        """Until it has ended, well or not."""

    def result(self) -> float:
        """The same; gives when it ended (monotonic s), and raises what it raised."""


Call = Callable[[], float]
Background = Callable[[Call], Later]


@dataclass(frozen=True, slots=True)
class Done:
    """A batch's delivery, under way or ended, and what to take in and to tell when it is durable.

    `last` is the last message of each partition; `started` and `scored` are monotonic s: when its processing began, and
    when it was handed over.
    """

    later: Later
    messages: Sequence[Message]
    last: Mapping[int, Message]
    cut: Split
    rejects: Sequence[Reject]
    counts: Sequence[Count]
    started: float
    scored: float


class Thread:
    """Runs calls on one thread of its own, one after another. It is the process's: it ends with it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="delivery")

    def __call__(self, call: Call) -> Later:
        """Begin; the answer tells the end."""
        future = self._pool.submit(call)
        return _Future(lambda: wait([future]), future.result)


@dataclass(frozen=True, slots=True)
class _Future:
    _wait: Callable[[], object]
    _result: Call

    def wait(self) -> None:
        self._wait()

    def result(self) -> float:
        return self._result()


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that ended well before anybody asked."""

    at: float

    def wait(self) -> None:
        """Nothing to wait for."""

    def result(self) -> float:
        """When it ended."""
        return self.at


def at_once(call: Call) -> Later:
    """Run the call here and now; raises what it raises."""
    return Ended(call())


class UnderWay:
    """The one delivery that may be under way.

    Args:
        take_in: told of each batch that is durable, and when its delivery ended (monotonic s).
    """

    def __init__(self, take_in: Callable[[Done, float], None]) -> None:
        self._take_in = take_in
        self._one: Done | None = None
        self._blamed: Sequence[Message] = ()

    def put(self, one: Done) -> None:
        """This one has begun; the one before was heard."""
        self._one = one

    def wait(self) -> None:
        """Until it has ended; how, the next `hear` tells. May be called from inside a poll."""
        if self._one is not None:
            self._one.later.wait()

    def hear(self) -> None:
        """Wait for its end and take in what holds now.

        Raises:
            LogError: it failed; `blamed` tells for which messages.
        """
        one, self._one = self._one, None
        if one is None:
            return
        self._blamed = one.messages
        ended = one.later.result()
        self._blamed = ()
        self._take_in(one, ended)

    def blamed(self) -> Sequence[Message]:
        """The messages of a delivery that was heard to have failed; asked once. None where it was not this one."""
        blamed, self._blamed = self._blamed, ()
        return blamed
