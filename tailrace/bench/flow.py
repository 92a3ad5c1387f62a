"""Records sent at a given rate, and their predictions read as they become readable: both ends of one clock."""

import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition
from numpy.typing import NDArray

from shared.core.errors import UserError
from tailrace.bench.material import ENTITIES, FEATURES, SEED, START, STEP

_TICK_S = 0.001
_ID_AT = len(b'{"v":1,"id":"r')  # of a prediction's value: ids are r0, r1 and so on
_BODIES = 1_000
_DRAIN_S = 30.0

Rate = Callable[[float], float]


class Feed(threading.Thread):
    """Sends records r0, r1 ... in a thread, as many a second as `rate` says, until stopped.

    Args:
        conf: connection settings of the client.
        topic: where to.
        rate: records/s at so many seconds since the start; 0 sends none.

    Attributes:
        sent: when each record was handed to the client (`time.perf_counter`).
        began: when the first tick was.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str, rate: Rate) -> None:
        super().__init__(name="bench-feed", daemon=True)
        own = {"linger.ms": 1, "compression.type": "lz4", "partitioner": "murmur2_random", "log_level": 2}
        self._producer = Producer({**own, "queue.buffering.max.messages": 500_000, **conf})
        self._topic, self._rate = topic, rate
        self._ended = threading.Event()
        self._rests = rests()
        self.sent = array("d")
        self.began = time.perf_counter()

    def run(self) -> None:
        """Send what is due, a tick at a time; what a tick came too late for is sent at once."""
        due, last = 0.0, time.perf_counter()
        self.began = last
        while not self._ended.wait(_TICK_S):
            now = time.perf_counter()
            due += (now - last) * self._rate(now - self.began)
            last = now
            while due >= 1.0:
                self._send(len(self.sent))
                due -= 1.0
            self._producer.poll(0)
        self._producer.flush(_DRAIN_S)

    def finish(self) -> None:
        """Stop, and wait until all is acknowledged."""
        self._ended.set()
        self.join()

    def _send(self, i: int) -> None:
        key, value = record(i, self._rests)
        self.sent.append(time.perf_counter())
        while True:
            try:
                self._producer.produce(self._topic, value, key)
            except BufferError:
                self._producer.poll(0.01)
            else:
                return


class Reader(threading.Thread):
    """Reads a topic of predictions from its present end on, under read_committed, in a thread.

    Args:
        conf: connection settings of the client.
        topic: of predictions.
        partitions: how many it has.

    Attributes:
        read: how many so far.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str, partitions: int) -> None:
        super().__init__(name="bench-reader", daemon=True)
        own = {"group.id": "tailrace-bench-reader", "enable.auto.commit": False, "isolation.level": "read_committed"}
        self._consumer = Consumer({**own, "fetch.wait.max.ms": 20, "log_level": 2, **conf})
        parts = [TopicPartition(topic, p) for p in range(partitions)]
        self._consumer.assign([TopicPartition(topic, part.partition, self._end(part)) for part in parts])
        self._ended = threading.Event()
        self._indices, self._partitions, self._at = array("l"), array("h"), array("d")
        self.broken: BaseException | None = None

    @property
    def read(self) -> int:
        """How many predictions were read."""
        return len(self._at)

    def run(self) -> None:
        """Read; each prediction gets the time at which it was there."""
        try:
            while not self._ended.is_set():
                messages = self._consumer.consume(1, 0.05)
                if messages:
                    messages += self._consumer.consume(10_000, 0)
                now = time.perf_counter()
                for message in messages:
                    if message.error() is None:
                        value: Any = message.value()
                        self._indices.append(int(value[_ID_AT : value.index(b'"', _ID_AT)]))
                        self._partitions.append(message.partition() or 0)
                        self._at.append(now)
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            self.broken = error
        finally:
            self._consumer.close()

    def wait(self, n: int, timeout: float) -> bool:
        """Wait until n predictions were read; False if they were not in time.

        Raises:
            UserError: reading broke.
        """
        deadline = time.monotonic() + timeout
        while self.read < n and time.monotonic() < deadline and self.broken is None:
            self._ended.wait(0.05)
        if self.broken is not None:
            raise UserError(f"predictions could not be read: {self.broken}", remedy="see the broker's log")
        return self.read >= n

    def finish(self) -> None:
        """Stop."""
        self._ended.set()
        self.join()

    def arrivals(self, feed: Feed) -> "Arrivals":
        """What came, beside what was sent."""
        indices, sent = np.array(self._indices, dtype=np.int64), np.array(feed.sent, dtype=np.float64)
        return Arrivals(indices, np.array(self._partitions), np.array(self._at, dtype=np.float64), sent)

    def _end(self, part: TopicPartition) -> int:
        marks = self._consumer.get_watermark_offsets(part, timeout=10)
        return marks[1] if marks else 0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Predictions in the order they were read: index of the record, partition, time; and when each record was sent.

    All times in s of one clock. `sent` has one entry a record, the others one a prediction.
    """

    index: NDArray[np.int64]
    partition: NDArray[Any]
    at: NDArray[np.float64]
    sent: NDArray[np.float64]
    waited: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Work out how long each took, ms."""
        object.__setattr__(self, "waited", (self.at - self.sent[self.index]) * 1_000)

    @property
    def lost(self) -> int:
        """Records without a prediction."""
        return len(self.sent) - len(np.unique(self.index))

    @property
    def doubled(self) -> int:
        """Predictions beyond the first of their record."""
        return len(self.index) - len(np.unique(self.index))

    def quantile(self, share: float, since: float = 0.0, until: float = float("inf")) -> float:
        """Of the ms from sending to reading, over records that were sent in this span; NaN where there are none."""
        sent = self.sent[self.index]
        chosen = self.waited[(sent >= since) & (sent < until)]
        return float(np.quantile(chosen, share)) if len(chosen) else float("nan")

    def longest_gap(self, partition: int, since: float, until: float) -> float:
        """The longest time in s between two predictions of a partition that were read in this span, its ends included.

        Records come all the time, so a gap means that some waited.
        """
        mine = self.at[(self.partition == partition) & (self.at >= since) & (self.at <= until)]
        return float(np.diff(np.concatenate(([since], mine, [until]))).max())


def record(i: int, ends: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Key and value of record i, of ends that `rests` made."""
    key = b"e%d" % (i % ENTITIES)
    return key, b'{"id":"r%d","key":"%b","ts":%d,%b' % (i, key, START + i * STEP, ends[i % _BODIES])


def rests() -> list[bytes]:
    """Ends of records: what need not differ from each one to the next is made beforehand."""
    values = np.round(np.random.default_rng(SEED + 3).normal(size=(_BODIES, len(FEATURES))), 6).tolist()
    return [
        (",".join(f'"{name}":{value}' for name, value in zip(FEATURES, row, strict=True)) + "}").encode()
        for row in values
    ]
