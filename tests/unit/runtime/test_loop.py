"""The loop on a log in memory: each record one outcome, whatever fails at whichever step."""

import pytest

from shared.core.errors import Abortable, Fatal, Fenced, Indefinite, LogError, ModelRefused, Unavailable
from shared.core.pipeline import DeadLetterLimit
from shared.core.ports import Part, Result
from shared.runtime.aborts import MAX_ABORTS
from shared.testing.faults import Crash, crash_at
from tests.support.loops import AT_LEAST, EXACTLY, MARKS, Node, World, drain, score

STEPS = [(guarantee, mark) for guarantee, marks in MARKS.items() for mark in marks]
CALLS = ("begin", "produce", "flush", "send_offsets", "commit")


def halted(node: Node) -> set[int]:
    """The partitions that this worker stopped."""
    return set(node.probe.halted)


def filled(guarantee: str = EXACTLY, **settings: int) -> World:
    """A world with ten records in each of two partitions."""
    world = World(guarantee=guarantee, **settings)  # type: ignore[arg-type] # numbers only
    for partition in range(2):
        world.send(*(b"x",) * 10, partition=partition)
    return world


@pytest.mark.parametrize(("guarantee", "mark"), STEPS)
def test_crash_at_every_step_loses_nothing(guarantee: str, mark: str) -> None:
    """A worker that dies at a step and its successor leave one outcome a record, at least once: one or more."""
    world = filled(guarantee)
    dying = world.node(0, mark=crash_at(mark))
    with pytest.raises(Crash):
        drain(dying)
    world.group.remove(dying.source.member)
    drain(world.node(0))
    counts = world.outcomes()
    assert set(counts) == world.inputs()
    doubled = guarantee == AT_LEAST and mark == "flushed"
    assert set(counts.values()) == ({2} if doubled else {1})
    assert [world.offset(p) for p in (0, 1)] == [10, 10]


def test_at_least_once_without_the_flush_would_lose() -> None:
    """The plant: offsets committed before the flush, then a death, and records have no outcome. Ours flushes first."""
    world = filled(AT_LEAST)
    node = world.node(0)
    node.sink.flush = lambda: None  # type: ignore[method-assign] # the planted bug
    node.loop.turn()
    world.group.remove(node.source.member)
    drain(world.node(0))
    assert not world.outcomes(), "the test would not notice a missing flush"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", [Abortable("a"), Fatal("f"), Fenced("z", transient=True)], ids=repr)
def test_failed_call_is_undone_and_the_batch_tried_again(call: str, error: LogError) -> None:
    """Whatever the client says of a call, the batch is committed once in the end."""
    world = filled()
    node = world.node()
    node.sink.faults.add(call, error)
    drain(node)
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
    nothing_to_abort = call == "begin"
    assert ("renew" in node.sink.calls) == (nothing_to_abort or not isinstance(error, Abortable))


@pytest.mark.parametrize("after", [False, True])
def test_unknown_end_of_a_commit_renews_and_doubles_nothing(after: bool) -> None:  # noqa: FBT001 - a case, not a switch
    """A commit that timed out may have happened or not; a new producer finds out before anything is read again."""
    world = filled()
    node = world.node()
    node.sink.faults.add("commit", Indefinite("timed out", transient=True), after=after)
    drain(node)
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
    assert node.sink.calls.count("renew") == 1


def test_failed_abort_renews() -> None:
    """Where even the abort fails, a new producer ends the transaction."""
    world = filled()
    node = world.node()
    node.sink.faults.add("flush", Abortable("a"))
    node.sink.faults.add("abort", Fatal("f"))
    drain(node)
    assert node.sink.calls.count("renew") == 1
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)


def test_renewal_waits_for_a_log_that_is_out_of_reach() -> None:
    """A broker that is away while the producer is renewed does not end the worker: it waits and goes on."""
    world = filled()
    node = world.node()
    node.sink.faults.add("flush", Fatal("f", transient=True))
    node.sink.faults.add("renew", Fatal("no answer", transient=True), times=3)
    drain(node)
    assert len(world.pauses) == 3
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)


def test_renewal_that_is_refused_ends_the_worker() -> None:
    """What waiting cannot mend is raised."""
    world = filled()
    node = world.node()
    node.sink.faults.add("flush", Fatal("f"))
    node.sink.faults.add("renew", Fatal("not authorised"))
    with pytest.raises(Fatal, match="not authorised"):
        drain(node)


def test_stop_while_the_log_is_away_ends_the_wait() -> None:
    """SIGTERM during an outage: the worker leaves in order, with nothing committed and nothing raised."""
    world = filled()
    node = world.node()
    node.sink.faults.add("flush", Fatal("f", transient=True))
    node.sink.faults.add("renew", Fatal("no answer", transient=True), times=99)
    node.loop._pause = lambda _: node.loop.stop()
    node.loop.run()
    assert world.outcomes() == {}
    assert world.group.members == ()


def test_first_fencing_renews_and_a_second_within_a_minute_raises() -> None:
    """One fencing is a stall's; a second one so soon means a living twin, and this worker gives way."""
    world = filled()
    node = world.node()
    node.loop.turn()
    world.send(b"x")
    world.node(0)
    node.loop.turn()
    assert node.sink.calls.count("renew") == 1
    world.node(0)
    world.clock.advance(59)
    with pytest.raises(Fenced):
        drain(node)


def test_fencings_far_apart_are_forgiven() -> None:
    """More than a minute apart, each fencing is the first."""
    world = filled()
    node = world.node()
    for _ in range(3):
        node.sink.faults.add("commit", Fenced("z", transient=True))
        world.send(b"x")
        drain(node)
        world.clock.advance(61)
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)


@pytest.mark.parametrize("guilty", [0, 1, 2])
def test_three_aborts_at_one_offset_stop_the_guilty_partition_only(guilty: int) -> None:
    """A partition whose records abort every transaction is found and stopped; the others get on, before and after."""
    world = World(partitions=3)
    for partition in range(3):
        world.send(*(b"x",) * 5, partition=partition)
    node = world.node()
    deliver = node.loop._delivery.deliver

    def refuse(blocks: object, offsets: dict[int, object], token: object) -> None:
        if guilty in offsets:
            raise Abortable("MESSAGE_TOO_LARGE")
        deliver(blocks, offsets, token)  # type: ignore[arg-type] # passed on as it came

    node.loop._delivery.deliver = refuse  # type: ignore[method-assign,assignment] # the broker's refusal, by partition
    for _ in range(8):
        node.loop.turn()
    assert halted(node) == {guilty}
    assert f"{MAX_ABORTS} aborts in a row at offset 0" in node.probe.halted[guilty]
    others = {0, 1, 2} - {guilty}
    assert world.outcomes() == {(p, o): 1 for p in others for o in range(5)}
    assert world.offset(guilty) == -1
    world.send(b"x", partition=min(others))
    drain(node)
    assert world.outcomes()[min(others), 5] == 1


def test_aborts_with_progress_between_them_stop_nothing() -> None:
    """Three aborts at three offsets are bad luck, not a guilty record."""
    world = World(partitions=1, max_batch=1)
    world.send(*(b"x",) * 6)
    node = world.node()
    for _ in range(6):
        node.sink.faults.add("commit", Abortable("a"), times=2)
        node.sink.faults.add("commit", None)
    drain(node)
    assert halted(node) == set()
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
    assert node.loop._aborts._at == {}, "progress clears the suspicion"


def test_transient_aborts_stop_nothing() -> None:
    """However often the log is out of reach, no partition is to blame."""
    world = filled()
    node = world.node()
    node.sink.faults.add("commit", Abortable("timed out", transient=True), times=10)
    drain(node)
    assert halted(node) == set()
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)


def test_unavailable_pauses_and_goes_on() -> None:
    """What is away is waited for; the same records are read again."""
    world = filled()
    failures = [Unavailable("redis"), Unavailable("redis")]

    def step(part: Part) -> Result:
        if failures:
            raise failures.pop()
        return score(part)

    node = world.node(step=step)
    node.source.faults.add("rewind", Unavailable("kafka"), times=2)
    drain(node)
    assert len(world.pauses) == 4
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)


def test_refused_model_ends_the_worker() -> None:
    """A model that fails its checks is no record's fault: it is raised, nothing becomes a dead letter."""
    world = filled()

    def step(part: Part) -> Result:
        raise ModelRefused(f"digest of epoch {part.epoch}")

    with pytest.raises(ModelRefused):
        world.node(step=step).loop.turn()
    assert world.outcomes() == {}


def test_stop_finishes_the_batch_in_hand() -> None:
    """SIGTERM in the middle of a batch: it is committed, the group left, no transaction stays open."""
    world = filled()

    def step(part: Part) -> Result:
        node.loop.stop()
        return score(part)

    node = world.node(step=step)
    node.loop.run()
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
    assert world.group.members == ()
    assert world.log.pending("scorers") == set()


def test_run_lets_the_producer_go_although_the_source_fails_to_close() -> None:
    """Whatever breaks, the transaction in hand is ended."""
    world = filled()
    node = world.node(mark=crash_at("flushed"))

    def broken() -> None:
        raise RuntimeError

    node.source.close = broken  # type: ignore[method-assign] # the client's own bug
    with pytest.raises(RuntimeError):
        node.loop.run()
    assert world.log.stable("out", 0) > 0, "the open transaction was left to its time-out"


def test_one_poison_in_a_thousand_is_found_and_the_others_are_scored() -> None:
    """The batch is halved until the poison stands alone; it becomes a dead letter in the same transaction."""
    world = World(partitions=1, max_batch=1000)
    world.send(*(b"x",) * 500, b"poison", *(b"x",) * 499)
    node = world.node()
    drain(node)
    assert [at.offset for at in world.letters()] == [500]
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)
    assert [o for _, o, _ in world.predictions()] == [o for o in range(1000) if o != 500]
    assert node.metrics.counted("tailrace_dead_letters_total", "poison") == 1


def test_one_poison_in_each_partition_stops_none() -> None:
    """B42: poison in every partition, and all that follows is scored."""
    world = World(partitions=4)
    for partition in range(4):
        world.send(b"x", b"poison", b"x", partition=partition)
    node = world.node()
    drain(node)
    assert halted(node) == set()
    assert len(world.letters()) == 4
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)


def test_all_poison_stops_the_partition_and_nothing_of_it_is_committed() -> None:
    """B42: a bad deploy does not drain the topic into dead letters; the healthy partition goes on."""
    world = World(max_batch=200, limit=DeadLetterLimit(in_a_row=50, share=0.5, window=100))
    world.send(*(b"poison",) * 60)
    world.send(*(b"x",) * 60, partition=1)
    node = world.node()
    drain(node)
    assert halted(node) == {0}
    assert (world.letters(), world.offset(0)) == ([], -1)
    assert world.outcomes() == {(1, o): 1 for o in range(60)}


def test_dead_letters_of_aborted_batches_count_once() -> None:
    """A batch that is aborted and tried again brings the limit no nearer."""
    world = World(partitions=1, limit=DeadLetterLimit(in_a_row=15, share=0.9, window=100))
    world.send(*(b"bad",) * 10)
    node = world.node()
    node.sink.faults.add("commit", Abortable("timed out", transient=True), times=5)
    drain(node)
    assert halted(node) == set()
    assert len(world.letters()) == 10
    world.send(*(b"bad",) * 5)
    node.loop.turn()
    assert halted(node) == {0}


def test_stopped_partition_is_tried_again_by_its_next_owner() -> None:
    """A stop lasts as long as the assignment: a restart tries again."""
    world = World(partitions=1, limit=DeadLetterLimit(in_a_row=2, share=0.9, window=100))
    world.send(b"bad", b"bad")
    first = world.node()
    drain(first)
    assert halted(first) == {0}
    first.source.close()
    world.limit = DeadLetterLimit()
    drain(world.node())
    assert len(world.letters()) == 2
