"""While records queue up the loop goes on with the next batch: what that must not change, whatever becomes of it."""

import threading

import pytest

from shared.core.errors import Abortable, LogError
from shared.core.rollout import Split
from shared.runtime.under_way import Call, Done, Later, Thread, UnderWay, at_once
from tests.support.loops import Node, World, drain


class Held:
    """A delivery that happens when it is waited for. Counts how many there are at once."""

    open = most = 0

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call
        self._ended = 0.0
        self._error: LogError | None = None
        Held.open += 1
        Held.most = max(Held.most, Held.open)

    def wait(self) -> None:
        """See `Later`."""
        call, self._call = self._call, None
        if call is None:
            return
        Held.open -= 1
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


@pytest.fixture(autouse=True)
def _none_open() -> None:
    Held.open = Held.most = 0


def ahead_of(world: World, slot: int = 0) -> Node:
    """A worker that goes on while its deliveries are held."""
    node = world.node(slot)
    node.loop._background = Held
    return node


def test_a_backlog_is_worked_off_with_one_delivery_under_way() -> None:
    """Each record has one outcome, in order, and never are two deliveries under way."""
    world = World(partitions=1, max_batch=10)
    world.send(*[b"x"] * 95)
    drain(ahead_of(world))
    assert [o for _, o, _ in world.predictions()] == list(range(95))
    assert Held.most == 1


def test_the_last_of_a_backlog_is_waited_for() -> None:
    """Where nothing more waits, a batch is durable when its turn ends: nobody waits for a next one."""
    world = World(partitions=1, max_batch=10)
    world.send(*[b"x"] * 10)
    ahead_of(world).loop.turn()
    assert (len(world.predictions()), Held.most) == (10, 0)


def test_nothing_is_told_before_it_is_durable() -> None:
    """The counters do not know of a batch whose delivery is under way."""
    world = World(partitions=1, max_batch=10)
    world.send(*[b"x"] * 30)
    node = ahead_of(world)
    node.loop.turn()  # the first poll: what waits is not known before
    node.loop.turn()
    assert (node.probe.committed_records, len(world.predictions()), Held.open) == (10, 10, 1)
    node.loop.turn()
    assert (node.probe.committed_records, len(world.predictions()), Held.open) == (30, 30, 0)


def test_a_delivery_that_fails_takes_the_batch_after_it_back_as_well() -> None:
    """Both are read again from the committed offset; each record still has one outcome, in order."""
    world = World(partitions=1, max_batch=10)
    world.send(*[b"x"] * 40)
    node = ahead_of(world)
    node.sink.faults.add("flush", Abortable("no", transient=True))
    drain(node)
    assert [o for _, o, _ in world.predictions()] == list(range(40))


def test_what_aborts_again_and_again_is_found_though_the_loop_went_on() -> None:
    """The failure is blamed on its own records, and the next tries are waited for: the partition stops at them."""
    world = World(partitions=2, max_batch=10)
    world.send(*[b"x"] * 40, partition=0)
    node = ahead_of(world)
    node.sink.faults.add("flush", Abortable("too large", transient=False), times=3)
    for _ in range(3):
        node.loop.turn()
        node.loop.turn()
    assert list(node.probe.halted) == [0]
    assert "at offset 0" in node.probe.halted[0]


def test_a_partition_is_let_go_of_only_after_its_delivery() -> None:
    """A second worker joins while a batch is under way: it starts behind it, nothing comes twice."""
    world = World(partitions=2, max_batch=10)
    for partition in (0, 1):
        world.send(*[b"x"] * 60, partition=partition)
    first = ahead_of(world, 0)
    first.loop.turn()
    first.loop.turn()
    assert Held.open == 1
    second = ahead_of(world, 1)
    drain(first, second)
    assert world.outcomes() == dict.fromkeys(world.inputs(), 1)


def test_a_worker_that_is_stopped_finishes_what_is_under_way() -> None:
    """SIGTERM while a delivery is under way: it is waited for, then the group is left."""
    world = World(partitions=1, max_batch=10)
    world.send(*[b"x"] * 30)
    node = ahead_of(world)
    node.loop.turn()
    node.loop.turn()
    assert Held.open == 1
    node.loop.stop()
    node.loop.run()
    assert (world.offset(), len(world.predictions())) == (20, 20)


def test_the_thread_runs_a_call_and_tells_its_end() -> None:
    """Another thread runs it; its value and its error come to whoever asks."""
    ran: list[str] = []

    def call() -> float:
        ran.append(threading.current_thread().name)
        return 3.0

    later: Later = Thread()(call)
    assert later.result() == 3.0
    assert ran[0].startswith("delivery")

    def fails() -> float:
        raise Abortable("no", transient=True)

    failed = Thread()(fails)
    failed.wait()
    with pytest.raises(Abortable):
        failed.result()


def test_who_failed_is_told_once() -> None:
    """The messages of a failed delivery are blamed once; the next failure is another's."""
    taken: list[float] = []
    under_way = UnderWay(lambda _, ended: taken.append(ended))

    def fails() -> float:
        raise Abortable("no", transient=True)

    message: object = object()
    under_way.put(Done(Held(fails), [message], {}, Split(), (), (), 0.0, 0.0))  # type: ignore[list-item] # any will do
    with pytest.raises(Abortable):
        under_way.hear()
    assert (under_way.blamed(), under_way.blamed()) == ([message], ())
    under_way.put(Done(at_once(lambda: 7.0), [], {}, Split(), (), (), 0.0, 0.0))
    under_way.hear()
    under_way.hear()
    assert taken == [7.0]
