"""What a step wants counted is counted once, when it is true."""

from collections.abc import Sequence

from shared.core.errors import Abortable
from shared.core.metrics import Outcome
from shared.core.ports import Count, Message, Part, Result
from shared.core.rollout import Split
from shared.runtime.health import Health
from shared.runtime.probe import Probe
from shared.testing.clock import ManualClock
from shared.testing.log import Log
from shared.testing.metrics import RecordingMetrics
from tests.support.loops import NoTracer, World, drain, score


def counting(part: Part) -> Result:
    """Scores, and wants as many predictions counted."""
    result = score(part)
    n = sum(len(block.values) for block in result.blocks)
    return Result(result.blocks, result.rejects, [Count("tailrace_predictions_total", n, {"version": "v1"})])


def test_aborted_batch_is_counted_when_it_is_committed() -> None:
    """Predictions of an aborted transaction are not counted; tried again and committed they are, once."""
    world = World(partitions=1)
    world.send(b"1", b"2", b"bad", b"3")
    node = world.node(step=counting)
    node.sink.faults.add("commit", Abortable("no", transient=True), times=3)
    drain(node)
    assert len(world.predictions()) == 3
    assert node.metrics.counted("tailrace_transactions_total", "aborted") == 3.0
    assert node.metrics.counted("tailrace_predictions_total", "v1") == 3.0


def test_nothing_is_counted_before_the_commit() -> None:
    """A batch that is never committed counts for nothing."""
    world = World(partitions=1)
    world.send(b"1")
    node = world.node(step=counting)
    node.sink.faults.add("commit", Abortable("no", transient=True), times=3)
    for _ in range(3):
        node.loop.turn()
    assert node.metrics.counted("tailrace_predictions_total") == 0.0


def test_halves_of_a_part_count_together() -> None:
    """Where one record breaks the step the others are counted all the same."""
    world = World(partitions=1)
    world.send(b"1", b"poison", b"2", b"3", b"4")
    node = world.node(step=counting)
    drain(node)
    assert node.metrics.counted("tailrace_predictions_total", "v1") == 4.0


def outcomes(messages: Sequence[Message], outcome: Outcome) -> float:
    """How many records a probe of this outcome counts under it."""
    clock, metrics = ManualClock(), RecordingMetrics()
    health = Health(clock, max_turn_age=60.0, checks=())
    probe = Probe(
        pipeline="p", topic="in", metrics=metrics, health=health, tracer=NoTracer(), clock=clock, outcome=outcome
    )
    probe.committed(messages, {m.partition(): m for m in messages}, Split(), [], 0.1, 0.1)
    return metrics.counted("tailrace_records_total", outcome)


def test_records_are_counted_as_what_they_became() -> None:
    """A feature writer's records become features, a scorer's predictions."""
    log = Log({"in": 1}, ManualClock())
    log.append("in", 0, b"k", b"x")
    messages = log.read("in")
    assert (1.0, 1.0) == (outcomes(messages, "feature"), outcomes(messages, "prediction"))
