"""How a batch's outputs and its offsets become durable: together (exactly once), or outputs first (at least once)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from shared.core.errors import Abortable, Fenced, LogError
from shared.core.ports import Block, Clock, Sink, Source
from shared.core.records import Committed
from shared.runtime.watchdog import Watchdog

Mark = Callable[[str], None]
FENCED_TWICE_WITHIN = 60.0  # s: after a stall one fencing is normal, a second one so soon means a living twin


def no_mark(_: str) -> None:
    """The usual mark: nothing happens at the named steps of a delivery."""


class Delivery(Protocol):
    """Makes one batch durable. `mark` is called at each named step, so that tests can crash there."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None: ...
    def recover(self, error: LogError) -> None:
        """After a failed delivery: make the next one possible. The caller rewinds the source afterwards."""

    def close(self) -> None: ...


class ExactlyOnce:
    """Outputs, dead letters and offsets in one Kafka transaction (KIP-447, one producer a worker)."""

    def __init__(self, sink: Sink, watchdog: Watchdog, clock: Clock, mark: Mark = no_mark) -> None:
        self._sink, self._watchdog, self._clock, self._mark = sink, watchdog, clock, mark
        self._fenced_at = float("-inf")

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """Begin, produce, flush, send offsets, commit. Raises a `LogError`; the transaction is then still open."""
        with self._watchdog.step("transaction"):
            self._sink.begin()
            self._mark("begun")
            for block in blocks:
                self._sink.produce(block)
            self._mark("produced")
            self._sink.flush()
            self._mark("flushed")
            self._sink.send_offsets(offsets, token)
            self._mark("offsets_sent")
            self._sink.commit()
            self._mark("committed")

    def recover(self, error: LogError) -> None:
        """Abort where the client says so; otherwise, or if the abort fails, a new producer with the same id.

        Raises:
            Fenced: for the second time within a minute: another live worker has this transactional id.
        """
        if isinstance(error, Fenced):
            if self._clock.monotonic() - self._fenced_at < FENCED_TWICE_WITHIN:
                raise error
            self._fenced_at = self._clock.monotonic()
        if isinstance(error, Abortable):
            try:
                with self._watchdog.step("abort"):
                    self._sink.abort()
            except LogError:
                pass  # a renewed producer ends the open transaction as well
            else:
                return
        with self._watchdog.step("renew"):
            self._sink.renew()

    def close(self) -> None:
        """Let the producer go; an open transaction is aborted."""
        with self._watchdog.step("close"):
            self._sink.close()


class AtLeastOnce:
    """The same without the transaction: flush, and only then commit the offsets."""

    def __init__(self, sink: Sink, source: Source, watchdog: Watchdog, mark: Mark = no_mark) -> None:
        self._sink, self._source, self._watchdog, self._mark = sink, source, watchdog, mark

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """Produce, flush, commit the offsets. The token is not needed: a lost partition's commit is refused."""
        del token
        with self._watchdog.step("transaction"):
            for block in blocks:
                self._sink.produce(block)
            self._mark("produced")
            self._sink.flush()
            self._mark("flushed")
            self._source.commit(offsets)
            self._mark("committed")

    def recover(self, error: LogError) -> None:
        """A new producer, unless the offsets alone were refused."""
        if not isinstance(error, Abortable):
            with self._watchdog.step("renew"):
                self._sink.renew()

    def close(self) -> None:
        """Let the producer go."""
        with self._watchdog.step("close"):
            self._sink.close()
