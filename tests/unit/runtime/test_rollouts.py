"""Rollouts through the loop: barriers, revocations, forgeries, lost metadata; what is written of them."""

from collections.abc import Sequence

import msgspec
import pytest

from shared.core.records import CONTROL_HEADER, Application, Committed, Note
from shared.core.rollout import RolloutTable, last_application
from shared.runtime.controls import Barriers, NoControls
from shared.runtime.follow import RolloutFollower, application_block, applications_from
from shared.testing.clock import ManualClock
from shared.testing.log import Log
from tests.support.loops import World, drain, rollout


class Values:
    """A compacted topic as a list; what is appended is fresh once."""

    def __init__(self, *values: bytes) -> None:
        self.values = list(values)
        self.later: list[bytes] = []

    def fresh(self) -> Sequence[bytes]:
        """What came since the last call."""
        values, self.values = self.values, []
        return values

    def to_end(self) -> Sequence[bytes]:
        """The same and what a slow reader had not got yet."""
        self.values += self.later
        self.later = []
        return self.fresh()


def versions(world: World, partition: int = 0) -> list[int]:
    """The epoch of each committed prediction of a partition, by input offset."""
    return [e for p, o, e in sorted(world.predictions()) if p == partition]


def test_barrier_in_the_middle_of_a_batch_changes_the_version_between_two_records() -> None:
    """What stands before the barrier is scored by the old epoch, what stands after it by the new one, all at once."""
    world = World(partitions=2)
    world.table.put(rollout(2))
    world.send(b"x", b"x")
    world.barrier(2, [0])
    world.send(b"x")
    world.send(b"x", partition=1)
    node = world.node()
    node.loop.turn()
    node.loop.turn()
    assert (versions(world, 0), versions(world, 1)) == ([1, 1, 2], [1])
    assert world.note(0) == Note(epoch=2, acting=2)
    begun = {(a.partition, a.epoch): (a.offset, a.cause) for a in world.applications()}
    assert begun == {(0, 1): (0, "first"), (0, 2): (3, "barrier"), (1, 1): (0, "first")}
    assert node.metrics.counted("tailrace_controls_total", "applied") == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"epoch":9}', b"", b"nonsense", b'{"epoch":"2"}', b'{"epoch":"\xff"}', b"[" * 60_000,
        b'{"epoch":1,"x":' + b"[" * 60_000, b'{"epoch":0}', b'{"epoch":-1}',
    ],
    ids=lambda body: str(body[:16]),
)  # fmt: skip
def test_forged_barrier_is_a_dead_letter_and_changes_nothing(body: bytes) -> None:
    """A control record that no rollout stands behind, however malformed, never ends the worker."""
    world = World(partitions=1)
    world.send(b"x")
    world.log.append("in", 0, b"k", body, [(CONTROL_HEADER, b"x")])
    world.send(b"x")
    node = world.node()
    drain(node)
    assert versions(world) == [1, 1]
    assert [at.offset for at in world.letters()] == [1]
    assert node.metrics.counted("tailrace_dead_letters_total", "forged_control") == 1


def test_revocation_acts_at_the_next_batch_and_leaves_the_barrier_known() -> None:
    """Without a barrier of its own: the highest active epoch below acts, and the epoch in the note stays."""
    world = World(partitions=1)
    world.table.put(rollout(2))
    node = world.node()
    world.barrier(2)
    world.send(b"x")
    drain(node)
    world.table.put(rollout(2, "revoked"))
    world.send(b"x")
    drain(node)
    assert versions(world) == [2, 1]
    assert world.note() == Note(epoch=2, acting=1)
    assert world.applications()[-1] == Application(0, 1, 2, "revoked", "v1", 2)
    world.barrier(2)
    world.send(b"x")
    drain(node)
    assert versions(world) == [2, 1, 1], "a barrier of the revoked epoch is a counted no-op"
    assert node.metrics.counted("tailrace_controls_total", "ignored") == 1


def test_lost_metadata_is_found_again_in_rollouts() -> None:
    """An operator resets the group in the middle: the epoch at that offset comes from the last entry before it."""
    world = World(partitions=1)
    world.table.put(rollout(2))
    world.send(b"x", b"x")
    world.barrier(2)
    world.send(b"x", b"x")
    drain(world.node())
    before = versions(world)
    for offset in range(5):
        world.group.offsets[0] = Committed(offset, Note())
        world.group.remove(world.group.members[0])
        drain(world.node())
        again = world.predictions()[-(len([o for o in (0, 1, 3, 4) if o >= offset])) :]
        assert again == [(0, o, 1 if o < 2 else 2) for o in (0, 1, 3, 4) if o >= offset]
    assert before == [1, 1, 2, 2]


def test_partition_without_any_version_waits_and_says_so() -> None:
    """No active epoch at all: nothing is committed, the loop pauses, and goes on once a model is there."""
    world = World(partitions=1, table=RolloutTable())
    world.send(b"x")
    node = world.node()
    node.loop.turn()
    assert (world.outcomes(), world.pauses) == ({}, [0.5])
    world.table.put(rollout(1))
    drain(node)
    assert versions(world) == [1]


def test_local_activation_acts_at_the_next_batch_and_ignores_barriers() -> None:
    """`activation: local`: the newest active epoch acts from the next batch on, recorded alike."""
    world = World(partitions=1, local=True)
    node = world.node()
    world.send(b"x")
    drain(node)
    world.table.put(rollout(2))
    world.barrier(2)
    world.send(b"x")
    drain(node)
    assert versions(world) == [1, 2]
    assert [(a.epoch, a.cause) for a in world.applications()] == [(1, "local"), (2, "local")]


def test_aborted_batch_applies_nothing() -> None:
    """An epoch begins with the commit of its batch: after an abort the note is as before, and the entry comes once."""
    world = World(partitions=1)
    world.table.put(rollout(2))
    world.barrier(2)
    world.send(b"x")
    node = world.node()
    node.sink.faults.add("commit", RuntimeError("stop here"))  # type: ignore[arg-type] # any end of a worker will do
    with pytest.raises(RuntimeError):
        node.loop.turn()
    node.source.close()
    drain(world.node())
    assert [(a.epoch, a.offset) for a in world.applications()] == [(1, 0), (2, 1)]


def test_barrier_newer_than_the_table_is_judged_after_reading_on() -> None:
    """A barrier can overtake our copy of `models`: before it counts as forged, the topic is read to its end."""
    world = World(partitions=1)
    models = Values(msgspec.json.encode(rollout(1)))
    models.later = [msgspec.json.encode(rollout(2))]
    follower = RolloutFollower(models, "shop", lambda _: None)
    controls = Barriers(follower.refresh, list, application_block("rollouts"))
    world.barrier(2)
    world.send(b"x")
    cut = controls.split(world.log.read("in"), {0: Note()})
    assert (cut.forged, [part.epoch for part in cut.parts]) == ([], [2])


def test_follower_ignores_what_it_cannot_read_and_other_pipelines() -> None:
    """A broken value in `models` is logged and passed over; another pipeline's is none of ours."""
    other = msgspec.structs.replace(rollout(7), pipeline="other")
    broken = [b"", b"{", b'"\xff"', b'{"epoch":1}', msgspec.json.encode(other)]
    told: list[int] = []
    follower = RolloutFollower(Values(*broken, msgspec.json.encode(rollout(1))), "shop", lambda r: told.append(r.epoch))
    assert [r.epoch for r in follower.refresh()] == [1]
    assert told == [1]


def test_compaction_of_rollouts_takes_no_beginning_away() -> None:
    """An epoch that begins twice keeps both entries: a replay of any record finds the version that scored it."""
    history = [(1, 0, 1), (2, 100, 2), (3, 200, 3), (2, 250, 3)]
    entries = [Application(0, epoch, offset, "barrier", f"v{epoch}", barrier) for epoch, offset, barrier in history]
    block = application_block("rollouts")(entries)
    compacted = dict(zip(block.keys, block.values, strict=True))
    log = Log({"rollouts": 1}, ManualClock())
    for key, value in compacted.items():
        log.append("rollouts", 0, key, value)
    known = applications_from(Values(*(m.value() or b"" for m in log.read("rollouts"))))()
    acting = {offset: last_application(known, 0, offset).acting for offset in (0, 99, 100, 150, 200, 249, 250, 999)}
    assert acting == {0: 1, 99: 1, 100: 2, 150: 2, 200: 3, 249: 3, 250: 2, 999: 2}


def test_no_controls_is_one_part_without_an_epoch() -> None:
    """Services whose input has no barriers see the batch whole; a control header means nothing to them."""
    world = World(partitions=1)
    world.send(b"x")
    world.barrier(1)
    cut = NoControls().split(world.log.read("in"), {0: Note(low=7)})
    assert [(len(part.messages), part.epoch) for part in cut.parts] == [(2, 0)]
    assert (cut.notes, NoControls().blocks([])) == ({0: Note(low=7)}, [])
    assert NoControls().notes({0: Committed(5, Note(low=7))}) == {0: Note(low=7)}
