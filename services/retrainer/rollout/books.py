"""Writing `models`: read to the end, decide, write, and nobody else wrote in between.

Whoever decides first takes the transactional id of the pipeline's rollouts. That ends the turn of everyone who took it
before: what they decided on what they had read cannot be written any more. So two controllers, a command by hand and a
controller that was frozen for an hour are all alike: at most one of them makes an epoch, and the others read it next
time. Nobody leads, so nobody has to be elected.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from shared.core.errors import Fatal, LogError, Unavailable
from shared.core.monitor_records import Verdict, verdict_key
from shared.core.plans import PlanState
from shared.core.ports import Block, Sink
from shared.core.records import Rollout
from shared.core.rollout import RolloutTable
from shared.core.topics import topic
from shared.runtime.logs import get_logger

TRIES = 5  # of a command by hand, while others write


@dataclass(frozen=True, slots=True)
class Change:
    """What is written at once: epochs, what the controller remembers, and what it says."""

    rollouts: Sequence[Rollout] = ()
    state: PlanState | None = None
    verdicts: Sequence[Verdict] = ()

    def __bool__(self) -> bool:
        return bool(self.rollouts or self.state is not None or self.verdicts)


Decide = Callable[[RolloutTable, PlanState], Change]


class Books(Protocol):
    """Where epochs stand."""

    def table(self) -> RolloutTable:
        """Every epoch, as of now."""

    def state(self) -> PlanState:
        """What is remembered beside them, as of now."""

    def write(self, decide: Decide) -> Change:
        """Let `decide` see the newest of both and write what it says; what it raises is raised, and nothing written.

        Raises:
            LogError: another one wrote meanwhile, or Kafka does not answer: look again, and decide again.
        """


class Newest(Protocol):
    """A topic, read to its end; `shared.adapters.kafka.table.TableReader` is one."""

    def to_end(self) -> Iterable[bytes]:
        """Committed values that were not given yet, in their order."""


class KafkaBooks:
    """Implements `Books`.

    Args:
        pipeline: its name.
        table: reads `models` to its end.
        plans: reads `plans`.
        sink: makes the transactional output under the pipeline's id of rollouts; that takes the turn.
    """

    def __init__(
        self, pipeline: str, table: Callable[[], RolloutTable], plans: Newest, sink: Callable[[], Sink]
    ) -> None:
        self._pipeline, self._table, self._plans, self._make = pipeline, table, plans, sink
        self._sink: Sink | None = None
        self._state = PlanState(pipeline)
        self._log = get_logger("plans")

    def table(self) -> RolloutTable:
        """See `Books`."""
        return self._table()

    def state(self) -> PlanState:
        """See `Books`; what cannot be read is left out."""
        for value in self._plans.to_end():
            try:
                self._state = msgspec.json.decode(value, type=PlanState)
            except msgspec.DecodeError as error:
                self._log.error("plans value ignored", error=str(error))
        return self._state

    def write(self, decide: Decide) -> Change:
        """See `Books`."""
        sink = self._turn()
        change = decide(self.table(), self.state())
        if not change:
            return change
        sink.begin()
        for block in self._blocks(change):
            sink.produce(block)
        sink.flush()
        sink.commit()
        return change

    def close(self) -> None:
        """Let the producer go."""
        if self._sink is not None:
            self._sink.close()

    def _turn(self) -> Sink:
        if self._sink is None:
            self._sink = self._make()
        else:
            self._sink.renew()
        return self._sink

    def _blocks(self, change: Change) -> list[Block]:
        encode, name = msgspec.json.encode, self._pipeline
        blocks = []
        if change.rollouts:
            keys = [f"{name}/{r.epoch}".encode() for r in change.rollouts]
            blocks.append(Block(topic(name, "models"), keys, [encode(r) for r in change.rollouts]))
        if change.state is not None:
            blocks.append(Block(topic(name, "plans"), [name.encode()], [encode(change.state)]))
        if change.verdicts:
            said = change.verdicts
            blocks.append(Block(topic(name, "verdicts"), [verdict_key(v) for v in said], [encode(v) for v in said]))
        return blocks


def insistently(books: Books, decide: Decide) -> Change:
    """Write, again where another one came between: for a command by hand, which does not come back next turn.

    Raises:
        Unavailable: it did not succeed after several tries.
    """
    last: LogError = Fatal("not tried")
    for _ in range(TRIES):
        try:
            return books.write(decide)
        except LogError as error:
            last = error
    raise Unavailable(f"kafka: the rollout could not be written: {last}")
