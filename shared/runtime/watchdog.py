"""Ends the process when a step overruns its budget: the Kafka client can hang for ever and cannot be interrupted.

`send_offsets_to_transaction` of some librdkafka versions never returns after a broker restart and ignores its
time-out. Exactly-once makes ending the process safe; the supervisor counts it (exit code 70) and starts it again.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.core.ports import Clock

EXIT_CODE = 70
TICK = 0.5  # s between looks
FROZEN = 5.0  # s: a tick that took this long means that the whole process stood still, not only the step


class Watchdog:
    """Watches one step at a time from a thread of its own.

    Args:
        clock: whose `monotonic` deadlines use.
        budget: s that a step may take.
        bite: called with the step's name when it overruns; ends the process by default.
    """

    def __init__(self, clock: Clock, budget: float, bite: Callable[[str], None] | None = None) -> None:
        self._clock, self._budget = clock, budget
        self._bite = bite or end_process
        self._step = ""
        self._deadline = float("inf")
        self._last_look = clock.monotonic()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._done.set()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """The body must end within the budget. Steps do not nest."""
        self._step = name
        self._deadline = self._clock.monotonic() + self._budget
        try:
            yield
        finally:
            self._deadline = float("inf")

    def look(self) -> None:
        """One look at the present step; the thread calls this every half second."""
        now = self._clock.monotonic()
        gap = now - self._last_look
        self._last_look = now
        if gap > FROZEN:  # a frozen process gets its time back: the step had no chance to run
            self._deadline += gap
        elif now > self._deadline:
            self._bite(self._step)

    def _watch(self) -> None:
        while not self._done.wait(TICK):
            self.look()


def end_process(step: str) -> None:
    """End this process at once; nothing that could block is called."""
    os.write(2, f'{{"event":"watchdog","step":"{step}","exit_code":{EXIT_CODE}}}\n'.encode())
    os._exit(EXIT_CODE)
