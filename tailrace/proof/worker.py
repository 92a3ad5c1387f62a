"""A scorer of the proof: `python -m tailrace.proof.worker PIPELINE`. The real wiring; only its delivery is wrapped.

The wrapper says on disk what it attempts, marks each message with its attempt, and hits itself where it is told to,
so that no service has a branch for proofs. PROOF_TRAIL is the folder of trails and orders. With PROOF_MUTANT set to
`fresh_token` the group's metadata is taken at the commit: a planted bug that the checker must find.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.scorer.main import main
from shared.adapters.kafka.source import KafkaSource
from shared.core.errors import LogError
from shared.core.ports import Block, Clock, Sink, Source
from shared.core.records import Committed
from shared.runtime import worker
from shared.runtime.delivery import AtLeastOnce, Delivery, ExactlyOnce
from shared.runtime.watchdog import Watchdog
from shared.runtime.worker import exit_code
from tailrace.proof.trail import HEADER, TAKEN, Trail, ordered

BEFORE_COMMIT = frozenset({TAKEN, "begun", "produced", "flushed"})
MUTANT = "fresh_token"


class Kept(KafkaSource):
    """The real source; the one that was made last can be found again."""

    last: "Kept"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        Kept.last = self

    def win_back(self) -> None:
        """Serve the client until the partitions were lost and are there again, as the next poll would."""
        before = self.generation
        while self.generation == before or not self._next:
            self._consumer.poll(0.2)
        self.rewind()  # what was taken from the client's queue meanwhile comes again

    def fresh(self) -> object:
        """The group's metadata as of now."""
        return (self._topic, self._consumer.consumer_group_metadata())


class Hand:
    """What the faults of one worker need to know: where it is, and what it is told to do there."""

    def __init__(self, folder: Path, trail: Trail) -> None:
        self.folder, self.trail = folder, trail
        self.step = TAKEN

    def mark(self, step: str) -> None:
        """A named step was passed; a fault that is ordered for it happens here."""
        self.step = step
        kind = ordered(self.folder, self.trail.slot, step)
        if not kind:
            return
        self.trail.tell("fault", text=f"{kind}:{step}")
        os.kill(os.getpid(), signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
        self.trail.tell("woke", text=f"{kind}:{step}")
        if kind == "hold":
            Kept.last.win_back()
            self.trail.tell("woke", text="won back")


class Traced:
    """A delivery that leaves a trail.

    Args:
        inner: the real one.
        hand: of this worker.
        mutant: name of a planted bug, empty for none.
        transactional: whether a failure before the commit means that nothing is ever seen.
    """

    def __init__(self, inner: Delivery, hand: Hand, mutant: str, *, transactional: bool) -> None:
        self._inner, self._hand, self._mutant, self._transactional = inner, hand, mutant, transactional
        self._life = self._n = 0

    def deliver(self, blocks: Sequence[Block], offsets: Mapping[int, Committed], token: object) -> None:
        """See `Delivery`."""
        hand, trail = self._hand, self._hand.trail
        self._n += 1
        attempt = f"{trail.slot}.{os.getpid()}.{self._life}.{self._n}"
        counts = Counter[str]()
        for block in blocks:
            counts[block.topic] += len(block.values)
        where = {p: c.offset for p, c in offsets.items()}
        trail.tell("began", attempt=attempt, counts=counts, offsets=where)
        hand.mark(TAKEN)
        chosen = Kept.last.fresh() if self._mutant == MUTANT else token
        try:
            self._inner.deliver([marked(block, attempt) for block in blocks], offsets, chosen)
        except LogError as error:
            sure = self._transactional and hand.step in BEFORE_COMMIT
            trail.tell("failed", attempt=attempt, sure=sure, text=f"{hand.step}: {error}")
            raise
        trail.tell("committed", attempt=attempt)

    def recover(self, error: LogError) -> None:
        """See `Delivery`. What comes after is another life of this worker's producer."""
        self._inner.recover(error)
        self._life += 1

    def close(self) -> None:
        """See `Delivery`."""
        self._inner.close()


def marked(block: Block, attempt: str) -> Block:
    """The same messages, each with its attempt in a header."""
    mine = (HEADER, attempt.encode())
    given = block.headers or [None] * len(block.values)
    return replace(block, headers=[[*(headers or ()), mine] for headers in given])


def run(pipeline: str) -> None:
    """Score one pipeline with a traced delivery until told to stop."""
    folder = Path(os.environ["PROOF_TRAIL"])
    hand = Hand(folder, Trail(folder, int(os.environ["TAILRACE_WORKER__SLOT"])))
    mutant = os.environ.get("PROOF_MUTANT", "")

    def exactly(sink: Sink, watchdog: Watchdog, clock: Clock) -> Traced:
        return Traced(ExactlyOnce(sink, watchdog, clock, hand.mark), hand, mutant, transactional=True)

    def at_least(sink: Sink, source: Source, watchdog: Watchdog) -> Traced:
        return Traced(AtLeastOnce(sink, source, watchdog, hand.mark), hand, mutant, transactional=False)

    seams: dict[str, object] = {"ExactlyOnce": exactly, "AtLeastOnce": at_least, "KafkaSource": Kept}
    for name, made in seams.items():
        setattr(worker, name, made)  # the process is ours alone
    main(pipeline)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: run(sys.argv[1])))
