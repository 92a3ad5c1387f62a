"""The input side of the log in memory."""

from collections.abc import Callable, Mapping

from shared.core.errors import Abortable, Unavailable
from shared.core.ports import Batch, Listener
from shared.core.records import Committed
from shared.core.refill import NoRefill, Refill
from shared.testing.faults import Faults
from shared.testing.group import check_notes
from shared.testing.log import Log, MemoryMessage


class MemorySource:
    """Implements `Source`: one member of a group.

    Args:
        log: the broker.
        group: the group's name.
        topic: the input topic.
        listener: told of the assignment.
        name: of this client; a new membership gets a number on top.
        refill: says which partitions start at their beginning, whatever is committed.
    """

    def __init__(
        self,
        log: Log,
        *,
        group: str,
        topic: str,
        listener: Listener,
        name: str = "worker",
        refill: Refill | None = None,
    ) -> None:
        self._refill = refill or NoRefill()
        self._log, self._topic, self._listener, self._name = log, topic, listener, name
        self._group_name, self._group = group, log.group(group, topic)
        self._next: dict[int, int] = {}
        self._stopped: set[int] = set()
        self._joined = self._turn = 0
        self.member = ""
        self._known = -1  # the group's generation as far as this member knows
        self._lost = False
        self.generation = 0
        self.faults = Faults()

    @property
    def owned(self) -> set[int]:
        """The partitions that this client believes to own."""
        return set(self._next)

    def token(self) -> object:
        """The group's metadata as of now. `poll` puts it into the batch; taking it later is the mistake."""
        return self._group_name, self.member, self._known

    def poll(self, limit: int, gather: float, idle: float) -> Batch:
        """See `Source.poll`; nothing is waited for."""
        del gather, idle
        if self._refill.due(self._next):
            self.rewind()
        self.faults.around("poll", self._sync)
        messages = self._take(limit)
        return Batch(messages, self.token(), self.generation)

    def rejoin(self) -> None:
        """Join again in the background, once it learns that it was thrown out.

        librdkafka 2.15 is kinder: it joins only after it told of the loss in a poll. Other clients need not be.
        """
        if self.member not in self._group.members:
            self._lost = self._lost or bool(self._next)
            self._joined += 1
            self.member = f"{self._name}#{self._joined}"
            self._group.join(self.member)
            self._known = self._group.generation

    def hear(self) -> None:
        """Learn the group's generation in the background, as clients do that keep their partitions in a rebalance."""
        if self.member in self._group.members:
            self._known = self._group.generation

    def rewind(self) -> None:
        """See `Source.rewind`."""
        self.faults.around("rewind", lambda: None)
        if self._log.pending(self._group_name) & self.owned:
            raise Unavailable("committed offsets: a transaction is still open")
        if self._next:
            self._place(self._group.committed(sorted(self._next)))

    def commit(self, offsets: Mapping[int, Committed]) -> None:
        """See `Source.commit`."""

        def action() -> None:
            if self._lost:  # a client that was thrown out commits nothing until it has told of the loss
                raise Abortable("UNKNOWN_MEMBER_ID: thrown out", transient=True)
            self._group.check(self.member, self._known)
            check_notes(offsets)
            self._group.offsets.update(offsets)

        self.faults.around("commit", action)
        self._refill.committed(offsets)

    def lag(self) -> int:
        """See `Source.lag`."""
        going = [(p, offset) for p, offset in self._next.items() if p not in self._stopped]
        return sum(max(self._log.stable(self._topic, p) - offset, 0) for p, offset in going)

    def stop(self, partition: int) -> None:
        """See `Source.stop`."""
        self._stopped.add(partition)

    def close(self) -> None:
        """Leave the group in good order."""
        self.faults.around("close", self._leave)

    def _leave(self) -> None:
        if self.member in self._group.members:
            self._give_up(self.owned, self._listener.revoked)
            self._group.remove(self.member)

    def _sync(self) -> None:
        self.rejoin()
        self._known = self._group.generation
        if self._lost:
            self._lost = False
            self._give_up(self.owned, self._listener.lost, release=False)
        self._give_up(self.owned - self._group.wanted(self.member), self._listener.revoked)
        if self._thrown_out():  # while that callback ran
            self._sync()
            return
        wanted, holders = self._group.wanted(self.member), self._group.holders
        free = {p for p in wanted - self.owned if holders.get(p, self.member) == self.member}
        fresh = sorted(free - self._log.pending(self._group_name)) if free else []
        if fresh:
            holders.update(dict.fromkeys(fresh, self.member))
            self._place(self._group.committed(fresh))
        if self._thrown_out():  # or that one: it is told before any record is given
            self._sync()

    def _thrown_out(self) -> bool:
        return self._lost

    def _give_up(self, partitions: set[int], tell: Callable[[list[int]], None], *, release: bool = True) -> None:
        if not partitions:
            return
        self.generation += 1
        member = self.member
        for partition in partitions:
            del self._next[partition]
            self._stopped.discard(partition)
        tell(sorted(partitions))
        if release:  # only now may another member have them
            self._group.release(p for p in partitions if self._group.holders.get(p) == member)

    def _place(self, positions: Mapping[int, Committed]) -> None:
        again = self._refill.begin(positions)
        told = {p: Committed(-1, c.note) if p in again else c for p, c in positions.items()}
        self._next.update({p: max(c.offset, 0) for p, c in told.items()})
        self._listener.assigned(told)

    def _take(self, limit: int) -> list[MemoryMessage]:
        """Runs of each partition's records; another partition comes first each time."""
        going = sorted(set(self._next) - self._stopped)
        self._turn += 1
        messages: list[MemoryMessage] = []
        for i in range(len(going)):
            partition = going[(i + self._turn) % len(going)]
            run = self._log.fetch(self._topic, partition, self._next[partition], limit - len(messages))
            if run:
                self._next[partition] = run[-1].offset() + 1
                messages += run
        return messages
