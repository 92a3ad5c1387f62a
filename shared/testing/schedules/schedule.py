"""One simulated schedule: a seed decides who runs, who dies and what the broker answers at every step of the loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.core.pipeline import DeadLetterLimit
from shared.testing.clock import ManualClock
from shared.testing.faults import Crash
from shared.testing.log import Transaction
from shared.testing.schedules.books import LIVE, Books, Violation
from shared.testing.schedules.mix import Dice, conditions, mixed
from shared.testing.schedules.strands import Strands
from shared.testing.schedules.stream import Stream
from shared.testing.schedules.trace import Told, Trace
from shared.testing.schedules.trouble import Trouble
from shared.testing.schedules.watched import INPUT
from shared.testing.schedules.worker import GROUP, Parts, Worker, offsets_as_text

LENGTH = 100  # steps with trouble; then there is peace
ROUNDS = 40  # of turns, and one more a record: within these all that is left must be done in peace
PEACE = 61.0  # s: longer than any time-out, and than a fencing is remembered
TURN = ("poll", "pause")
REAL = Parts()


@dataclass(frozen=True, slots=True)
class Run:
    """How a schedule ended: promises that were broken, records with an outcome, and steps with trouble."""

    seed: int
    length: int
    violations: Sequence[Violation]
    trace: Trace
    outcomes: int
    steps: int


class Schedule:
    """A seed's workers, log, stream and trouble. Implements `Cast`.

    Args:
        seed: decides everything.
        strands: where workers run.
        parts: what they are made of.
        length: steps with trouble; a shorter schedule of the same seed begins with the same steps.
    """

    def __init__(self, seed: int, strands: Strands, parts: Parts = REAL, length: int = LENGTH) -> None:
        self.seed, self.length, self.parts, self._strands = seed, length, parts, strands
        self.dice = Dice(seed)
        self.mix = mix = mixed(self.dice)
        self.clock, self.trace = ManualClock(), Trace()
        sizes = {INPUT: mix.partitions, "out": mix.partitions, "journal": mix.partitions, "dlq": 1, "rollouts": 1}
        self.log = parts.log(sizes, self.clock)
        self.group = self.log.group(GROUP, INPUT)
        self.stream = Stream(self.log, mix.partitions)
        self.books = Books(self.stream, self.group, exactly_once=mix.exactly_once, local=mix.local)
        self.log.ended = self._committed
        self.log.appended = self.books.visible
        self.under_way: list[Callable[[], None]] = []
        self.workers: list[Worker] = []
        self._posts: dict[int, Worker] = {}  # slot -> the process that its supervisor knows
        self._chosen: Worker | None = None
        self._steps = self._lives = 0
        self.calm = False
        self._trouble = Trouble(self)

    def run(self) -> Run:
        """Trouble, then peace; the books are closed at the end."""
        self.trace.add("seed", str(self.seed), Told(conditions, self.mix))
        for _ in range(3 + self.dice.below(6)):
            self._trouble.feed()
        for slot in range(self.mix.slots):
            self.start(slot)
        while self._steps < self.length and not self.books.violations:
            chosen, self._chosen = self._chosen or self._pick(), None
            if chosen is not None:
                chosen.strand.resume()
        if not self.books.violations:
            self._peace()
        if not self.books.violations:
            self._leave()
        self._end_all()
        if not self.books.violations:
            self.books.close(self.log)
        return Run(self.seed, self.length, tuple(self.books.violations), self.trace, self.books.outcomes, self._steps)

    def start(self, slot: int) -> Worker:
        """See `Cast`."""
        self._lives += 1
        limit = DeadLetterLimit() if self.calm else self.mix.limit
        worker = Worker(self, self._strands, slot, self._lives, limit)
        self._posts[slot] = worker
        self.workers.append(worker)
        return worker

    def vacant(self) -> Sequence[int]:
        """See `Cast`."""
        return [slot for slot, worker in self._posts.items() if worker.dead or worker.ended]

    def stall(self, worker: Worker) -> None:
        """See `Cast`."""
        self.trace.add("stall", worker.name)
        worker.frozen = True
        self.group.remove(worker.member)

    def at(self, worker: Worker, name: str) -> None:
        """See `Broker`."""
        if self.calm or self._steps >= self.length or self.books.violations:
            if name in TURN or not self.calm:
                self._park(worker)
            return
        self._steps += 1
        draw, mix = self.dice.draw(), self.mix
        if draw < mix.crash:
            worker.cause = f"at {name}"
            raise Crash(worker.cause)
        if draw < mix.crash + mix.stall:
            self.stall(worker)
        elif draw < mix.crash + mix.stall + mix.act:
            self._trouble.act()
        if name in TURN or worker.frozen or draw > 1.0 - mix.park:
            self._give_way(worker)
        if worker.dead:
            raise Crash(worker.cause)

    def _committed(self, transaction: Transaction) -> None:
        self.trace.add(transaction.owner, "is committed", Told(offsets_as_text, transaction.offsets.get(GROUP, {})))
        self.books.ended(self.log, transaction)

    def _park(self, worker: Worker) -> None:
        worker.strand.park()
        if worker.dead:
            raise Crash(worker.cause)

    def _give_way(self, worker: Worker) -> None:
        """Who goes on is chosen here already: a change of threads is dear, and it may be this one again."""
        self._chosen = self._pick()
        if self._chosen is worker:
            self._chosen = None
        else:
            self._park(worker)

    def _pick(self) -> Worker | None:
        """Who goes on; now and then something happens before."""
        self._steps += 1
        if self.dice.chance(self.mix.act):
            self._trouble.act()
        ready = [w for w in self.workers if not (w.dead or w.ended or w.frozen)]
        if not ready or self.dice.chance(self.mix.revive):
            self._trouble.revive()
            ready = [w for w in self.workers if not (w.dead or w.ended or w.frozen)]
        return self.dice.one(ready) if ready else None

    def _peace(self) -> None:
        """No more trouble: what is left must be done within a number of turns, and by those who live."""
        self.calm = True
        self.trace.add("peace", "begins")
        while self.stream.barrier():
            pass
        while self.dice.chance(0.8) and self._trouble.wake():
            pass
        if self.dice.chance(0.5):  # those who stood still go on before their transactions time out
            self._turns()
        while self.under_way:
            self._trouble.arrive()
        self.clock.advance(PEACE)
        self.log.expire()
        rounds = ROUNDS + sum(self._ends().values())
        for _ in range(rounds):
            self._supervise()
            self._turns()
            if self.books.violations or self._done():
                return
        self.books.broken(LIVE, f"after {rounds} turns in peace the committed offsets are {self.group.offsets}")

    def _turns(self) -> None:
        """Each worker that lives goes on, to the end of its turn."""
        for worker in self.workers:
            if not (worker.dead or worker.ended or worker.frozen):
                worker.strand.resume()

    def _supervise(self) -> None:
        for worker in self.workers:
            worker.frozen = False
            if worker.probe.halted:  # an operator mended what stopped the partition, and restarts the worker
                worker.cause = "restarted"
            if worker.dead or worker.ended:
                self.group.remove(worker.member)
        for slot in self.vacant():
            self.start(slot)

    def _done(self) -> bool:
        return all(end == 0 or self.group.committed([p])[p].offset == end for p, end in self._ends().items())

    def _ends(self) -> dict[int, int]:
        return {p: self.log.size(INPUT, p) for p in range(self.mix.partitions)}

    def _leave(self) -> None:
        """All are asked to end, and no transaction stays open."""
        for worker in self.workers:
            if worker.loop is not None:
                worker.loop.stop()
        for _ in range(4):
            self._turns()
        for worker in self.workers:
            if not (worker.dead or worker.ended):
                self.books.broken(LIVE, f"{worker.name} did not end when asked to")
        if self.log.open():
            self.books.broken(LIVE, "a transaction is still open after all have ended")

    def _end_all(self) -> None:
        for worker in self.workers:
            worker.cause = worker.cause or "the schedule is over"
            while worker.strand.busy:
                worker.strand.resume()
            self._strands.give_back(worker.strand)
