"""Partitions that go while their batch is in hand: what was taken with the batch decides, not what holds by now."""

from collections.abc import Callable

import pytest

from shared.core.errors import Abortable
from shared.core.ports import Part, Result, Step
from shared.core.records import Committed, Note
from shared.runtime.loop import Loop
from tests.support.loops import AT_LEAST, EXACTLY, FreshToken, Node, World, drain, score


def once(action: Callable[[], None]) -> Step:
    """A step during whose first call something happens elsewhere."""
    left = [action]

    def step(part: Part) -> Result:
        if left:
            left.pop()()
        return score(part)

    return step


def lost_and_won_again(kind: type[Loop]) -> World:
    """A worker is thrown out with a batch in hand, another one does its work and leaves, the first one is back in."""
    world = World(partitions=1)
    world.send(*(b"x",) * 10)

    def meanwhile() -> None:
        world.group.remove(node.source.member)
        other = world.node(1)
        drain(other)
        other.source.close()
        node.source.rejoin()

    node = world.node(0, step=once(meanwhile), kind=kind)
    drain(node)
    return world


def test_batch_that_outlived_a_loss_of_its_partition_is_not_committed_twice() -> None:
    """The metadata that travels with the batch is stale by now, so the broker refuses it."""
    assert set(lost_and_won_again(Loop).outcomes().values()) == {1}


def test_fresh_metadata_would_double_every_record_of_the_batch() -> None:
    """The plant is caught: with metadata taken at the delivery all ten records have two outcomes."""
    assert lost_and_won_again(FreshToken).outcomes() == {(0, o): 2 for o in range(10)}


@pytest.mark.parametrize("guarantee", [EXACTLY, AT_LEAST])
def test_lost_while_in_hand_leaves_the_records_to_the_new_owner(guarantee: str) -> None:
    """A worker whose session ended commits no offset any more; exactly once, nor any output."""
    world = World(partitions=2, guarantee=guarantee)
    world.send(*(b"x",) * 5)
    others: list[Node] = []

    def meanwhile() -> None:
        world.group.remove(node.source.member)
        others.append(world.node(1))
        drain(others[0])

    node = world.node(0, step=once(meanwhile))
    node.loop.turn()
    assert world.offset(0) == 5
    drain(node, others[0])
    counts = world.outcomes()
    assert set(counts) == world.inputs()
    assert set(counts.values()) == ({1} if guarantee == EXACTLY else {2})
    assert node.metrics.counted("tailrace_rebalances_total", "lost") == 1


def test_rebalance_while_in_hand_costs_one_abort_and_nothing_else() -> None:
    """Another worker joins in the middle of a batch: the batch is refused, read again, committed once."""
    world = World(partitions=2)
    for partition in range(2):
        world.send(*(b"x",) * 5, partition=partition)
    others: list[Node] = []

    def meanwhile() -> None:
        others.append(world.node(1))
        others[0].loop.turn()

    node = world.node(0, step=once(meanwhile))
    node.loop.turn()
    drain(node, others[0])
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
    assert (node.source.owned, others[0].source.owned) == ({0}, {1})
    assert (node.probe.owned, others[0].probe.owned) == ({0}, {1})
    assert node.probe.halted == {}


def test_callback_outside_a_poll_aborts_the_batch_before_it_is_begun() -> None:
    """A client that tells of a revocation at any other moment: the batch of before is not delivered."""
    world = World(partitions=1)
    world.send(*(b"x",) * 5)

    def meanwhile() -> None:
        node.source.generation += 1

    node = world.node(0, step=once(meanwhile))
    node.loop.turn()
    assert world.outcomes() == {}
    drain(node)
    assert set(world.outcomes().values()) == {1}
    assert node.probe.halted == {}


def test_three_rebalances_at_one_offset_blame_no_partition() -> None:
    """A rebalance says nothing of the batch, however often it comes."""
    world = World(partitions=1)
    world.send(b"x")
    left = [1, 2, 3, 4, 5]

    def step(part: Part) -> Result:
        if left:
            left.pop()
            node.source.generation += 1
        return score(part)

    node = world.node(0, step=step)
    drain(node)
    assert node.probe.halted == {}
    assert world.outcomes() == {(0, 0): 1}


def test_revocation_is_told_before_the_new_owner_reads() -> None:
    """In good order: the old owner's offset and note are where the new one begins."""
    world = World(partitions=2)
    world.send(*(b"x",) * 3, partition=1)
    first = world.node(0)
    drain(first)
    second = world.node(1)
    world.send(*(b"x",) * 3, partition=1)
    drain(first, second)
    assert second.source.owned == {1}
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
    assert [a.partition for a in world.applications()] == [1], "the note came along, so no epoch began anew"


def test_offset_that_cannot_be_committed_is_taken_back_at_least_once() -> None:
    """At least once: a refused commit of offsets reads the records again, and renews nothing."""
    world = World(partitions=1, guarantee=AT_LEAST)
    world.send(b"x")
    node = world.node()
    node.source.faults.add("commit", Abortable("ILLEGAL_GENERATION", transient=True))
    drain(node)
    assert world.outcomes() == {(0, 0): 2}
    assert "renew" not in node.sink.calls
    assert world.group.committed([0])[0] == Committed(1, Note(1, 1))
