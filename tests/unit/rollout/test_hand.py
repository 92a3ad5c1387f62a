"""What an operator tells the controller: refusals first."""

import msgspec
import pytest

from services.retrainer.rollout import hand
from services.retrainer.rollout.decide import RolloutRefused
from services.retrainer.rollout.steps import terms_of
from shared.core.errors import UserError
from shared.core.records import Rollout
from shared.core.registry import CHALLENGER, CHAMPION, PREVIOUS
from tests.support.rollout_stage import PLAN, Stage, info, ref


def canary() -> Stage:
    """Version 2 scores a share of the keys."""
    stage = Stage(plan={"canary": PLAN["canary"]})
    stage.hour(hours=1)
    stage.challenge()
    stage.turn(6)
    assert stage.force()[0] == "canary"
    return stage


def standing(stage: Stage) -> hand.Standing:
    """Where the plan stands."""
    return hand.standing(stage.table(), stage.plans, terms_of(stage.spec))


@pytest.mark.parametrize(
    ("version", "said"), [("9", "has no version 9"), ("3", "is pending"), ("4", "is failed"), ("5", "not made by Tail")]
)
def test_a_version_that_cannot_be_promoted_is_the_users_mistake(version: str, said: str) -> None:
    """B38: missing, unfinished, failed or foreign: one clear line that names those that can be."""
    known = [info("1"), info("3", "pending"), info("4", "failed"), info("5", "")]
    with pytest.raises(UserError, match=said) as caught:
        hand.promotable(known, version, "parcels")
    assert caught.value.remedy.endswith("one of: 1")


def test_nothing_to_abort_and_nothing_to_roll_back_to() -> None:
    """Without a trial there is nothing to abort; the only version stays, whatever is asked for."""
    stage = Stage()
    with pytest.raises(RolloutRefused, match="no challenger is under way"):
        hand.abort(stage.control, "no")
    with pytest.raises(RolloutRefused, match="oldest in force"):
        hand.rollback(stage.control, "no")
    assert stage.force() == ("champion", "1", 0.0)


def test_an_aborted_challenger_is_gone_for_good() -> None:
    """Its epochs are revoked, the alias goes, and it is not tried again."""
    stage = canary()
    back = hand.abort(stage.control, "wrong data")
    assert (back.version, back.acting, list(back.fenced)) == ("2", "1", [])
    stage.turn(6)
    assert (stage.force(), stage.aliases_) == (("champion", "1", 0.0), {CHAMPION: "1"})
    assert stage.versions_["2"].refused == "aborted: wrong data"
    assert not standing(stage).trial


def test_a_pause_lasts_until_it_is_taken_back() -> None:
    """The plan holds with the reason, shows it, and goes on where it was."""
    stage = canary()
    hand.pause(stage.control, "end of quarter")
    stage.hour()
    stage.turn(6)
    now = standing(stage)
    assert (now.trial, now.step, now.steps, now.paused) == (
        "2", 1, ("canary 5%", "canary 50%", "champion"), "end of quarter",
    )  # fmt: skip
    hand.resume(stage.control)
    stage.turn(4)
    assert stage.force()[2] == 0.5


def test_rollback_in_a_canary_takes_the_challenger() -> None:
    """What is newest goes: of a canary the challenger, and the champion beside it stays."""
    stage = canary()
    assert hand.rollback(stage.control, "bad").version == "2"
    assert stage.force() == ("champion", "1", 0.0)


def test_a_champion_that_came_back_can_be_taken_back_again() -> None:
    """1, then 2, then 1 again: a rollback ends with 2 in force, though 1 is the oldest and stays below."""
    stage = Stage()
    for epoch, version in ((2, "2"), (3, "1")):
        stage.rollouts[epoch] = Rollout("parcels", epoch, ref(version), "active")
    assert hand.rollback(stage.control, "bad").acting == "2"
    assert [r.state for r in stage.table()] == ["active", "active", "revoked"]


def test_a_promotion_is_open_until_it_is_in_force_or_the_alias_goes_back() -> None:
    """In force: nothing to say. The alias elsewhere: why. Else nobody has answered yet."""
    stage = Stage()
    assert hand.granted(stage.table(), stage.plans, {CHAMPION: "1"}, "1") == ""
    assert hand.granted(stage.table(), stage.plans, {CHAMPION: "2"}, "2") is None
    refused = msgspec.structs.replace(stage.plans, refused={"2": "golden scores differ"})
    assert hand.granted(stage.table(), refused, {CHAMPION: "1"}, "2") == "golden scores differ"
    assert hand.granted(stage.table(), stage.plans, {CHAMPION: "3"}, "2") == "somebody else moved the alias"


def test_rows_say_what_became_of_each_version() -> None:
    """The newest first, with aliases, the roles in active epochs, the gate's answer and refusals."""
    stage = canary()
    tags = {hand.GATE_TAG: "passed"}
    known = [info("1"), msgspec.structs.replace(info("2"), tags=tags), info("3", "pending")]
    aliases = {CHAMPION: "1", CHALLENGER: "2", PREVIOUS: "1"}
    third, second, first = hand.rows(known, aliases, stage.table(), stage.plans)
    assert (third.state, third.in_force, third.acting) == ("pending", {}, False)
    assert (second.aliases, second.in_force, second.gate) == (("challenger",), {"2": "canary 5%"}, "passed")
    assert (first.aliases, first.acting) == (("champion", "previous"), True)
    assert first.in_force == {"1": "champion", "2": "champion"}
