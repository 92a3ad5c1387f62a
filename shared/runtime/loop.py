"""The transactional loop: the only `while` of the data plane. Every service that touches each record runs in it.

The numbers in the code are those of docs/delivery.md:

1. poll a batch, and the group's metadata with it; how much is steered by lag and latency target;
2. cut it at barriers, so that each part has one version;
3. run the step on each part (it looks features up in one round trip and scores; it writes nothing);
4. collect outputs, dead letters and the epochs that begin to act;
5. deliver: outputs, dead letters and offsets, with notes, in one transaction;
6. on an error do what the client's own flags say: abort and rewind, or renew the producer and rewind.

While more records wait than a batch takes, 5 is waited for by a thread and the loop goes on with 1 to 4 of the next
batch; `shared/runtime/under_way.py` says what that changes, and what it does not.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from shared.core.errors import Abortable, Fenced, LogError, Unavailable
from shared.core.limits import DeadLetterGuard
from shared.core.pacing import Pacer
from shared.core.pipeline import DeadLetterLimit
from shared.core.ports import Batch, Block, Clock, Message, Reject, Result, Source, Step
from shared.core.records import Committed, Note
from shared.runtime.aborts import MAX_ABORTS, Aborts
from shared.runtime.controls import Controls
from shared.runtime.delivery import Delivery
from shared.runtime.isolate import isolate
from shared.runtime.probe import Probe
from shared.runtime.under_way import Background, Done, Later, UnderWay, at_once

PAUSE = 0.5  # s before the next try when something outside is unavailable

Letters = Callable[[Sequence[Reject]], Block]
Connect = Callable[["Loop"], tuple[Source, Delivery]]


class Loop:
    """Runs one step over one input topic as a member of its consumer group.

    Args:
        connect: makes the source, with this loop as its listener, and the delivery that goes with it.
        step: the service's logic.
        controls: cuts batches by epoch.
        letters: makes the block of dead letters.
        pacer: steers the batch size.
        limit: when dead letters stop a partition.
        probe: what the world may see.
        clock: for durations.
        pause: waits so many seconds before the next try.
        background: runs deliveries while the loop goes on, where records queue up; None: each is waited for.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        step: Step,
        controls: Controls,
        letters: Letters,
        pacer: Pacer,
        limit: DeadLetterLimit,
        probe: Probe,
        clock: Clock,
        pause: Callable[[float], object] = time.sleep,
        background: Background | None = None,
    ) -> None:
        self._step, self._controls, self._letters = step, controls, letters
        self._pacer, self._limit, self._probe, self._clock = pacer, limit, probe, clock
        self._pause, self._background = pause, background
        self._stopping = False  # a plain flag: a signal handler that takes a lock may wait for the code it interrupted
        self._notes: dict[int, Note] = {}
        self._guards: dict[int, DeadLetterGuard] = {}
        self._aborts = Aborts()
        self._under_way = UnderWay(self._take_in)
        self._source, self._delivery = connect(self)

    def run(self) -> None:
        """Turn until stopped; then leave the group and let the producer go, whatever happened."""
        try:
            while not self._stopping:
                self.turn()
            self._hear()
        finally:
            self._under_way.wait()
            try:
                self._source.close()
            finally:
                self._delivery.close()

    def stop(self) -> None:
        """Finish the batch in hand, then end. May be called from a signal handler."""
        self._stopping = True

    def turn(self) -> None:
        """One batch, or one idle wait."""
        lag = self._source.lag()
        bounds = self._pacer.bounds(lag)
        batch = self._source.poll(bounds.limit, bounds.gather, bounds.idle)  # 1
        self._probe.turned(lag, bounds, len(batch.messages))
        self._controls.refresh()
        more = self._background is not None and 0 < len(batch.messages) < lag
        ahead = more and self._aborts.none()  # a suspect must fail in its own turn
        if not ahead and not self._hear():
            return
        for messages in self._aborts.portions(batch.messages):
            if not self._attempt(messages, batch, ahead=ahead):
                return

    def _attempt(self, messages: Sequence[Message], batch: Batch, *, ahead: bool) -> bool:
        """Process these; where that fails, put everything back to the committed offsets and say no."""
        try:
            self._process(messages, batch, ahead=ahead)
        except Unavailable as error:
            if self._hear():
                self._probe.unavailable(error)
                self._pause(PAUSE)
                self._rewind()
        except LogError as error:
            self._recover(error, self._under_way.blamed() or messages)
        else:
            return True
        return False

    def _hear(self) -> bool:
        """How the delivery under way ended; where it failed, put everything back and say no."""
        try:
            self._under_way.hear()
        except LogError as error:
            self._recover(error, self._under_way.blamed())
            return False
        return True

    def _process(self, messages: Sequence[Message], batch: Batch, *, ahead: bool) -> None:
        started = self._clock.monotonic()
        with self._probe.batch(messages):
            cut = self._controls.split(messages, self._notes)  # 2
            if cut.stranded:
                raise Unavailable(f"no version is in force for partitions {sorted(cut.stranded)}; train a model first")
            results = [isolate(self._step, part) for part in cut.parts]  # 3
            self._under_way.hear()
            rejects = [*cut.forged, *(r for result in results for r in result.rejects)]
            partitions = cut.partitions or [m.partition() for m in messages]
            kept = self._admitted(messages, partitions, rejects)
            if len(kept) < len(messages):  # a partition stopped: the others go on without it
                if kept:
                    self._process(kept, batch, ahead=ahead)
                return
            blocks = self._collect(results, rejects)  # 4
            blocks += self._controls.blocks(cut.applications)
            scored = self._clock.monotonic()
            last = dict(zip(partitions, messages, strict=True))
            later = self._deliver(blocks, last, cut.notes, batch, ahead=ahead)  # 5
        counts = [count for result in results for count in result.counts]
        self._notes.update({p: note for p, note in cut.notes.items() if p in self._notes})
        self._under_way.put(Done(later, messages, last, cut, rejects, counts, started, scored))
        if not ahead:
            self._under_way.hear()

    def _take_in(self, done: Done, ended: float) -> None:
        """A batch is durable: what holds now, and what is told of it."""
        for partition in done.cut.notes:
            if partition in self._guards:
                self._guards[partition].settle()
        self._aborts.clear(list(done.cut.notes))
        self._pacer.learn(len(done.messages), ended - done.started)
        seconds = done.scored - done.started, ended - done.scored
        self._probe.committed(done.messages, done.last, done.cut, done.rejects, *seconds)
        self._probe.count(done.counts)

    def _collect(self, results: Sequence[Result], rejects: Sequence[Reject]) -> list[Block]:
        blocks = [block for result in results for block in result.blocks]
        return [*blocks, self._letters(rejects)] if rejects else blocks

    def _deliver(
        self,
        blocks: Sequence[Block],
        last: Mapping[int, Message],
        notes: Mapping[int, Note],
        batch: Batch,
        *,
        ahead: bool,
    ) -> Later:
        if self._source.generation != batch.generation:
            raise Abortable("a partition was taken away while its batch was in hand", transient=True)
        offsets = {p: Committed(m.offset() + 1, notes[p]) for p, m in last.items()}

        def call() -> float:
            self._delivery.deliver(blocks, offsets, batch.token)
            return self._clock.monotonic()

        return ((ahead and self._background) or at_once)(call)

    def _admitted(
        self, messages: Sequence[Message], partitions: Sequence[int], rejects: Sequence[Reject]
    ) -> Sequence[Message]:
        """The messages of partitions that go on; the others are stopped, nothing of them is committed."""
        stopped: dict[int, str] = {}
        dead = {(r.message.partition(), r.message.offset()) for r in rejects}
        fates: dict[int, list[bool]] = {}
        for m in messages if dead else ():
            fates.setdefault(m.partition(), []).append((m.partition(), m.offset()) in dead)
        for partition, n in Counter(partitions).items():
            guard = self._guards[partition]
            why = guard.admit(fates[partition]) if dead else guard.admit_good(n)
            if why:
                stopped[partition] = why
        for partition, why in stopped.items():
            self._stop_partition(partition, why)
        return [m for m in messages if m.partition() not in stopped] if stopped else messages

    def _stop_partition(self, partition: int, why: str) -> None:
        self._source.stop(partition)
        self._probe.stopped(partition, why)

    def _recover(self, error: LogError, messages: Sequence[Message]) -> None:
        self._probe.failed(error)
        guilty = {} if error.transient else self._aborts.failed(messages)
        self._heal(error)  # 6
        self._rewind()
        for partition, offset in guilty.items():
            self._stop_partition(partition, f"{MAX_ABORTS} aborts in a row at offset {offset}: {error}")

    def _heal(self, error: LogError) -> None:
        """Make the delivery fit for the next batch. A log that is out of reach is waited for, not died of."""
        while not self._stopping:
            try:
                self._delivery.recover(error)
            except LogError as another:
                twin = isinstance(error, Fenced) and another is error  # the delivery's own verdict on a second fencing
                if twin or not another.transient:
                    raise
                self._probe.unavailable(Unavailable(str(another)))
                self._pause(PAUSE)
                error = another
            else:
                return

    def _rewind(self) -> None:
        while not self._stopping:
            try:
                self._source.rewind()
            except Unavailable as error:
                self._probe.unavailable(error)
                self._pause(PAUSE)
            else:
                return

    def assigned(self, positions: Mapping[int, Committed]) -> None:
        """Partitions came, or were rewound: from here on these positions and notes hold."""
        self._notes.update(self._controls.notes(positions))
        for partition in positions:
            self._guards.setdefault(partition, DeadLetterGuard(self._limit))
        self._probe.assigned(positions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Partitions go in good order; what is under way for them is waited for, and no other batch is held over."""
        self._under_way.wait()
        self._drop(partitions)
        self._probe.revoked(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        """Partitions are already someone else's: nothing of them may be committed, and the broker sees to that."""
        self._under_way.wait()
        self._drop(partitions)
        self._probe.lost(partitions)

    def _drop(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._notes.pop(partition, None)
            self._guards.pop(partition, None)
        self._aborts.clear(partitions)
        self._controls.dropped(partitions)
