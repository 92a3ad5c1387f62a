"""Looks that event time takes, not our own pace: what is decided is the same however fast a stream is played."""

from services.monitor.analyst.ledger import Remembered
from shared.core.asks import Ask
from tests.support.analyst_rig import FakeFollower, Rig
from tests.support.looks import DAY, T0, blocks


def looking(turns: int) -> Rig:
    """Twenty days, half of the labels wrong in the last six, seen a day at a time or in a few large pieces."""
    rig = Rig()
    rig.look = DAY
    rig.start()
    found = sorted((*blocks(0, 14, 0.2, 1), *blocks(14, 20, 0.5, 2)), key=lambda one: one.closed)
    for day in range(1, 21):
        for part in range(turns):
            mine = [one for one in found if T0 + (day - 1) * DAY <= one.closed < T0 + day * DAY]
            rig.blocks(mine[part::turns])
            rig.turn()
        rig.cards(day)
        rig.turn()
    return rig


def test_one_look_a_day_whatever_the_pace() -> None:
    """A day's blocks in one turn or in five: the same requests, at the same event times, from the same memory."""
    one, other = looking(1), looking(5)
    asked = [(request.trigger, request.at, request.id) for request in one.ledger.requests()]
    assert asked == [(request.trigger, request.at, request.id) for request in other.ledger.requests()]
    assert "errors" in {trigger for trigger, _, _ in asked}
    assert one.ledger.kept.memory.policy == other.ledger.kept.memory.policy


def test_between_two_looks_nothing_is_decided() -> None:
    """Event time has not passed a boundary: nothing is written; an operator and a new version do not wait for it."""
    rig = Rig()
    rig.look = DAY
    rig.start()
    rig.cards(3)
    rig.turn()
    before = rig.ledger.kept
    rig.blocks(blocks(3, 4, 0.5, 2))
    rig.turn()
    assert rig.ledger.kept == before != Remembered()
    rig.asks(Ask("ask-1", 0, "because"))
    rig.turn()
    assert [one.trigger for one in rig.ledger.requests()] == ["manual"]
    rig.follower.table = FakeFollower("v1", "v2").table
    rig.clock.advance(60)
    rig.turn()
    policy = rig.ledger.kept.memory.policy
    assert (policy.version, policy.started) == ("v2", before.memory.policy.now)
