"""Epochs are made by compare-and-set: who took the turn last may write, and has read what all others wrote."""

from collections.abc import Callable, Mapping

import msgspec
import pytest

from services.retrainer.rollout.books import Change, KafkaBooks, insistently
from services.retrainer.rollout.watch import FRESH_S, RegistryWatch
from services.retrainer.rollout.wishes import Op
from shared.core.errors import Fenced, Unavailable
from shared.core.plans import PlanState
from shared.core.ports import Block
from shared.core.records import Committed, Rollout
from shared.core.registry import CHALLENGER, CHAMPION
from shared.core.rollout import RolloutTable
from tests.support.rollout_stage import Stage, ref


class Broker:
    """Two compacted topics, and who has the turn."""

    def __init__(self) -> None:
        self.models: dict[bytes | None, Rollout] = {}
        self.plans: list[bytes] = []
        self.turn = 0

    def books(self) -> KafkaBooks:
        """A writer."""
        return KafkaBooks("parcels", lambda: RolloutTable(self.models.values()), self, lambda: Turn(self))

    def to_end(self) -> list[bytes]:
        """See `Newest`."""
        return self.plans


class Turn:
    """A transactional producer: making or renewing it takes the turn."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self._blocks = broker, list[Block]()
        self.renew()

    def renew(self) -> None:
        """See `Sink`."""
        self._broker.turn += 1
        self._mine = self._broker.turn

    def begin(self) -> None:
        """See `Sink`."""
        self._blocks = []

    def produce(self, block: Block) -> None:
        """See `Sink`."""
        self._blocks.append(block)

    def flush(self) -> None:
        """See `Sink`."""

    def send_offsets(self, offsets: Mapping[int, Committed], token: object) -> None:
        """See `Sink`."""

    def commit(self) -> None:
        """See `Sink`."""
        if self._mine != self._broker.turn:
            raise Fenced("another one took the turn")
        for block in self._blocks:
            for key, value in zip(block.keys, block.values, strict=True):
                assert value is not None
                if block.topic == "parcels.models":
                    self._broker.models[key] = msgspec.json.decode(value, type=Rollout)
                elif block.topic == "parcels.plans":
                    self._broker.plans.append(value)

    def abort(self) -> None:
        """See `Sink`."""

    def close(self) -> None:
        """See `Sink`."""


def appended(version: str) -> Callable[[RolloutTable, PlanState], Change]:
    """A decision: the next epoch is of this version."""
    return lambda table, _: Change([Rollout("parcels", len(table) + 1, ref(version), "active")])


def test_a_zombie_cannot_write_what_it_decided_before_others_wrote() -> None:
    """It was frozen between reading and writing: its write fails, and the number that it had chosen is another's."""
    broker = Broker()
    zombie, other = broker.books(), broker.books()

    def frozen(table: RolloutTable, state: PlanState) -> Change:
        decided = appended("9")(table, state)
        other.write(appended("1"))
        return decided

    with pytest.raises(Fenced):
        zombie.write(frozen)
    assert [r.champion.version for r in broker.models.values()] == ["1"]
    zombie.write(appended("9"))
    assert [(r.epoch, r.champion.version) for r in broker.models.values()] == [(1, "1"), (2, "9")]


def test_a_command_by_hand_tries_again_on_what_is_so_now() -> None:
    """Others that write meanwhile only cost it another look; one that always comes between ends it in words."""
    broker = Broker()
    mine, other, times = broker.books(), broker.books(), [2]

    def disturbed(table: RolloutTable, state: PlanState) -> Change:
        if times[0]:
            times[0] -= 1
            other.write(appended("1"))
        return appended("2")(table, state)

    insistently(mine, disturbed)
    assert [r.champion.version for r in broker.models.values()] == ["1", "1", "2"]
    times[0] = 100
    with pytest.raises(Unavailable, match="another one took the turn"):
        insistently(mine, disturbed)


def test_epoch_and_memory_are_written_at_once_and_nothing_is_nothing() -> None:
    """What is remembered comes back; a decision for nothing opens no transaction; rubbish is left out."""
    broker = Broker()
    books = broker.books()
    assert not books.write(lambda _, __: Change())
    books.write(lambda _, state: Change((), msgspec.structs.replace(state, paused="lunch")))
    broker.plans.append(b"?")
    assert (books.state().paused, broker.books().state().paused) == ("lunch", "lunch")


def watched(stage: Stage) -> RegistryWatch:
    """A watch that has looked once."""
    watch = RegistryWatch(lambda: stage, "parcels", 2.0, stage.clock)
    watch.look()
    return watch


def test_a_wish_is_what_two_looks_agree_on() -> None:
    """An alias that has just moved is not yet meant; a registry that is away leaves the last answer."""
    stage = Stage()
    watch = watched(stage)
    assert watch.wish is not None
    assert watch.wish.steady(CHAMPION) == ""
    watch.look()
    assert watch.wish.steady(CHAMPION) == "1"
    stage.away = True
    watch.look()
    assert watch.wish.steady(CHAMPION) == "1"


def test_corrections_give_way_to_whoever_moved_an_alias_meanwhile() -> None:
    """They are made only where the registry still says what they were decided on, and only while they are fresh."""
    stage = Stage()
    watch = watched(stage)
    assert watch.wish is not None
    watch.correct([Op(CHAMPION, "2")], watch.wish)
    stage.aliases_[CHALLENGER] = "2"
    watch.look()
    assert stage.aliases_[CHAMPION] == "1", "somebody was faster"
    watch.correct([Op(CHAMPION, "2"), Op(CHALLENGER)], watch.wish)
    stage.clock.advance(FRESH_S + 1)
    watch.look()
    assert stage.aliases_[CHAMPION] == "1", "this process was frozen"
    watch.correct([Op(CHAMPION, "2"), Op(CHALLENGER)], watch.wish)
    watch.look()
    assert stage.aliases_ == {CHAMPION: "2"}
