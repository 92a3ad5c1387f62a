"""The reader that runs while faults strike: what it sees when, and how long each loss of a worker was felt."""

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from shared.adapters.kafka.positions import GroupPositions
from shared.core.errors import Unavailable
from shared.core.topics import topic
from tailrace.proof.tape import CONTROL, OUTCOMES, OUTPUTS, Row, Tape

_SAMPLE_S = 0.5


def process_of(attempt: str) -> str:
    """The slot and process of an attempt."""
    return ".".join(attempt.split(".")[:2])


@dataclass(slots=True)
class Outage:
    """Partitions that wait for an outcome since `since` (Unix s): of another process, or written after it woke."""

    since: float
    process: str
    waiting: set[int]
    woken: float = float("inf")
    seconds: float | None = None


@dataclass(slots=True)
class _State:
    inputs: int = 0
    rows: list[Row] = field(default_factory=list)
    scored: set[tuple[int, int]] = field(default_factory=set)
    owner: dict[int, str] = field(default_factory=dict)
    outages: list[Outage] = field(default_factory=list)


class Live(threading.Thread):
    """A read_committed reader of all topics, from their beginnings, in a thread.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str) -> None:
        super().__init__(name="proof-live", daemon=True)
        self._tape = Tape(conf, pipeline, ("records", *OUTPUTS), committed=True, keep=lambda *_: False)
        self._state, self._guard, self._ended = _State(), threading.Lock(), threading.Event()
        self.broken: BaseException | None = None

    def run(self) -> None:
        """Read until stopped."""
        try:
            with self._tape as tape:
                while not self._ended.is_set():
                    self._take(tape.read(0.1), time.time())
        except Exception as error:  # noqa: BLE001 - handed to whoever asks
            self.broken = error

    def stop(self) -> list[Row]:
        """End; everything that was seen of the outputs."""
        self._ended.set()
        self.join(30.0)
        if self.broken is not None:
            raise self.broken
        return self._state.rows

    def counts(self) -> tuple[int, int]:
        """How many inputs were seen, and how many positions with an outcome."""
        with self._guard:
            return self._state.inputs, len(self._state.scored)

    def owned(self, process: str) -> set[int]:
        """The partitions whose last outcome is of this process."""
        with self._guard:
            return {p for p, owner in self._state.owner.items() if owner == process}

    def owners(self) -> set[str]:
        """All processes that some partition's last outcome is of."""
        with self._guard:
            return set(self._state.owner.values())

    def lost(self, process: str, since: float) -> Outage:
        """A process was hit: measure until each partition that it owned has an outcome of another."""
        outage = Outage(since, process, self.owned(process))
        with self._guard:
            self._state.outages.append(outage)
        return outage

    def away(self, partitions: int, since: float) -> Outage:
        """The broker came back: measure until each partition has an outcome that was written after that."""
        outage = Outage(since, "", set(range(partitions)))
        with self._guard:
            self._state.outages.append(outage)
        return outage

    def _take(self, rows: list[Row], now: float) -> None:
        with self._guard:
            state = self._state
            for row in rows:
                if row.topic == "records":
                    state.inputs += 1
                elif row.topic != CONTROL:
                    state.rows.append(row)
                if row.topic in OUTCOMES:
                    state.scored.add(row.at)
                    process = process_of(row.attempt)
                    state.owner[row.at[0]] = process
                    for outage in state.outages:
                        _felt(outage, row, process, now)


def _felt(outage: Outage, row: Row, process: str, now: float) -> None:
    if row.at[0] not in outage.waiting or row.appended < outage.since * 1000:
        return
    if process != outage.process or row.appended >= outage.woken * 1000:
        outage.waiting.discard(row.at[0])
        if not outage.waiting:
            outage.seconds = now - outage.since


class Offsets(threading.Thread):
    """Looks at the group's committed offsets twice a second: (Unix ms after the answer, offset by partition)."""

    def __init__(self, conf: Mapping[str, Any], pipeline: str) -> None:
        super().__init__(name="proof-offsets", daemon=True)
        self._conf, self._pipeline = conf, pipeline
        self._ended = threading.Event()
        self.seen: list[tuple[int, dict[int, int]]] = []

    def run(self) -> None:
        """Look until stopped; while the broker is away there is nothing to see."""
        group = f"tailrace.{self._pipeline}.scorer"
        with closing(GroupPositions(self._conf, group, topic(self._pipeline, "records"), 2.0)) as positions:
            while not self._ended.wait(_SAMPLE_S):
                try:
                    committed = positions.committed()
                except Unavailable:
                    continue
                self.seen.append((int(time.time() * 1000), committed))

    def stop(self) -> list[tuple[int, dict[int, int]]]:
        """End; all that was seen."""
        self._ended.set()
        self.join(30.0)
        return self.seen
