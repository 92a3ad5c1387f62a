"""Reading partitions side by side in event time, as far as they can be known.

A client hands out what it fetched, a partition at a time. After a pause a batch may hold weeks of one partition and
nothing of the others, and what merges them by event time would take the others for late. So records are held until
each partition that has more to give has given it, and are then handed on in order of event time.

A partition that says it has more and gives nothing (an open transaction, a broker that is away) is waited for so long
and then passed over until it speaks again; so is everything once too much is held. Then it is as without alignment.
That a partition has no more is known as of its last fetch only, so the broker is asked, a little later than the records
of the others were read: what a producer wrote before them is in its log by then.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Protocol

from shared.core.ports import Batch, Clock, Listener, Message, Source
from shared.core.records import Committed

PATIENCE = 1.0  # s
LINGER = 0.1  # s
MOST = 100_000  # records held
FETCH_BYTES = 131_072
"""What one fetch may bring of a partition: so much of each of the others is held while the last one is waited for."""

Moment = Callable[[Message], int | None]


class Partitioned(Source, Protocol):
    """A source that knows how far it is in each partition."""

    def behind(self, partition: int) -> int:
        """Records that wait in an owned partition beyond what was given; -1 while that is not known. No round trip."""

    def look(self, partition: int) -> int:
        """The same as the broker knows it now; -1 where it does not answer soon."""


class AlignedSource:
    """Implements `Source` over another one, and stands between it and the listener.

    What is held belongs to partitions that are owned without interruption since it was read: whatever the listener is
    told about a partition empties its queue. So the token of the last poll is good for all that a batch holds.

    Args:
        connect: makes the other source with this one as its listener.
        listener: told of the assignment.
        moment: the event time (ms) of a record; None where it has none: it goes with the one before it.
        clock: for patience.
    """

    def __init__(
        self, connect: Callable[[Listener], Partitioned], listener: Listener, moment: Moment, clock: Clock
    ) -> None:
        self._listener, self._moment, self._clock = listener, moment, clock
        self._queues: dict[int, deque[tuple[int, float, Message]]] = {}  # event time, when it was read, the record
        self._reached: dict[int, int] = {}  # event time of the last record that was read, a partition
        self._missed: dict[int, float] = {}  # since when a partition has been waited for
        self._looked: dict[int, float] = {}  # when a partition that has nothing was last known to have nothing
        self._full = False  # the last batch was cut at its limit: there is more that need not wait
        self._inner = connect(self)

    @property
    def generation(self) -> int:
        """See `Source`."""
        return self._inner.generation

    def poll(self, limit: int, gather: float, idle: float) -> Batch:
        """See `Source.poll`. Empty while records are held for a partition that has still to speak."""
        held = self._held()
        batch = self._inner.poll(
            limit if held < MOST else 1, gather, 0.0 if self._full else min(idle, LINGER) if held else idle
        )
        now = self._clock.monotonic()
        for message in batch.messages:
            partition, time = message.partition(), self._moment(message)
            time = self._reached.get(partition, 0) if time is None else time
            self._reached[partition] = time
            self._missed.pop(partition, None)
            self._queues[partition].append((time, now, message))
        return Batch(self._ready(limit), batch.token, batch.generation)

    def rewind(self) -> None:
        """See `Source.rewind`; the listener's call empties the queues."""
        self._inner.rewind()

    def commit(self, offsets: Mapping[int, Committed]) -> None:
        """See `Source.commit`."""
        self._inner.commit(offsets)

    def lag(self) -> int:
        """See `Source.lag`; what is held waits as well."""
        return self._inner.lag() + self._held()

    def stop(self, partition: int) -> None:
        """See `Source.stop`."""
        self._forget([partition])
        self._inner.stop(partition)

    def close(self) -> None:
        """See `Source.close`."""
        self._inner.close()

    def assigned(self, positions: Mapping[int, Committed]) -> None:
        """See `Listener`: from here on these positions hold, so that what was held of them will come again."""
        self._forget(positions)
        self._queues.update({partition: deque() for partition in positions})
        self._listener.assigned(positions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """See `Listener`."""
        self._forget(partitions)
        self._listener.revoked(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """See `Listener`."""
        self._forget(partitions)
        self._listener.lost(partitions)

    def _forget(self, partitions: Sequence[int] | Mapping[int, Committed]) -> None:
        for partition in partitions:
            for known in (self._queues, self._reached, self._missed, self._looked):
                known.pop(partition, None)

    def _held(self) -> int:
        return sum(map(len, self._queues.values()))

    def _expects(self, partition: int, now: float) -> bool:
        """Whether an empty queue may get a record that comes before those of the others."""
        behind = self._inner.behind(partition)
        if behind == 0 and now - self._looked.get(partition, float("-inf")) >= LINGER / 2:
            behind = self._inner.look(partition)
            if behind == 0:
                self._looked[partition] = now
        if behind == 0:
            self._missed.pop(partition, None)
            return False
        if now - self._missed.setdefault(partition, now) < PATIENCE:
            return True
        self._looked[partition] = now  # passed over: as if it had nothing
        return False

    def _ready(self, limit: int) -> list[Message]:
        """The records, in order of event time, up to where a partition may still have an earlier one."""
        self._full = False
        held = self._held()
        if not held:
            return []
        surplus = max(held - MOST, 0)  # so many go in any case
        now = self._clock.monotonic()
        empty = [partition for partition, queue in self._queues.items() if not queue]
        expected = [self._expects(partition, now) for partition in empty]  # each is looked at
        most = min(limit, surplus) if any(expected) else limit
        settled = min((self._settled(partition) for partition in empty), default=float("inf"))
        heads = [(queue[0][0], partition) for partition, queue in self._queues.items() if queue]
        heapify(heads)
        ready: list[Message] = []
        while heads and len(ready) < most:
            partition = heads[0][1]
            queue = self._queues[partition]
            if queue[0][1] > settled and len(ready) >= surplus:
                break
            ready.append(queue.popleft()[2])
            if queue:
                heapreplace(heads, (queue[0][0], partition))
                continue
            heappop(heads)
            if heads and self._expects(partition, now):
                most = min(most, surplus)
            settled = min(settled, self._settled(partition))
        self._full = len(ready) == limit
        return ready

    def _settled(self, partition: int) -> float:
        """What was read up to then precedes all that this empty partition may still get."""
        return self._looked.get(partition, float("-inf")) - LINGER
