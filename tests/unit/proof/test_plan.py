"""The schedule of faults: complete, repeatable, and as hard as the guarantee allows."""

from collections import Counter

import msgspec

from shared.runtime.settings import LoopSettings
from tailrace.proof.plan import RANDOM, Request, plan
from tailrace.proof.trail import STEPS
from tailrace.proof.verdict import figures

LOOP = LoopSettings()
REQUEST = Request(records=100_000, kills=20, workers=2, broker_kills=2, freezes=3, seed=7)


def test_all_faults_are_in_it_and_a_seed_decides_their_order() -> None:
    """Counts as asked for, the same for the same seed, another order for another."""
    faults = plan(REQUEST, LOOP)
    counts = Counter(fault.kind for fault in faults)
    assert counts == {"kill": 20, "freeze": 3, "broker": 2, "join": 3, "leave": 3, "rollout": 1}
    assert faults == plan(REQUEST, LOOP)
    assert faults != plan(msgspec.structs.replace(REQUEST, seed=8), LOOP)


def test_kills_hit_each_named_step_and_random_moments() -> None:
    """Half of 20 kills at the five steps of the delivery, each twice."""
    steps = Counter(fault.step for fault in plan(REQUEST, LOOP) if fault.kind == "kill")
    assert steps == {RANDOM: 10, **dict.fromkeys(STEPS, 2)}


def test_a_freeze_outlasts_the_session_and_one_the_transaction() -> None:
    """A zombie is one only when its partitions went to another."""
    lengths = sorted(fault.length for fault in plan(REQUEST, LOOP) if fault.kind == "freeze")
    assert lengths[0] > LOOP.session_timeout
    assert lengths[-1] > LOOP.transaction_timeout


def test_nobody_leaves_who_has_not_joined() -> None:
    """At each point at least as many members joined as left."""
    for seed in range(50):
        extra = 0
        for fault in plan(msgspec.structs.replace(REQUEST, seed=seed), LOOP):
            extra += {"join": 1, "leave": -1}.get(fault.kind, 0)
            assert extra >= 0, seed


def test_the_negative_control_kills_between_flush_and_commit() -> None:
    """At least once, each kill comes where it must double the batch."""
    faults = plan(msgspec.structs.replace(REQUEST, guarantee="at_least_once", freezes=0, broker_kills=0), LOOP)
    assert {(fault.kind, fault.step) for fault in faults} == {("kill", "flushed")}


def test_durations_are_summed_up_by_nearest_rank() -> None:
    """Nothing measured is None, not 0."""
    assert msgspec.structs.astuple(figures([])) == (0, None, None, None)
    assert msgspec.structs.astuple(figures([3.0, 1.0, 2.0])) == (3, 2.0, 3.0, 3.0)
