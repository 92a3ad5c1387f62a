"""The rollout controller on a real broker and a real registry: who dies, who is frozen, who moves an alias."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from services.retrainer.rollout import hand
from shared.core.errors import UserError
from shared.core.monitor_records import Account, account_key
from shared.core.records import BundleRef, Rollout
from shared.core.registry import CHALLENGER, CHAMPION, PREVIOUS
from shared.core.rollout import RolloutTable
from tailrace.cli import models, rollout
from tests.support.bundles import Kit, copied
from tests.support.rollout_service import register, start_controller
from tests.support.steps_of_rollouts import heartbeats, owed
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
HOUR = 3_600_000
PLAN = {"canary": [{"share": 0.3, "time": "1h", "records": 0}]}


def epochs(w: World) -> list[Rollout]:
    """What `models` says."""
    return list(RolloutTable(msgspec.convert(value, Rollout) for value in w.values("models")))


def force(w: World) -> tuple[str, str, str]:
    """Mode, champion and challenger in force."""
    found = RolloutTable(epochs(w)).newest_active()
    assert found is not None
    return found.mode, found.champion.version, found.challenger.version if found.challenger else ""


def event_time(w: World, hours: int) -> None:
    """What an observer would say where no labels come: how far event time is."""
    for partition in range(w.spec.partitions):
        told = Account(window=hours * HOUR, span=HOUR, partition=partition, watermark=hours * HOUR, offset=1)
        w.send("scorecards", [(account_key(told).decode(), msgspec.json.encode(told), None)])


def as_owed(w: World) -> None:
    """Each prediction is by f(epoch at its offset, key), whatever was written how often."""
    expected = owed(w, epochs(w))
    for one in w.values("predictions"):
        epoch, ref = expected[one["at"][0], one["at"][1]]
        assert (one["epoch"], one["version"]) == (epoch, ref.version), one


def test_plan_aliases_and_controllers_that_die(world: Callable[..., World], mlflow_url: str) -> None:
    """Two controllers, one of which dies between two barriers: the plan is gone through once; then an alias by hand."""
    w = world(rollout=PLAN)
    registry = register(w, mlflow_url, ["1", "2", "3"])  # the third one has no bundle
    name = w.spec.name
    w.start(1)
    event_time(w, 1)
    start_controller(w, mlflow_url, "rollout-cut", "tests.support.rollout_service")
    w.send("records", [record(i) for i in range(1_000)])
    registry.set_alias(name, CHALLENGER, "2")
    until(lambda: force(w) == ("canary", "1", "2"), "the canary", 60)
    start_controller(w, mlflow_url, "rollout-other")
    w.send("records", [record(i) for i in range(1_000, 2_000)])
    canary = next(r.epoch for r in epochs(w) if r.mode == "canary")
    with ExitStack() as stack:
        assert w.control(stack).settled(canary, 60) == [], "a successor wrote the barriers that were missing"
    assert (w.folder / "cut").exists()
    w.send("records", [record(i) for i in range(2_000, 3_000)])
    until(w.all_scored(3_000), "every record", 60)
    event_time(w, 200)
    until(lambda: force(w)[:2] == ("champion", "2"), "the champion", 60)
    until(lambda: registry.aliases(name) == {CHAMPION: "2", PREVIOUS: "1"}, "the aliases", 30)
    assert [(r.mode, r.state) for r in epochs(w)] == [
        ("champion", "active"),
        ("canary", "active"),
        ("champion", "active"),
    ]
    registry.set_alias(name, CHAMPION, "3")
    until(lambda: registry.aliases(name)[CHAMPION] == "2", "the alias of a version without bundle to go back", 30)
    code, said = command(w, mlflow_url, "models", "promote", "9")
    assert (code, "has no version 9" in said) == (2, True)
    assert command(w, mlflow_url, "models", "promote", "1")[0] == 0
    assert force(w)[:2] == ("champion", "1")
    w.send("records", [record(i) for i in range(3_000, 4_000)])
    until(w.all_scored(4_000), "every record", 60)
    account = w.account()
    assert account.ok, account
    as_owed(w)
    _by_command(w, mlflow_url)
    alarms = [v for v in w.values("verdicts") if v["verdict"] == "alarm"]
    assert [(v["version"], v["metric"]) for v in alarms] == [("3", "rollout")]


def _by_command(w: World, mlflow: str) -> None:
    """What a person sees: the version that came back is taken back once more, and nothing is on trial."""
    code, said = command(w, mlflow, "models", "rollback", "--reason", "worse", "--json")
    assert (code, json.loads(said)) == (0, {"version": "1", "acting": "2", "fenced": []})
    code, said = command(w, mlflow, "rollout", "plan", "--json")
    told = json.loads(said)
    assert (code, told["plan"]["champion"], told["plan"]["steps"]) == (0, "2", ["canary 30%", "champion"])
    assert "no bundle" in told["said"]["3"]
    code, said = command(w, mlflow, "models", "list", "--json")
    rows = {row["version"]: row for row in json.loads(said)}
    assert (code, rows["2"]["acting"], rows["1"]["refused"]) == (0, True, "rolled back by hand: worse")


def command(w: World, mlflow: str, noun: str, verb: str, *words: str) -> tuple[int, str]:
    """Run `tailrace NOUN VERB PIPELINE ...` in this process: its exit code, and what it printed or raised."""
    app = typer.Typer()
    for module in (models, rollout):
        module.register(app)
    env = {"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": w.kafka, "TAILRACE_MLFLOW__URL": mlflow}
    done = CliRunner().invoke(app, [noun, verb, str(w.folder), *words], env=env)
    raised = isinstance(done.exception, UserError)
    return (2, str(done.exception)) if raised else (done.exit_code, done.stdout)


def third(w: World, folder: Path) -> BundleRef:
    """A third version, announced."""
    other = copied(Kit(w.spec, w.folder / "two", w.kit.state, w.kit.ref), folder)
    sealed = other.seal(msgspec.structs.replace(other.manifest(), version="3"))
    return BundleRef("3", other.folder.absolute().as_uri(), sealed.digest)


def test_a_model_that_begins_to_fail_is_rolled_back_by_itself(
    world: Callable[..., World], mlflow_url: str, tmp_path: Path
) -> None:
    """Not a number after a while: the challenger goes within seconds, with its reason in topics and registry."""
    w = world(rollout=PLAN, delivery={"dead_letters": {"in_a_row": 100_000, "share": 1.0}})
    home = tmp_path / "three"
    home.mkdir()
    w.versions["3"] = third(w, home)
    registry = register(w, mlflow_url, ["1", "2", "3"])
    w.start(2, "tests.support.failing_scorer")
    event_time(w, 1)
    start_controller(w, mlflow_url, "rollout-one")
    registry.set_alias(w.spec.name, CHALLENGER, "3")
    until(lambda: force(w) == ("canary", "1", "3"), "the canary", 60)
    sent = 0
    end = time.monotonic() + 60
    while force(w)[0] == "canary":
        assert time.monotonic() < end, "it is still in force"
        w.send("records", [record(i) for i in range(sent, sent + 500)])
        sent += 500
    until(lambda: registry.aliases(w.spec.name) == {CHAMPION: "1"}, "the alias to go", 30)
    info = registry.versions(w.spec.name)[2]
    assert info.refused.startswith("rolled back (rejects)")
    until(w.all_scored(sent), "every record", 60)
    account = w.account()
    assert (account.lost, account.doubled) == (0, 0)
    assert set(account.dead_letters) == {"not_a_number"}
    w.send("records", [record(i) for i in range(sent, sent + 500)])
    until(w.all_scored(sent + 500), "every record", 60)
    assert w.account().dead_letters == account.dead_letters, "it scores no more"


def test_rollback_by_hand_is_over_in_five_seconds_with_a_frozen_worker(world: Callable[..., World]) -> None:
    """A worker is frozen with a batch of the bad version in hand: it is fenced, and commits nothing when it wakes."""
    w = world()
    w.start(2)
    w.announce("2", 2, "announced")
    with ExitStack() as stack:
        control = w.control(stack)
        control.activate("2", reason="test", workers=2, timeout=60)
        w.send("records", [record(i) for i in range(20_000)])
        until(lambda: "2" in w.account().versions, "predictions of version 2", 60)
        until(lambda: all(h.partitions for h in heartbeats(w).values()), "both to own partitions", 60)
        os.kill(w.pid(1), signal.SIGSTOP)
        began = time.monotonic()
        back = hand.rollback(control, "test")
        took = time.monotonic() - began
    bad = w.account().versions["2"]
    assert (back.version, back.acting, list(back.fenced)) == ("2", "1", ["scorer-1"])
    assert took < 5
    os.kill(w.pid(1), signal.SIGCONT)
    until(w.all_scored(20_000), "every record", 120)
    account = w.account()
    assert account.ok, account
    assert account.versions["2"] == bad, "nothing of the bad version was committed after the command"
