"""What the demo's live table shows: read from the topics, as any consumer could."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Message

from shared.core.deadletter import REASON, SOURCE
from shared.core.errors import TailraceError
from shared.core.records import CONTROL_HEADER
from tailrace.proof.audit import Positions, Reader

_DECODE = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(slots=True)
class View:
    """A picture of this moment. Latencies are from a record's log-append to its outcome being readable, in ms."""

    records: int = 0
    predictions: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    rate: float = 0.0
    p50: float = float("nan")
    p99: float = float("nan")
    last: dict[str, Any] = field(default_factory=dict)
    quality: str = ""
    waits: str = ""
    error: str = ""

    @property
    def outcomes(self) -> int:
        """Predictions and dead letters."""
        return self.predictions + sum(self.dead_letters.values())


class Watch:
    """Follows the topics from a thread of its own.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
        starts: where to begin.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str, starts: Positions) -> None:
        self._reader = Reader(conf, pipeline, starts)
        self._seen = View()
        self._appended: dict[tuple[int, int], int] = {}
        self._early: dict[tuple[int, int], int] = {}
        self.latencies: list[float] = []
        self._recent: deque[float] = deque(maxlen=5_000)
        self._counts: deque[tuple[float, int]] = deque(maxlen=50)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-watch", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._done.set()
        self._thread.join(10)

    def view(self) -> View:
        """The present picture."""
        seen, recent = self._seen, np.array(self._recent)
        if len(recent):
            seen.p50, seen.p99 = (float(v) for v in np.percentile(recent, [50, 99]))
        now = time.monotonic()
        self._counts.append((now, seen.outcomes))
        window = [c for c in self._counts if now - c[0] < 3]  # noqa: PLR2004 - s: calm enough to read
        if len(window) > 1 and window[-1][0] > window[0][0]:
            seen.rate = (window[-1][1] - window[0][1]) / (window[-1][0] - window[0][0])
        return seen

    def _run(self) -> None:
        try:
            with self._reader as reader:
                while not self._done.is_set():
                    messages = reader.read(0.02)
                    now = int(time.time() * 1000)
                    for topic, message in messages:
                        self._take(topic, message, now)
        except TailraceError as error:
            self._seen.error = str(error)

    def _take(self, topic: str, message: Message, now: int) -> None:
        seen = self._seen
        if topic == "records" and CONTROL_HEADER in dict(message.headers() or []):
            return  # a barrier has no outcome
        if topic == "records":
            self._matched((message.partition() or 0, message.offset() or 0), appended=message.timestamp()[1])
            seen.records += 1
        elif topic == "predictions":
            made = _DECODE(message.value() or b"{}")
            seen.predictions += 1
            seen.last = made
            seen.degraded += "degraded" in made.get("flags", ())
            partition, offset = made["at"]
            self._matched((partition, offset), read=now)
        else:
            headers = dict(message.headers() or [])
            seen.dead_letters[_text(headers.get(REASON))] += 1
            place, _, offset_text = _text(headers.get(SOURCE)).rpartition("@")
            self._matched((int(place.rpartition("[")[2].rstrip("]")), int(offset_text)), read=now)

    def _matched(self, at: tuple[int, int], *, appended: int | None = None, read: int | None = None) -> None:
        """Latency once both sides are known; the outcome may be read before its record."""
        if appended is not None:
            read = self._early.pop(at, None)
            if read is None:
                self._appended[at] = appended
                return
        else:
            appended = self._appended.pop(at, None)
            if appended is None:
                self._early[at] = read or 0
                return
        latency = float(max((read or 0) - appended, 0))
        self.latencies.append(latency)
        self._recent.append(latency)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
