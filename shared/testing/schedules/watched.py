"""The log in memory, which tells the books of everything that becomes visible."""

from collections.abc import Callable, Sequence
from typing import Literal

from shared.core.records import Headers
from shared.testing.log import Log, MemoryMessage, Transaction

INPUT = "in"


class WatchedLog(Log):
    """A log with two ears: `ended` hears of transactions, `appended` of records outside of any."""

    ended: Callable[[Transaction], None]
    appended: Callable[[Sequence[MemoryMessage]], None]

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        transaction: Transaction | None = None,
    ) -> int:
        """See `Log`."""
        offset = super().append(topic, partition, key, value, headers, transaction)
        if transaction is None and topic != INPUT:
            self.appended(self._entries[topic, max(partition, 0)][offset:])
        return offset

    def _end(self, transaction: Transaction, state: Literal["committed", "aborted"]) -> None:
        super()._end(transaction, state)
        if state == "committed":
            self.ended(transaction)
