"""The output side of the log in memory."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import cast

from shared.core.errors import Abortable, Fatal, LogError
from shared.core.ports import Block
from shared.core.records import Committed
from shared.testing.faults import Faults, MisuseError
from shared.testing.group import check_notes
from shared.testing.log import Log, Transaction


class MemorySink:
    """Implements `Sink`. What is produced reaches the log at the flush, or with the commit.

    Args:
        log: the broker.
        transactional_id: a newer sink of the same id fences this one; empty: no transactions.
    """

    def __init__(self, log: Log, transactional_id: str = "") -> None:
        self.log, self._id = log, transactional_id
        self._queue: list[Block] = []
        self._transaction: Transaction | None = None
        self._broken: LogError | None = None
        self.faults = Faults()
        self.calls: list[str] = []
        self._epoch = log.init(transactional_id) if transactional_id else 0

    def begin(self) -> None:
        """Begin a transaction."""

        def action() -> None:
            if not self._id:
                return
            if self._transaction is not None:
                raise MisuseError("begin within a transaction")
            self._transaction = self.log.begin(self._id, self._epoch)

        self._do("begin", action)

    def produce(self, block: Block) -> None:
        """Take a block into the queue."""
        self._do("produce", lambda: self._queue.append(block))

    def flush(self) -> None:
        """Bring the queue into the log."""
        self._do("flush", self._drain)

    def send_offsets(self, offsets: Mapping[int, Committed], token: object) -> None:
        """Add offsets to the transaction; a stale token is refused."""

        def action() -> None:
            group, member, generation = cast("tuple[str, str, int]", token)  # what MemorySource made
            self.log.check(self._id, self._epoch)
            self.log.group(group).check(member, generation)
            check_notes(offsets)
            self._open().offsets.setdefault(group, {}).update(offsets)

        self._do("send_offsets", action)

    def commit(self) -> None:
        """Commit the transaction."""

        def action() -> None:
            self._drain()
            if not self._id:
                return
            self.log.end(self._open(), self._epoch, "committed")
            self._transaction = None

        self._do("commit", action)

    def abort(self) -> None:
        """Abort the transaction."""
        if not self._id:
            return
        if self._transaction is None:
            raise Fatal("_STATE: no transaction is open")
        if not isinstance(self._broken, Abortable | None):
            raise MisuseError(f"abort after {self._broken!r}")
        self._broken = None

        def action() -> None:
            self._queue.clear()
            self.log.end(self._open(), self._epoch, "aborted")
            self._transaction = None

        self._do("abort", action)

    def renew(self) -> None:
        """A new producer with the same id."""

        def action() -> None:
            self._queue.clear()
            self._transaction = self._broken = None
            self._epoch = self.log.init(self._id) if self._id else 0

        self.calls.append("renew")
        self.faults.around("renew", action)

    def arrive(self) -> None:
        """What is queued reaches the log before the flush, as a client's background thread sends it."""
        self._drain()

    def late_commit(self) -> Callable[[], None]:
        """The commit that is under way by now: it takes effect when called, where the producer is not fenced then."""
        self._drain()
        transaction, epoch = self._open(), self._epoch

        def arrive() -> None:
            with suppress(LogError):  # its producer is fenced by now, or it timed out
                self.log.end(transaction, epoch, "committed")

        return arrive

    def close(self) -> None:
        """Let go: an open transaction is aborted where this is still the newest producer."""
        self.faults.around("close", self._close)

    def _close(self) -> None:
        self._queue.clear()
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            if transaction.state == "open":
                self.log.end(transaction, self._epoch, "aborted")

    def _open(self) -> Transaction:
        if self._transaction is None:
            raise MisuseError("no transaction is open")
        return self._transaction

    def _drain(self) -> None:
        if self._id:
            self.log.check(self._id, self._epoch)
        queue, self._queue = self._queue, []
        for block in queue:
            n = len(block.values)
            rows = zip(block.partitions or [-1] * n, block.keys, block.values, block.headers or [None] * n, strict=True)
            for partition, key, value, headers in rows:
                self.log.append(block.topic, partition, key, value, headers, self._transaction)

    def _do(self, call: str, action: Callable[[], None]) -> None:
        if self._broken is not None:
            raise MisuseError(f"{call} after {self._broken!r}")
        self.calls.append(call)
        try:
            self.faults.around(call, action)
        except LogError as error:
            self._broken = error
            raise
