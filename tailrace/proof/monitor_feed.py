"""Sends the play: observations in transactions like a scorer's, many of them aborted and done again; then labels."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any, Self

from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.kafka.sink import KafkaSink
from shared.core.errors import Unavailable
from shared.core.ports import Block
from shared.core.topics import topic
from shared.runtime.clock import SystemClock
from tailrace.proof.monitor_script import SLOTS, Attempt, Step, Written

DIES = 6
BEHIND = 2  # steps that the label router may be behind
_WAIT_S, _POLL_S = 120.0, 0.02
_TRANSACTION_S, _CALL_S = 30.0, 10.0


class Feed:
    """Plays steps; a context manager.

    Args:
        conf: connection settings of the client.
        pipeline: its name.
    """

    def __init__(self, conf: Mapping[str, Any], pipeline: str) -> None:
        self._journal, self._labels = topic(pipeline, "journal"), topic(pipeline, "labels")
        self._sinks = [
            KafkaSink(
                conf, transactional_id=f"{pipeline}.proof.{slot}", transaction_timeout=_TRANSACTION_S,
                call_timeout=_CALL_S, clock=SystemClock(),
            )
            for slot in range(SLOTS)
        ]  # fmt: skip
        self._publisher = KafkaPublisher(conf)
        self._router = GroupPositions(conf, f"tailrace.{pipeline}.labels", self._labels)
        self._sent: dict[int, int] = {}  # of each partition of `labels`: the offset after the last one
        self._passed: list[dict[int, int]] = []
        self.committed = self.aborted = self.labels = 0
        """Transactions that were committed and aborted, and labels that were sent."""
        self.stopped = False
        """Set to end `play` early."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.enter_context(closing(self._router))
            for sink in self._sinks:
                stack.enter_context(closing(sink))

    def play(self, steps: Iterable[Step], left: Callable[[], float], count: int) -> None:
        """Send steps, at the pace at which they last as long as there is something `left` to wait for (s).

        Args:
            steps: of the script.
            left: how long the pace is to be held, s.
            count: how many steps there are.

        Raises:
            Unavailable: the broker or the label router does not answer.
        """
        for n, step in enumerate(steps):
            self._gate()
            began = time.monotonic()
            self.write(step.attempts)
            self._label(step)
            pause = began + left() / max(count - n, 1) - time.monotonic()
            while pause > 0 and not self.stopped:
                time.sleep(min(pause, _POLL_S))
                pause -= _POLL_S
            if self.stopped:
                return

    def write(self, attempts: Iterable[Attempt]) -> None:
        """Transactions: each is committed in the end. One in `DIES` that are aborted dies with its scorer."""
        for attempt in attempts:
            sink = self._sinks[attempt.slot]
            for _ in range(attempt.aborts):
                self.aborted += 1
                sink.begin()
                rows = [*attempt.written, *attempt.ghosts]
                sink.produce(self._block(rows, [one.aborted for one in rows]))
                sink.flush()
                if self.aborted % DIES:
                    sink.abort()
                else:
                    sink.renew()  # the next life of its transactional id ends it
            sink.begin()
            sink.produce(self._block(attempt.written, [one.value for one in attempt.written]))
            sink.flush()
            sink.commit()
            self.committed += 1

    def behind(self) -> int:
        """Labels that the router has not committed yet."""
        at = self._router.committed()
        return sum(max(offset - at.get(partition, 0), 0) for partition, offset in self._sent.items())

    def _block(self, rows: list[Written], values: list[bytes | None]) -> Block:
        return Block(self._journal, [one.key for one in rows], values, None, [one.partition for one in rows])

    def _label(self, step: Step) -> None:
        for key, value in step.labels:
            self._publisher.send(self._labels, key, value, None, self._acknowledged)
        self._publisher.flush(_WAIT_S)
        self.labels += len(step.labels)
        self._passed.append(dict(self._sent))

    def _acknowledged(self, partition: int, offset: int) -> None:
        self._sent[partition] = max(self._sent.get(partition, 0), offset + 1)

    def _gate(self) -> None:
        """Wait until the router has passed on the labels of some steps before: the books count on it."""
        if len(self._passed) < BEHIND:
            return
        wanted = self._passed[-BEHIND]
        deadline = time.monotonic() + _WAIT_S
        while any(self._router.committed().get(p, 0) < offset for p, offset in wanted.items()):
            if time.monotonic() > deadline:
                raise Unavailable(f"the label router stays {self.behind():,} labels behind")
            time.sleep(_POLL_S)
