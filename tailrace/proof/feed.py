"""Keeps records flowing for as long as faults strike, so that each of them hits live traffic."""

import threading
import time
from collections.abc import Callable, Iterator

from shared.adapters.kafka.publisher import KafkaPublisher

_TICK_S = 0.05
_FLUSH_S = 120.0


class Feed(threading.Thread):
    """Sends n messages in a thread, at the rate at which they last as long as the faults that are still to come.

    Args:
        publisher: idempotent; it outlives the broker's absence.
        topic: where to.
        messages: (key, value), n of them.
        n: how many.
        left: how long faults will still strike, s.
    """

    def __init__(
        self,
        publisher: KafkaPublisher,
        topic: str,
        messages: Iterator[tuple[bytes, bytes]],
        n: int,
        left: Callable[[], float],
    ) -> None:
        super().__init__(name="proof-feed", daemon=True)
        self._publisher, self._topic, self._messages, self._n, self._left = publisher, topic, messages, n, left
        self._ended = threading.Event()
        self.sent = 0
        self.broken: BaseException | None = None

    def run(self) -> None:
        """Send, in order."""
        try:
            due, last = 0.0, time.monotonic()
            while self.sent < self._n and not self._ended.wait(_TICK_S):
                now = time.monotonic()
                due += (now - last) * (self._n - self.sent) / max(self._left(), 1.0)
                last = now
                while due >= 1.0 and self.sent < self._n:
                    key, value = next(self._messages)
                    self._publisher.send(self._topic, key, value, None, None)
                    self.sent += 1
                    due -= 1.0
            if not self._ended.is_set():
                self._publisher.flush(_FLUSH_S)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self.broken = error

    def finish(self, *, early: bool = False) -> None:
        """Wait until all is sent and acknowledged, or end early.

        Raises:
            Unavailable: the broker did not take it.
        """
        if early:
            self._ended.set()
        self.join()
        if self.broken is not None:
            raise self.broken
