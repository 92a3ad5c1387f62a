"""What may happen elsewhere while a worker is at some step: one method a kind, named in `mix.ACTIONS`.

Each returns what it did, for the trace, or nothing where there was nothing to do.
"""

from collections.abc import Sequence
from typing import Protocol

from shared.core.records import Note
from shared.testing.group import Group
from shared.testing.schedules.worker import Broker, Worker


class Cast(Broker, Protocol):
    """A schedule, as trouble sees it."""

    group: Group
    workers: list[Worker]

    def start(self, slot: int) -> Worker:
        """A new process for this slot."""

    def stall(self, worker: Worker) -> None:
        """This worker stands still from here on, and its session ends."""

    def vacant(self) -> Sequence[int]:
        """The slots without a process that its supervisor knows."""


class Trouble:
    """The kinds of trouble of one schedule."""

    def __init__(self, cast: Cast) -> None:
        self._cast, self._dice = cast, cast.dice

    def act(self) -> None:
        """One of the kinds that this schedule has."""
        self._do(self._dice.one(self._cast.mix.actions))

    def revive(self) -> None:
        """Someone who stands still goes on, or a process that is not there is started."""
        self._do(self._dice.one(("wake", "start")))

    def feed(self) -> None:
        """Something more in the input."""
        self._do(self._dice.one(("send", "send", "roll", "barrier")))

    def send(self) -> str:
        """A few records."""
        partition = self._dice.below(self._cast.mix.partitions)
        kinds = [self._dice.one(self._cast.mix.kinds) for _ in range(1 + self._dice.below(3))]
        return ", ".join(self._cast.stream.send(partition, kind) for kind in kinds)

    def barrier(self) -> str:
        """The next barrier that is due."""
        return self._cast.stream.barrier()

    def roll(self) -> str:
        """A new version."""
        return self._cast.stream.roll()

    def revoke(self) -> str:
        """A version is withdrawn."""
        return self._cast.stream.revoke(self._dice)

    def late(self) -> str:
        """Time passes: open transactions may time out, fencings be forgotten."""
        seconds = self._dice.one((0.1, 4.0, 15.0, 61.0))
        self._cast.clock.advance(seconds)
        self._cast.log.expire()
        return f"{seconds} s"

    def kill(self) -> str:
        """A process dies where it stands; its session goes on for a while."""
        worker = self._any(frozen=None)
        if worker is None:
            return ""
        worker.cause = "killed"
        return worker.name

    def expel(self) -> str:
        """The session of a member ends, without its knowledge."""
        members = self._cast.group.members
        if not members:
            return ""
        member = self._dice.one(members)
        self._cast.group.remove(member)
        return member

    def stall(self) -> str:
        """A worker stands still for longer than its session."""
        worker = self._any(frozen=False)
        if worker is not None:
            self._cast.stall(worker)
        return ""

    def wake(self) -> str:
        """A worker that stood still goes on, where it stood; its client may have joined again first."""
        worker = self._any(frozen=True)
        if worker is None:
            return ""
        worker.frozen = False
        if worker.source is None or self._dice.chance(0.3):
            return worker.name
        worker.source.rejoin()
        return f"{worker.name}, a member as {worker.member}"

    def rejoin(self) -> str:
        """A client learns that it was thrown out, and joins again in the background."""
        worker = self._any(frozen=None)
        if worker is None or worker.source is None or worker.member in self._cast.group.members:
            return ""
        worker.source.rejoin()
        return worker.member

    def hear(self) -> str:
        """A client learns the newest generation in the background."""
        worker = self._any(frozen=None)
        if worker is None or worker.source is None:
            return ""
        worker.source.hear()
        return worker.name

    def scramble(self) -> str:
        """Partitions move."""
        self._cast.group.scramble(self._dice.random)
        return f"generation {self._cast.group.generation}"

    def start(self) -> str:
        """A supervisor starts a process again."""
        vacant = self._cast.vacant()
        return self._cast.start(self._dice.one(vacant)).name if vacant else ""

    def twin(self) -> str:
        """A second process of a slot, while the first one may live."""
        return self._cast.start(self._dice.below(self._cast.mix.slots)).name

    def leave(self) -> str:
        """A process is asked to end: the batch in hand is finished."""
        worker = self._any(frozen=False)
        if worker is None or worker.loop is None:
            return ""
        worker.loop.stop()
        return worker.name

    def arrive(self) -> str:
        """A commit that was under way reaches the broker."""
        if not self._cast.under_way:
            return ""
        self._cast.under_way.pop(0)()
        return "a late commit"

    def forget(self) -> str:
        """An operator's reset to the same offset erases its note.

        Not while a transaction is open: what was committed to `rollouts` behind it cannot be read until it ends, and
        would not be found. Kafka refuses a reset while the group has members, so only one just after a kill meets it.
        """
        offsets = self._cast.group.offsets
        if not offsets or self._cast.log.open():
            return ""
        partition = self._dice.one(sorted(offsets))
        offsets[partition] = offsets[partition]._replace(note=Note())
        return f"the note of partition {partition}"

    def witness(self) -> str:
        """A reader that runs all the time reads on."""
        self._cast.books.witness(self._cast.log)
        return ""

    def _do(self, name: str) -> None:
        if said := str(getattr(self, name)()):
            self._cast.trace.add(name, said)

    def _any(self, *, frozen: bool | None) -> Worker | None:
        fit = [w for w in self._cast.workers if not w.dead and not w.ended and frozen in (None, w.frozen)]
        return self._dice.one(fit) if fit else None
