"""Replays the history that comes after the champion's training: records at a rate, features and labels when due."""

import threading
import time
from collections import Counter
from collections.abc import Iterator

from services.ingest.replay.plan import Item, Kind
from services.ingest.replay.source import ReplaySource
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.core.errors import Unavailable
from shared.core.topics import TopicName, topic

_TICK_S, _FLUSH_S = 0.05, 120.0
CALM = 0.1  # of the rate, while nobody is on trial
_WHERE: dict[Kind, TopicName] = {Kind.RECORD: "records", Kind.FEATURE: "features", Kind.LABEL: "labels"}


class Feed(threading.Thread):
    """Sends in a thread, until it is told to end or nothing is left; all in the order of event time.

    Args:
        publisher: idempotent.
        pipeline: its name.
        source: records, feature updates and labels.
        rate: records a second, while `busy` is set; a tenth of it otherwise.
    """

    def __init__(self, publisher: KafkaPublisher, pipeline: str, source: ReplaySource, rate: float) -> None:
        super().__init__(name="proof-challengers-feed", daemon=True)
        self._publisher, self._source, self._rate = publisher, source, rate
        self._topics = {kind: topic(pipeline, name) for kind, name in _WHERE.items()}
        self._ended = threading.Event()
        self._counts = Counter[Kind]()
        self.busy = threading.Event()
        self.time = 0
        """Event time (ms) of what was sent last."""
        self.broken: BaseException | None = None

    @property
    def sent(self) -> int:
        """Records that were sent."""
        return self._counts[Kind.RECORD]

    def run(self) -> None:
        """Send."""
        try:
            items = self._source.items()
            due, last = 0.0, time.monotonic()
            while not self._ended.wait(_TICK_S):
                now = time.monotonic()
                due += (now - last) * self._rate * (1.0 if self.busy.is_set() else CALM)
                last = now
                while due >= 1.0:
                    item = _next(items)
                    self._publisher.send(self._topics[item.kind], item.key, item.value, None, None)
                    self._counts[item.kind] += 1
                    due -= item.kind is Kind.RECORD
                    self.time = item.time
            self._publisher.flush(_FLUSH_S)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self.broken = error

    def check(self) -> None:
        """Raise what broke it."""
        if self.broken is not None:
            raise self.broken

    def finish(self) -> int:
        """End; all that was sent is acknowledged. Returns how many records that was."""
        self._ended.set()
        self.join()
        self.check()
        return self.sent


def _next(items: Iterator[Item]) -> Item:
    item = next(items, None)
    if item is None:
        raise Unavailable("the history has come to its end: nothing is left to replay")
    return item
