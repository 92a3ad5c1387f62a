"""A worker process of a simulated schedule: the real loop and delivery over the log in memory, on a strand."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from shared.core.deadletter import dead_letters
from shared.core.errors import LogError, Unavailable
from shared.core.pacing import Pacer
from shared.core.pipeline import DeadLetterLimit
from shared.core.ports import Listener, Message, Part, Result
from shared.core.records import Committed
from shared.core.rollout import RolloutTable
from shared.runtime.controls import Barriers
from shared.runtime.delivery import AtLeastOnce, Delivery, ExactlyOnce
from shared.runtime.follow import application_block
from shared.runtime.loop import Loop
from shared.runtime.probe import Probe
from shared.runtime.under_way import Call, Later
from shared.runtime.watchdog import Watchdog
from shared.testing.clock import ManualClock
from shared.testing.faults import Crash
from shared.testing.schedules.answers import NOTHING_THERE, OFFSETS, PLAIN, REFUSED, TRANSACTIONAL, Answer, Answers
from shared.testing.schedules.books import I8, SOUND, Books, applications
from shared.testing.schedules.mix import Dice, Mix
from shared.testing.schedules.strands import Strand, Strands
from shared.testing.schedules.stream import Copy, Stream, score
from shared.testing.schedules.trace import Told, Trace
from shared.testing.schedules.watched import WatchedLog
from shared.testing.sink import MemorySink
from shared.testing.source import MemorySource

GROUP = "scorers"
RARE = {"poll": 0.1}  # it ends the process: oftener, and little else would be tried


def offsets_as_text(positions: Mapping[int, Committed]) -> str:
    """Offsets with their notes, e.g. `0->5 (epoch 2, acting 1)`."""
    return ", ".join(
        f"{p}->{c.offset} (epoch {c.note.epoch}, acting {c.note.acting})" for p, c in sorted(positions.items())
    )


def _records(part: Part) -> str:
    return " ".join(f"{m.partition()}/{m.offset()}" for m in part.messages) + f" by epoch {part.epoch}"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker and its broker are made of; a planted bug is another part here."""

    loop: type[Loop] = Loop
    exactly_once: type[ExactlyOnce] = ExactlyOnce
    at_least_once: type[AtLeastOnce] = AtLeastOnce
    controls: type[Barriers] = Barriers
    source: type[MemorySource] = MemorySource
    log: type[WatchedLog] = WatchedLog


class Broker(Protocol):
    """What all workers of a schedule share."""

    log: WatchedLog
    clock: ManualClock
    stream: Stream
    books: Books
    dice: Dice
    mix: Mix
    trace: Trace
    parts: Parts
    under_way: list[Callable[[], None]]
    calm: bool

    def at(self, worker: "Worker", name: str) -> None:
        """A worker reached this step: let others go on, or let something happen."""


class Blind(Probe):
    """Sees only which partitions are stopped: metrics and log lines have tests of their own."""

    def __init__(self) -> None:
        self.halted: dict[int, str] = {}

    def batch(self, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """No span."""
        del messages
        return nullcontext()

    def stopped(self, partition: int, why: str) -> None:
        """Remember it."""
        self.halted[partition] = why

    def revoked(self, partitions: Sequence[int]) -> None:
        """Not ours any more."""
        for partition in partitions:
            self.halted.pop(partition, None)

    lost = revoked

    def turned(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    assigned = committed = count = failed = unavailable = turned


class Deferred:
    """A delivery that happens when it is first waited for, at the latest. Implements `Later`."""

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call
        self._error: LogError | None = None
        self._ended = 0.0

    def wait(self) -> None:
        """See `Later`; who dies in it dies here."""
        call, self._call = self._call, None
        if call is not None:
            try:
                self._ended = call()
            except LogError as error:
                self._error = error

    def result(self) -> float:
        """See `Later`."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._ended


class Heard:
    """A listener that may be stopped, or die, in the callbacks of a rebalance."""

    def __init__(self, listener: Listener, at: Callable[..., None]) -> None:
        self._listener, self._at = listener, at

    def assigned(self, positions: Mapping[int, Committed]) -> None:
        """See `Listener`."""
        self._at("assigned", Told(offsets_as_text, positions))
        self._listener.assigned(positions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """See `Listener`."""
        self._at("revoked", partitions)
        self._listener.revoked(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """See `Listener`."""
        self._at("lost", partitions)
        self._listener.lost(partitions)


class Worker:
    """One process, from its start to its end.

    Args:
        broker: the schedule that it lives in.
        strands: where it runs.
        slot: its transactional id; a newer process of the same slot fences it.
        life: its number, for its name.
        limit: when dead letters stop a partition.
    """

    def __init__(self, broker: Broker, strands: Strands, slot: int, life: int, limit: DeadLetterLimit) -> None:
        self._broker, self._limit = broker, limit
        self.slot, self.name = slot, f"w{slot}.{life}"
        self.frozen = self.ended = self._refused = False
        self.cause = ""  # of its death
        self.probe = Blind()
        self._copy = Copy(broker.stream, broker.dice, broker.mix.lag)
        self.loop: Loop | None = None
        self.source: MemorySource | None = None
        self.strand: Strand = strands.take(self.main)

    @property
    def dead(self) -> bool:
        """Killed: nothing that it still does has an effect."""
        return bool(self.cause)

    @property
    def member(self) -> str:
        """Its name in the group; empty before it joined."""
        return self.source.member if self.source else ""

    def main(self) -> None:
        """The process."""
        said = "ended in order"
        try:
            self.loop = self._build()
            self.loop.run()
        except Crash:
            said = f"is dead ({self.cause})"
        except (LogError, Unavailable) as error:  # the supervisor starts it again
            said = f"ended: {error!r}"
        except Exception as error:  # noqa: BLE001 - whatever else a worker raises is a bug of ours, found
            said = f"broke: {error!r}"
            self._broker.books.broken(SOUND, f"{self.name} raised {error!r}")
        self.ended = True
        self._broker.trace.add(self.name, said)

    def at(self, name: str, detail: object = "") -> None:
        """See `Caller`."""
        if self.dead:
            raise Crash(self.cause)
        self._broker.trace.add(self.name, name, detail)
        self._broker.at(self, name)

    def answer(self, choices: Sequence[Answer], call: str) -> Answer | None:
        """See `Caller`."""
        if self._broker.calm:
            return None
        if call == "flush" and self._refused:
            self._refused = False
            return REFUSED[self._broker.mix.exactly_once]
        mix = self._broker.mix
        if mix.answered not in ("", call) or self._broker.dice.draw() >= mix.answer * RARE.get(call, 1.0):
            return None
        when, error = self._broker.dice.one(choices)
        self._broker.trace.add(self.name, call, f"answered {type(error()).__name__} ({when})")
        return when, error

    def done(self, call: str) -> None:
        """See `Caller`."""
        if call == "commit":
            self._broker.books.offsets()

    def step(self, part: Part) -> Result:
        """The service's logic, which may be interrupted, and may find its cache gone."""
        broker = self._broker
        self.at("step")
        broker.trace.add(self.name, "scores", Told(_records, part))
        known = self._copy.table.get(part.epoch)
        if known is None or known.state != "active":
            broker.books.broken(I8, f"{self.name} scores {_records(part)}, and knows that this epoch is not active")
        if answer := self.answer(NOTHING_THERE, "step"):
            error = answer[1]()
            raise error
        self._refused = self._refused or any(m.value() == b"cursed" for m in part.messages)
        return score(part)

    def _build(self) -> Loop:
        broker = self._broker
        return broker.parts.loop(
            connect=self._connect,
            step=self.step,
            controls=broker.parts.controls(
                self._refresh, lambda: applications(broker.log), application_block("rollouts"), local=broker.mix.local
            ),
            letters=lambda rejects: dead_letters("dlq", "in", rejects),
            pacer=Pacer(max_batch=broker.mix.max_batch, latency_target=0.1, gather=0.003),
            limit=self._limit,
            probe=self.probe,
            clock=broker.clock,
            pause=self._pause,
            background=self._begin if broker.mix.exactly_once and broker.mix.ahead else None,
        )

    def _connect(self, loop: Loop) -> tuple[MemorySource, Delivery]:
        broker, parts = self._broker, self._broker.parts
        listener = Heard(loop, self.at)
        source = parts.source(broker.log, group=GROUP, topic="in", listener=listener, name=self.name)
        source.faults = Answers(self, OFFSETS)
        sink = MemorySink(broker.log, f"shop.{self.slot}" if broker.mix.exactly_once else "")
        self.source, watchdog = source, Watchdog(broker.clock, 1e9)
        if not broker.mix.exactly_once:
            sink.faults = Answers(self, PLAIN)
            return source, parts.at_least_once(sink, source, watchdog, self._mark)

        def arrive() -> None:
            if broker.dice.chance(0.2):
                sink.arrive()

        sink.faults = Answers(self, TRANSACTIONAL, arrive, lambda: broker.under_way.append(sink.late_commit()))
        return source, parts.exactly_once(sink, watchdog, broker.clock, self._mark)

    def _begin(self, call: Call) -> Later:
        """A delivery under way: it happens at once and is heard of later, or not before it is asked for."""
        later = Deferred(call)
        if self._broker.dice.chance(0.5):
            later.wait()
        else:
            self.at("ahead")
        return later

    def _mark(self, name: str) -> None:
        """The end of a delivery; every other step of it is seen as the next call."""
        if name == "committed":
            self.at(name)

    def _refresh(self, to_end: bool) -> RolloutTable:  # noqa: FBT001 - the port's shape
        self._refused = False  # a new batch is cut: what an older one held says nothing of it
        return self._copy.refresh(to_end)

    def _pause(self, seconds: float) -> None:
        self._broker.clock.advance(seconds)
        self.at("pause")
