"""Who takes over has all blocks and all cards, whatever came meanwhile and whatever a stream has lost."""

from random import Random

from shared.core.errors import Indefinite
from tests.support.analyst_rig import CARDS, ERRORS, Rig, risen
from tests.support.looks import blocks


def test_blocks_that_come_while_another_one_takes_over_are_all_folded() -> None:
    """Blocks come after the last turn of one process and before the first of the next: each is folded, and once."""
    found, at_once = [*blocks(0, 14, 0.2, 1), *blocks(14, 20, 0.5, 2)], Rig()
    at_once.cards(20)
    at_once.blocks(found)
    at_once.turn()
    seed = Random().randrange(10_000)
    print(f"seed {seed}")
    dice, rig = Random(seed), Rig()
    rig.cards(20)
    while found:
        rig.blocks([found.pop(0) for _ in range(min(len(found), dice.randrange(1, 40)))])
        if dice.random() < 0.3:
            rig.ledger.after = [Indefinite("timed out", transient=True)]
        if dice.random() < 0.7:
            rig.turn()
        if dice.random() < 0.5:
            rig.start()
    rig.ledger.after = []
    rig.turn()
    watched, wanted = (one.ledger.kept.memory.watches["v1"] for one in (rig, at_once))
    assert watched == wanted


def test_cards_that_the_table_lost_are_read_from_their_topic() -> None:
    """Faust loses what was on its way at a rebalance: figures are those of all cards all the same."""
    rig, other = Rig(), risen()
    other.turn()
    rig.cards(12)
    rig.blocks([*blocks(0, 14, 0.2, 1), *blocks(14, 20, 0.5, 2)])
    rig.turn()
    rig.cards(20, lost=True)
    rig.analyst.begin()
    rig.turn()
    assert rig.accuracies() == other.accuracies()
    assert len(rig.accuracies()) > 0


def test_a_topic_that_cannot_be_read_is_read_at_the_next_turn() -> None:
    """The broker stops answering amid cards, later amid blocks: nothing is lost, and nothing said of a half."""
    rig, other = risen(), risen()
    rig.logs[CARDS].fails = 1
    assert rig.turn() == []
    rig.logs[ERRORS].fails = 1
    assert rig.turn() == []
    assert rig.ledger.blocks == []
    for one in (rig, other):
        one.turn()
    assert rig.ledger.kept == other.ledger.kept
    assert rig.metrics.value("tailrace_analyst_turns_total", result="failed") == 2
