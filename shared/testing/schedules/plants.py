"""Bugs, planted on purpose: each is a part of the real one with one thing wrong, and the simulation must find it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

from shared.core.errors import Indefinite, LogError
from shared.core.ports import Batch, Block, Message
from shared.core.records import Committed, Note
from shared.core.rollout import Split, is_control, split
from shared.runtime.controls import Barriers
from shared.runtime.delivery import AtLeastOnce, ExactlyOnce
from shared.runtime.loop import Loop
from shared.runtime.under_way import Later, UnderWay
from shared.testing.schedules.watched import WatchedLog
from shared.testing.schedules.worker import Parts
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource


class CommitFirst(ExactlyOnce):
    """The offsets are committed, and only then are the outputs published."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        super().deliver([], offsets, token)
        super().deliver(blocks, {}, token)


class OffsetTooFar(ExactlyOnce):
    """One more than the last processed plus one: a record is passed over."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        super().deliver(blocks, {p: c._replace(offset=c.offset + 1) for p, c in offsets.items()}, token)


class OffsetTooShort(ExactlyOnce):
    """The last processed, without the one: its record is read again."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        super().deliver(blocks, {p: c._replace(offset=c.offset - 1) for p, c in offsets.items()}, token)


class NoRewind(Loop):
    """After an abort it goes on where it was: the aborted batch is lost."""

    def _rewind(self) -> None:
        """Nothing."""


class LateBarrier(Barriers):
    """A barrier acts one record late."""

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """See `Controls`."""
        late = list(messages)
        for i in range(len(late) - 1):
            this, following = late[i], late[i + 1]
            if is_control(this.headers() or []) and this.partition() == following.partition():
                late[i], late[i + 1] = following, this
        return super().split(late, notes)


class StaleCopy(Barriers):
    """A worker's own copy of `models` is believed, although the note of a partition says more: as it once was."""

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """See `Controls`."""
        cut = split(messages, notes, self._read(False), local=self._local)
        return super().split(messages, notes) if cut.forged or cut.stranded else cut


class FreshToken(Loop):
    """The group's metadata is taken at the commit, not with the batch."""

    def _deliver(
        self,
        blocks: Sequence[Block],
        last: Mapping[int, Message],
        notes: Mapping[int, Note],
        batch: Batch,
        *,
        ahead: bool,
    ) -> Later:
        source = cast("MemorySource", self._source)
        fresh = Batch(batch.messages, source.token(), source.generation)
        return super()._deliver(blocks, last, notes, fresh, ahead=ahead)


class Deaf(UnderWay):
    """Whatever a delivery under way came to, it is taken for done."""

    def hear(self) -> None:
        """See `UnderWay`."""
        with suppress(LogError):
            super().hear()


class DoesNotHear(Loop):
    """How a delivery under way ended is never asked."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._under_way = Deaf(self._take_in)


class LetsGo(Loop):
    """A partition is let go of while a delivery for it is under way; the notes of the next owner may be older."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """See `Listener`."""
        self._drop(partitions)
        self._probe.revoked(partitions)


class NoFencing(WatchedLog):
    """The broker lets a fenced producer go on."""

    def check(self, owner: str, epoch: int) -> None:
        """See `Log`: whoever it is, it may."""


class LettersOutside(ExactlyOnce):
    """Dead letters are sent by a producer of their own, at once."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        aside = MemorySink(cast("MemorySink", self._sink).log)
        for block in blocks:
            if block.topic == "dlq":
                aside.produce(block)
        aside.flush()
        super().deliver([b for b in blocks if b.topic != "dlq"], offsets, token)


class UnknownIsCommitted(ExactlyOnce):
    """A commit whose end is unknown is taken for done."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        try:
            super().deliver(blocks, offsets, token)
        except Indefinite:
            self._sink.renew()


class UnknownIsAborted(ExactlyOnce):
    """A commit whose end is unknown is taken for not done, and made once more."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        try:
            super().deliver(blocks, offsets, token)
        except Indefinite:
            self._sink.renew()
            super().deliver(blocks, offsets, token)


class OldNotes(Loop):
    """A rewind leaves the notes as they were in memory: a barrier of a batch that was committed after all is lost."""

    def assigned(self, positions: Mapping[int, Committed]) -> None:
        """See `Listener`."""
        had = dict(self._notes)
        super().assigned(positions)
        self._notes.update(had)


class HeldOver(MemorySource):
    """Records that were prefetched are given after a rebalance, whoever owns their partition by then."""

    def poll(self, limit: int, gather: float, idle: float) -> Batch:
        """See `Source`."""
        self.faults.around("prefetch", lambda: None)
        held = self._take(limit)
        batch = super().poll(limit, gather, idle)
        return Batch(held or batch.messages, batch.token, batch.generation)


class Unstable(WatchedLog):
    """Committed offsets are read while a transaction may still change them."""

    def pending(self, group: str) -> set[int]:
        """See `Log`: none, it says."""
        del group
        return set()


class OffsetsFirst(AtLeastOnce):
    """At least once, the wrong way round: the offsets are committed, then the outputs are sent."""

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        self._source.commit(offsets)
        for block in blocks:
            self._sink.produce(block)
        self._sink.flush()
        del token


class GivesUp(MemorySource):
    """A partition that was rewound is never read again."""

    def rewind(self) -> None:
        """See `Source`."""
        super().rewind()
        for partition in self._next:
            self.stop(partition)


class NeverRenews(ExactlyOnce):
    """After an error that ends the producer, it is used on."""

    def recover(self, error: LogError) -> None:
        """See `Delivery`."""
        if not isinstance(error, Indefinite):
            super().recover(error)


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug by name: the parts that have it, and the invariants by which it shows."""

    parts: Parts
    breaks: frozenset[str]


def _plant(breaks: str, **parts: object) -> Plant:
    return Plant(Parts(**parts), frozenset(breaks.split()))  # type: ignore[arg-type] # the table below names parts


PLANTS: Final = {
    "commit before publish": _plant("I3", exactly_once=CommitFirst),
    "offset one too far": _plant("I1 I3 live", exactly_once=OffsetTooFar),
    "offset one too short": _plant("I2 I6 live", exactly_once=OffsetTooShort),
    "no rewind after an abort": _plant("I3 I8 live", loop=NoRewind),
    "a barrier applied late": _plant("I8", controls=LateBarrier),
    "an old copy of models believed": _plant("I8", controls=StaleCopy),
    "group metadata taken at the commit": _plant("I2", loop=FreshToken),
    "a delivery under way that is never heard of": _plant("I1 I3 I8 live sound", loop=DoesNotHear),
    "fencing ignored": _plant("I7", log=NoFencing),
    "dead letters outside of the transaction": _plant("I6", exactly_once=LettersOutside),
    "an unknown commit taken for done": _plant("I3 I8 live", exactly_once=UnknownIsCommitted),
    "an unknown commit taken for not done": _plant("I2", exactly_once=UnknownIsAborted),
    "notes not restored by a rewind": _plant("I8", loop=OldNotes),
    "a revoked partition's batch delivered": _plant("I2 I3 I8 live sound", source=HeldOver),
    "offsets read while a transaction may change them": _plant("I2", log=Unstable),
    "at least once: offsets before outputs": _plant("I3", at_least_once=OffsetsFirst),
    "a rewound partition is never read again": _plant("live", source=GivesUp),
    "a producer used on after a fatal error": _plant("sound", exactly_once=NeverRenews),
}
