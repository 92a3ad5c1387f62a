"""The plan of a challenger: what holds it, what ends it, and who may interfere; refusals first."""

import random
from typing import Any

import msgspec
import pytest

from services.retrainer.rollout.decide import taken_back
from shared.core.plans import PlanState, refusing
from shared.core.records import Note, Rollout
from shared.core.registry import CHALLENGER, CHAMPION, PREVIOUS
from tests.support.rollout_stage import PLAN, Stage, info, ref
from tests.support.spec import make_spec


def on_trial(**more: Any) -> Stage:
    """A stage whose challenger has just become a shadow."""
    stage = Stage(**more)
    stage.hour(hours=1)
    stage.challenge()
    stage.turn(6)
    return stage


def in_canary(share: float = 0.05) -> Stage:
    """A stage whose challenger scores a share of the keys."""
    stage = on_trial()
    while stage.force()[2] < share:
        stage.hour()
        stage.turn(4)
    return stage


def finished() -> Stage:
    """A stage whose challenger is the champion."""
    stage = in_canary(0.5)
    stage.hour()
    stage.turn(8)
    return stage


def test_the_plan_is_gone_through_step_by_step() -> None:
    """Shadow, canary of rising shares, champion: each by an epoch of its own, each with labels; then aliases follow."""
    stage = finished()
    done = [(r.mode, r.share, r.state, r.step) for r in stage.table() if r.plan]
    assert done == [
        ("shadow", 0.0, "revoked", 0),
        ("canary", 0.05, "active", 1),
        ("canary", 0.5, "active", 2),
        ("champion", 0.0, "active", 3),
    ]
    assert stage.force() == ("champion", "2", 0.0)
    assert stage.aliases_ == {CHAMPION: "2", PREVIOUS: "1"}
    assert stage.plans.champion == "2"
    assert {epoch for epoch, _ in stage.barriers} == {3, 4, 5}, "a shadow has no barrier"


def test_without_declared_steps_a_challenger_is_swapped_in() -> None:
    """An empty plan is a swap: every worker has it loaded, then one barrier."""
    stage = Stage(plan={})
    stage.challenge()
    stage.turn(8)
    assert stage.force() == ("champion", "2", 0.0)
    assert stage.aliases_ == {CHAMPION: "2", PREVIOUS: "1"}


@pytest.mark.parametrize("number", range(8))
def test_a_challenger_on_trial_is_announced_active_and_followed_whoever_dies(number: int) -> None:
    """Controllers that die at random writes and between barriers: successors end with the same epochs, each once."""
    dice = random.Random(number)
    stage = Stage()
    stage.dies = lambda _: dice.random() < 0.3
    stage.hour(hours=1)
    stage.challenge()
    for _ in range(4):
        stage.survive(60)
        stage.hour()
    stage.survive(60)
    print("seed", number)
    assert stage.force() == ("champion", "2", 0.0)
    assert [r.mode for r in stage.table() if r.plan] == ["shadow", "canary", "canary", "champion"]
    assert {note.epoch for note in stage.notes.values()} == {5}
    stage.dies = lambda _: False
    stage.turn(4)
    assert stage.aliases_ == {CHAMPION: "2", PREVIOUS: "1"}


def test_labels_that_are_missing_hold_a_step_but_not_for_ever() -> None:
    """A step waits for labels as long as they may take to come (6 h here), and says so when it goes on without."""
    stage = on_trial()
    stage.hour(labels=False, hours=6)
    assert stage.turn().reason.startswith("shadow: labels may still come")
    stage.hour(labels=False, hours=2)
    stage.turn(4)
    assert stage.force()[0] == "canary"
    assert "without labels" in next(r.reason for r in stage.table() if r.mode == "canary")


@pytest.mark.parametrize(
    ("hours", "said"), [(0, "0 of 3600 s of event time"), (1, "5 records"), (0, "no scorecards come")]
)
def test_a_step_wants_time_and_records(hours: int, said: str) -> None:
    """Neither event time alone nor records alone end a step, and a monitor that is silent ends none."""
    stage = on_trial(plan={**PLAN, "shadow": {"time": "1h", "records": 100_005}})
    if said.startswith("no"):
        stage.cards.clear()
        stage.restart()
    stage.hour(hours=hours)
    assert said in stage.turn(2).reason
    assert stage.force()[0] == "champion"


def test_a_pause_holds_the_plan_and_not_the_rollback() -> None:
    """Paused, no step follows; what does harm is taken back all the same."""
    stage = in_canary()
    stage.plans = msgspec.structs.replace(stage.plans, paused="end of quarter")
    stage.hour()
    assert stage.turn(4).reason == "paused: end of quarter"
    assert stage.force() == ("canary", "1", 0.05)
    stage.hour(loss=0.3, hours=8)
    stage.turn(4)
    assert stage.force() == ("champion", "1", 0.0)


def test_a_worse_challenger_is_taken_back_by_itself() -> None:
    """Loss above the champion's by more than three errors: every epoch of it goes, with a reason, for good."""
    stage = in_canary()
    stage.hour(loss=0.1)
    stage.turn(6)
    assert stage.force() == ("champion", "1", 0.0)
    assert [r.state for r in stage.table() if r.plan] == ["revoked", "revoked"]
    assert stage.plans.refused["2"].startswith("rolled back (quality): loss is 0.")
    assert stage.versions_["2"].refused == stage.plans.refused["2"]
    assert stage.aliases_ == {CHAMPION: "1"}
    told = [v for v in stage.said if v.verdict == "alarm"]
    assert [(v.version, v.metric, v.trigger) for v in told] == [("2", "rollout", "rollout")]
    assert stage.metrics.counted("tailrace_rollbacks_total", "quality") == 1
    stage.challenge()
    stage.turn(6)
    assert stage.table().newest_active() == stage.rollouts[1], "it is not tried again"
    assert CHALLENGER not in stage.aliases_


def test_a_worker_that_refuses_ends_the_trial_before_it_begins() -> None:
    """Nothing comes into force, the reason stands in the registry, and the announced epoch goes, so workers free it."""
    stage = Stage()
    stage.refusing = {"2": "golden scores differ"}
    stage.challenge()
    stage.turn(6)
    assert stage.force() == ("champion", "1", 0.0)
    assert stage.rollouts[2].state == "revoked"
    assert "golden scores differ" in stage.versions_["2"].refused
    assert stage.barriers == []


def test_a_silent_worker_stops_a_rollout() -> None:
    """Partitions that no live worker has: the rollout waits, the old version stays, and the reason names them."""
    stage = Stage(plan={"canary": PLAN["canary"]})
    stage.silent = True
    stage.challenge()
    assert "no live worker says that it has partitions [1, 2" in stage.turn(6).reason
    assert stage.force() == ("champion", "1", 0.0)
    stage.silent = False
    stage.turn(2)
    assert stage.force()[0] == "canary"


def test_an_alias_that_somebody_moved_is_granted_without_a_plan() -> None:
    """Moving `champion` in MLflow swaps: prepared, one barrier, remembered; moving it back swaps back."""
    stage = Stage()
    stage.turn(3)
    stage.aliases_[CHAMPION] = "2"
    stage.turn(8)
    assert stage.force() == ("champion", "2", 0.0)
    assert stage.aliases_ == {CHAMPION: "2", PREVIOUS: "1"}
    stage.aliases_[CHAMPION] = "1"
    stage.turn(8)
    assert stage.force() == ("champion", "1", 0.0)
    assert (stage.aliases_, stage.plans.champion) == ({CHAMPION: "1", PREVIOUS: "2"}, "1")


@pytest.mark.parametrize("state", ["", "pending", "failed"])
def test_a_version_that_cannot_be_is_refused_and_the_alias_goes_back(state: str) -> None:
    """B38: an alias that names a missing or unfinished version changes nothing, and says why."""
    stage = Stage()
    stage.turn(3)
    stage.aliases_[CHAMPION] = "9"
    if state:
        stage.versions_["9"] = info("9", state)
    stage.turn(8)
    assert stage.force() == ("champion", "1", 0.0)
    assert len(stage.rollouts) == 1
    assert stage.aliases_ == {CHAMPION: "1"}
    assert [v.verdict for v in stage.said] == ["alarm"]


def test_a_refused_promotion_puts_the_alias_back() -> None:
    """Workers refuse what somebody promoted: the old version stays, and the alias says so again."""
    stage = Stage()
    stage.turn(3)
    stage.refusing = {"2": "signature: not ours"}
    stage.aliases_[CHAMPION] = "2"
    stage.turn(8)
    assert (stage.force(), stage.aliases_) == (("champion", "1", 0.0), {CHAMPION: "1"})
    assert "not ours" in stage.plans.refused["2"]


def test_a_promotion_by_hand_ends_a_trial() -> None:
    """Somebody promotes the challenger: it is the champion at once; promotes another one: the trial is over."""
    stage = in_canary()
    stage.aliases_[CHAMPION] = "2"
    stage.turn(8)
    assert stage.force() == ("champion", "2", 0.0)
    assert stage.aliases_ == {CHAMPION: "2", PREVIOUS: "1"}
    other = on_trial()
    other.versions_["3"] = info("3")
    other.aliases_[CHAMPION] = "3"
    other.turn(10)
    assert other.force() == ("champion", "3", 0.0)
    assert other.table().shadowing() is None
    assert other.aliases_ == {CHAMPION: "3", PREVIOUS: "1"}


def test_flapping_aliases_end_at_the_last_wish_with_few_rollouts() -> None:
    """F42: 50 moves in 60 s: epochs are far fewer than moves, and the last wish is in force at the end."""
    stage = Stage()
    stage.turn(3)
    for i in range(50):
        stage.aliases_[CHAMPION] = "12"[i % 2]
        stage.turn(2 + i % 2)
    stage.aliases_[CHAMPION] = "2"
    stage.turn(10)
    assert stage.force() == ("champion", "2", 0.0)
    assert len({epoch for epoch, _ in stage.barriers}) < 51
    assert sorted(stage.versions_) == ["1", "2"]


def test_first_look_believes_what_is_in_force() -> None:
    """A controller that never ran before takes an alias that lags behind for what it is, not for a wish."""
    stage = Stage()
    stage.aliases_[CHAMPION] = "2"
    stage.turn(6)
    assert (stage.force(), stage.aliases_) == (("champion", "1", 0.0), {CHAMPION: "1"})


def test_revocation_by_hand_moves_the_aliases_back() -> None:
    """`rollback`: the newest champion goes, the one before acts, and the aliases follow."""
    stage = finished()
    stage.control.revoke("2", reason="by hand")
    assert stage.force() == ("champion", "1", 0.0)
    stage.turn(6)
    assert stage.aliases_ == {CHAMPION: "1"}
    assert stage.force() == ("champion", "1", 0.0)


def test_without_mlflow_a_trial_goes_on() -> None:
    """The registry away: what was begun is finished, what does harm is taken back; aliases follow when it is there."""
    stage = in_canary()
    stage.away = True
    stage.hour()
    stage.turn(4)
    stage.hour()
    stage.turn(6)
    assert stage.force() == ("champion", "2", 0.0)
    assert stage.aliases_[CHAMPION] == "1"
    stage.away = False
    stage.turn(4)
    assert stage.aliases_ == {CHAMPION: "2", PREVIOUS: "1"}


@pytest.mark.parametrize(
    ("says", "goes"),
    [
        ({"scored": {"2": 1000}, "rejects": {"2": 5000}}, True),
        ({"scored": {"2": 1000}, "rejects": {"2": 300}}, False),
        ({"scored": {"2": 1000, "1": 1000}, "rejects": {"2": 300, "1": 300}}, False),
        ({"scored": {"2": 1000, "1": 1000}, "rejects": {"2": 300}}, True),
    ],
    ids=["most", "some, and nothing to compare", "as many as before", "more than before"],
)
def test_a_champion_that_cannot_score_any_more_goes(says: dict[str, Any], goes: bool) -> None:  # noqa: FBT001 - a column
    """Not a number after a while, when it is the champion already: the one before acts again, if it did better."""
    stage = finished()
    stage.says = says
    stage.turn(6)
    assert stage.force() == ("champion", "1" if goes else "2", 0.0)
    assert ("2" in stage.plans.refused) == goes


def test_a_step_whose_champion_was_replaced_meanwhile_never_begins() -> None:
    """By hand another version came into force below a step that waits: it would bring the old champion back."""
    stage = Stage(plan={"canary": PLAN["canary"]})
    stage.rollouts[2] = Rollout("parcels", 2, ref("3"), "announced")
    stage.silent = True
    stage.challenge()
    stage.turn(6)
    assert stage.rollouts[3].state == "announced"
    stage.rollouts[2] = Rollout("parcels", 2, ref("3"), "active")
    stage.notes = {p: Note(2, 2) for p in stage.notes}
    stage.silent = False
    stage.turn(6)
    assert stage.force() == ("champion", "3", 0.0)
    assert {r.epoch: r.state for r in stage.table()}[3] == "revoked"


def test_a_successor_fences_whoever_did_not_answer_a_revocation() -> None:
    """A controller dies between the revocation and the fence: the next one fences the frozen worker, once."""
    stage = in_canary()
    stage.silent = True
    now = stage.control.now()
    gone = taken_back("2", stage.table(), now, "bad")
    stage.rollouts.update({r.epoch: r for r in gone})
    stage.restart()
    stage.turn(2)
    assert stage.fenced == [], "three seconds are given for an answer"
    stage.turn(10)
    assert stage.fenced == ["tailrace.parcels.scorer.1"]


def test_a_barrier_that_nobody_passes_is_written_again_ever_more_seldom() -> None:
    """Only into the partitions that lack it; a successor writes it at once; and no step follows before it is passed."""
    stage = Stage(plan={"canary": PLAN["canary"]})
    stage.stuck = frozenset({1})
    stage.challenge()
    stage.turn(6)
    assert [epoch for epoch, _ in stage.barriers] == [2]
    stage.turn(80)
    again = [parts for _, parts in stage.barriers[1:]]
    assert again == [(1,)] * 3, "after 5, 10 and 20 s"
    stage.restart()
    stage.turn()
    assert len(stage.barriers) == 5
    stage.hour()
    assert stage.turn(4).reason == "partitions [1] have not passed the last barrier yet"
    stage.stuck = frozenset()
    stage.turn(80)
    stage.hour()
    stage.turn(4)
    assert stage.force()[2] == 0.5


def test_a_plan_that_was_changed_meanwhile_never_makes_a_share_smaller() -> None:
    """A controller that was started with other steps goes on with the first larger share."""
    stage = in_canary(0.5)
    stage.plan = {"canary": [{"share": s, "time": "1h", "records": 0} for s in (0.1, 0.2, 0.3, 0.6)]}
    stage.spec = make_spec(rollout=stage.plan)
    stage.restart()
    stage.hour()
    stage.turn(4)
    assert stage.force() == ("canary", "1", 0.6)


def test_a_refused_version_that_somebody_promotes_is_pardoned() -> None:
    """By hand it may come into force in spite of its refusal, which then stands nowhere any more."""
    stage = in_canary()
    stage.hour(loss=0.1)
    stage.turn(6)
    assert stage.versions_["2"].refused
    stage.aliases_[CHAMPION] = "2"
    stage.turn(10)
    assert stage.force() == ("champion", "2", 0.0)
    assert (stage.plans.refused, stage.versions_["2"].refused) == ({}, "")


def test_refusals_are_remembered_a_hundred_at_most() -> None:
    """What is kept beside the epochs does not grow without end."""
    state = PlanState("parcels")
    for i in range(150):
        state = refusing(state, str(i), "bad")
    assert (len(state.refused), list(state.refused)[-1]) == (100, "149")
