"""What `tailrace bench observer` folds: observations of twenty numbers and their labels, straight into `journal`."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Producer

from shared.core.errors import Unavailable
from tailrace.bench.material import ENTITIES, FEATURES, PARTITIONS, SEED, START, WIDTH

POOL = 1_000  # different records: as many as there are entities
WINDOW, HOLD, HORIZON = "1h", "1h", "2h"
SPAN_MS = 6 * 3_600_000
"""Of event time: twice an observation's life, so that half of all ids are forgotten while it is measured."""
DELAYED = 10
"""A label comes after so large a part of all records."""
QUEUE = 400_000  # messages
SEND_S = 120.0


class Feed:
    """Writes entries, each record's partition in turn.

    Args:
        conf: connection settings.
        topic: the journal.
        version: of the model whose answers these are.
        records: how many records the event time is spread over.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str, version: str, records: int) -> None:
        own = {
            "log_level": 2,
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": QUEUE + 10_000,
        }
        self._producer = Producer({**own, **conf})
        self._topic, self._version = topic, version
        self._step, self._delay = SPAN_MS // records, records // DELAYED
        rng = np.random.default_rng(SEED)
        names = [f'"{name}":' for name in FEATURES]
        numbers = np.round(rng.normal(size=(POOL, WIDTH)), 6).tolist()
        pairs = (",".join(f"{name}{number}" for name, number in zip(names, row, strict=True)) for row in numbers)
        self._records, self._scores = [pair.encode() for pair in pairs], rng.random(POOL).tolist()
        self._next = self.sent = self.size = 0

    def send(self, records: int) -> int:
        """Write so many further records, and the labels that come meanwhile; how many entries there are by now.

        Raises:
            Unavailable: the broker does not take them in time.
        """
        produce, deadline = self._producer.produce, time.monotonic() + SEND_S
        for i in range(self._next, self._next + records):
            for j, value in self._entries(i):
                produce(self._topic, value, f"e{j % ENTITIES}".encode(), partition=j % PARTITIONS)
                self.sent, self.size = self.sent + 1, self.size + len(value)
            while len(self._producer) > QUEUE and time.monotonic() < deadline:
                self._producer.poll(0.1)
        self._next += records
        if self._producer.flush(SEND_S):
            raise Unavailable(f"{self._topic} takes no more entries")
        return self.sent

    def _entries(self, i: int) -> Iterator[tuple[int, bytes]]:
        at = START + i * self._step
        yield i, self._observation(i, at)
        if i >= self._delay:
            yield i - self._delay, _label(i - self._delay, at)

    def _observation(self, i: int, at: int) -> bytes:
        score, key = self._scores[i % POOL], i % ENTITIES
        return (
            b'{"type":"observation","v":1,"prediction":{"v":1,"id":"record-%d","key":"e%d","at":[%d,%d],"event_time":%d,'
            b'"score":%.17g,"label":"%s","version":"%s","digest":"%064d","epoch":1},'
            b'"record":{"id":"record-%d","key":"e%d","ts":%d,%s},"lookups":{},"digest":"%064d","logged":%d}'
        ) % (
            i, key, i % PARTITIONS, i, at, score, b"yes" if score >= 0.5 else b"no", self._version.encode(), 0,  # noqa: PLR2004 - the usual threshold
            i, key, at, self._records[i % POOL], 0, at,
        )  # fmt: skip


def _label(i: int, at: int) -> bytes:
    label = {"id": f"record-{i}", "value": "no" if i % 3 else "yes", "time": at, "at": [i % PARTITIONS, i]}
    return msgspec.json.encode({"type": "label", "label": label, "at": [0, i], "logged": at})
