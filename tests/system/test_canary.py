"""Canaries and shadows on a real broker: the version of each record is f(epoch at its offset, key), whatever dies."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka.positions import GroupPositions
from shared.core.records import Rollout
from shared.core.topics import TopicName
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.ports import free_port
from tailrace.stack.services import SERVICE_PROGRAMS, Order
from tests.support.bundles import START
from tests.support.steps_of_rollouts import barriers, heartbeats, messages, owed, put
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
STEPS = (0.05, 0.25, 0.5, 1.0)
BURST = 600


def canary(w: World, epoch: int, share: float) -> Rollout:
    """Version 2 as the challenger of version 1."""
    a, b = w.versions["1"], w.versions["2"]
    return Rollout(w.spec.name, epoch, a, "active", "test", challenger=b, mode="canary", share=share)


def shadow(w: World, epoch: int, state: str) -> Rollout:
    """Version 2 beside version 1."""
    a, b = w.versions["1"], w.versions["2"]
    return Rollout(w.spec.name, epoch, a, state, "test", challenger=b, mode="shadow")  # type: ignore[arg-type] # a literal


def ready(w: World, version: str, *workers: str) -> Callable[[], bool]:
    """A condition: these workers have loaded a version."""

    def check() -> bool:
        told = heartbeats(w)
        return all(name in told and version in told[name].ready for name in workers)

    return check


def made_as_owed(w: World, rollouts: list[Rollout]) -> dict[tuple[int, int], str]:
    """Each prediction against f(epoch at its offset, key): the versions by position."""
    expected = owed(w, rollouts)
    versions: dict[tuple[int, int], str] = {}
    for one in w.values("predictions"):
        at = (one["at"][0], one["at"][1])
        epoch, ref = expected[at]
        theirs = rollouts[epoch - 1].challenger == ref
        assert (one["epoch"], one["version"], one["digest"]) == (epoch, ref.version, ref.digest[:16]), one
        assert ("canary" in one["flags"]) == theirs, one
        assert versions.setdefault(at, one["version"]) == one["version"]
    return versions


def test_a_canary_grows_to_champion_though_workers_die(world: Callable[..., World]) -> None:
    """5, 25, 50, 100 % and then alone, a kill at each step: f(epoch, key) each time, after an offset reset as well."""
    w = world()
    rollouts = [Rollout(w.spec.name, 1, w.versions["1"], "active")]
    w.start(2)
    w.announce("2", 9, "announced")
    until(ready(w, "2", "scorer-0", "scorer-1"), "both workers to have loaded version 2", 60)
    sent = 0
    for share in (*STEPS, None):
        w.send("records", [record(i) for i in range(sent, sent + BURST)])
        epoch = len(rollouts) + 1
        alone = Rollout(w.spec.name, epoch, w.versions["2"], "active", "test")
        rollouts.append(alone if share is None else canary(w, epoch, share))
        put(w, rollouts[-1])
        if share == STEPS[1]:
            os.kill(w.pid(0), signal.SIGKILL)
        barriers(w, epoch)
        if share in {STEPS[0], STEPS[2]}:
            os.kill(w.pid(1), signal.SIGKILL)
        w.send("records", [record(i) for i in range(sent + BURST, sent + 2 * BURST)])
        sent += 2 * BURST
        if share not in {STEPS[1], STEPS[3]}:
            until(w.all_scored(sent), f"every record of the step {share}", 90)
    account = w.account()
    assert account.ok, account
    versions = made_as_owed(w, rollouts)
    assert len(versions) == sent
    by_key: dict[str, list[str]] = {}
    for message in messages(w, "records"):
        if not message.headers():
            key = (message.key() or b"").decode()
            by_key.setdefault(key, []).append(versions[message.partition(), message.offset()])
    assert all(made == sorted(made) for made in by_key.values()), "a key went back"
    assert {made[0] for made in by_key.values()} == {"1"}
    begun = {(a.epoch, a.partition): (a.version, a.challenger, a.share) for a in w.applications()}
    assert {begun[3, p] for p in range(w.spec.partitions)} == {("1", "2", STEPS[1])}
    assert {begun[6, p] for p in range(w.spec.partitions)} == {("2", "", 0.0)}
    _reset(w)
    w.start(1)
    until(lambda: w.account().predictions == 2 * sent, "the replay", 90)
    assert made_as_owed(w, rollouts) == versions


def _reset(w: World) -> None:
    """An administrator sets the group back to the beginning: the notes are gone."""
    w.supervisor.stop()
    with closing(Consumer({**w.conf, "group.id": f"tailrace.{w.spec.name}.scorer"})) as admin:
        name = f"{w.spec.name}.records"
        admin.commit(offsets=[TopicPartition(name, p, 0) for p in range(w.spec.partitions)], asynchronous=False)


def test_a_worker_that_cannot_load_the_epoch_in_force_gives_its_partitions_up(world: Callable[..., World]) -> None:
    """It leaves the group and says why, without a restart; another goes on with its partitions."""
    w = world()
    w.start(1)
    w.announce("2", 2, "announced")
    until(ready(w, "2", "scorer-0"), "the first worker to have loaded version 2", 60)
    model = w.folder / "two" / "manifest.json"
    model.rename(model.with_suffix(".gone"))
    other = replace(w, extra_env={**w.extra_env, "TAILRACE_MODELS__CACHE": str(w.folder / "cache")})
    other.start_one(1)
    until(ready(w, "1", "scorer-1"), "the second worker to have loaded version 1", 60)
    until(lambda: heartbeats(w)["scorer-1"].partitions != (), "it to own partitions", 60)
    w.announce("2", 2, "active")
    barriers(w, 2)
    w.send("records", [record(i) for i in range(500)])
    until(w.all_scored(500), "every record by version 2", 60)
    until(lambda: len(heartbeats(w)["scorer-0"].partitions) == w.spec.partitions, "the other to own all", 30)
    told = heartbeats(w)["scorer-1"]
    assert told.partitions == ()
    assert "is not at" in told.refused["2"] or "lacks" in told.refused["2"], told.refused
    assert w.account().versions == {"2": 500}
    assert w.restarts() == 0


def test_a_revocation_sets_going_what_its_version_had_stopped(world: Callable[..., World]) -> None:
    """A version without answers stops partitions by the limit of dead letters; withdrawn, they go on by themselves."""
    limit = {"dead_letters": {"in_a_row": 20}}
    w = world(delivery=limit, env={"TAILRACE_TEST_FAILING": "2"})
    w.start(1, "tests.support.failing_scorer")
    w.announce("2", 2, "announced")
    until(ready(w, "2", "scorer-0"), "the worker to have loaded version 2", 60)
    w.announce("2", 2, "active")
    barriers(w, 2)
    w.send("records", [record(i) for i in range(1_000)])
    until(lambda: len(heartbeats(w)["scorer-0"].stopped) > 0, "partitions to stop", 60)
    w.announce("2", 2, "revoked")
    until(w.all_scored(1_000), "every record to have an outcome", 60)
    account = w.account()
    assert account.ok, account
    assert heartbeats(w)["scorer-0"].rejects.get("2", 0) == account.dead_letters.get("not_a_number", 0)
    until(lambda: heartbeats(w)["scorer-0"].stopped == {}, "the worker to say so", 20)
    assert w.restarts() == 0


def test_a_shadow_scores_beside_the_champion(world: Callable[..., World]) -> None:
    """Its observations stand beside the champion's from its activation on, and scorecards compare the two in pairs."""
    w = world(monitoring={"window": "2h", "hold": "3h"})
    w.start(1)
    w.send("records", [record(i) for i in range(200)])
    until(w.all_scored(200), "the records before the shadow", 60)
    order = Order(w.folder, Endpoints(kafka=w.kafka, redis=w.redis), w.folder / "state", 1, lambda _: free_port())
    for service in ("labels", "observer", "shadow"):
        w.supervisor.start(*(replace(p, env={**p.env, **w.extra_env}) for p in SERVICE_PROGRAMS[service](order)))
    put(w, shadow(w, 2, "announced"))
    until(ready(w, "2", "shadow-0"), "the shadow to have loaded version 2", 60)
    until(lambda: len(heartbeats(w)["shadow-0"].partitions) == w.spec.partitions, "the shadow to own the journal", 60)
    put(w, shadow(w, 2, "active"))
    until(lambda: 2 in heartbeats(w)["shadow-0"].epochs.values(), "the shadow to know its epoch", 30)
    w.send("records", [record(i) for i in range(200, 800)])
    labels = [
        json.dumps({"id": f"r{i}", "value": "late" if i % 3 else "on_time", "time": START + i}).encode()
        for i in range(800)
    ]
    w.send("labels", [(record(i)[0], label, None) for i, label in enumerate(labels)])
    until(w.all_scored(800), "every record", 60)
    until(lambda: sum(_pairs(w).values()) == 600, "pairs of every record since the shadow began", 60)
    until(lambda: heartbeats(w)["shadow-0"].scored == {"2": 600}, "the shadow to say so", 20)
    seen = [one for one in w.values("journal") if one["type"] == "observation"]
    champions = {tuple(one["prediction"]["at"]): one for one in seen if not one["shadow"]}
    shadows = [one for one in seen if one["shadow"]]
    assert (len(champions), len(shadows)) == (800, 600)
    for one in shadows:
        beside, made = champions[tuple(one["prediction"]["at"])], one["prediction"]
        assert (made["version"], made["epoch"], one["digest"]) == ("2", 2, w.versions["2"].digest)
        same = {**made, "version": "1", "epoch": 1, "digest": beside["prediction"]["digest"]}
        assert same == beside["prediction"]  # the two versions are one model
        assert all(one[name] == beside[name] for name in ("record", "lookups", "logged"))
    assert w.account().versions == {"1": 800}
    assert heartbeats(w)["shadow-0"].rejects == {}
    assert all(speed > 0 for speed in heartbeats(w)["shadow-0"].speeds.values())  # told from a few calls on
    put(w, shadow(w, 2, "revoked"))
    until(lambda: set(heartbeats(w)["shadow-0"].epochs.values()) == {0}, "the shadow to end", 30)
    w.send("records", [record(i) for i in range(800, 900)])
    until(w.all_scored(900), "records after it", 60)
    until(_read(w, "shadow", "journal"), "the shadow at the end of the journal", 60)
    assert len([one for one in w.values("journal") if one.get("shadow")]) == 600
    assert w.restarts() == 0


def _read(w: World, service: str, name: TopicName) -> Callable[[], bool]:
    """A condition: a service has committed beyond every record of its topic."""

    def check() -> bool:
        last = {m.partition(): m.offset() for m in messages(w, name)}
        with closing(GroupPositions(w.conf, f"tailrace.{w.spec.name}.{service}", f"{w.spec.name}.{name}")) as asked:
            at = asked.committed()
        return all(at.get(partition, 0) > offset for partition, offset in last.items())

    return check


def _pairs(w: World) -> dict[str, int]:
    """Records that both versions scored and that have a label, by scorecard; the last of each counts."""
    cards = {
        f"{one['window']}/{one['partition']}": one["sums"].get("pairs", {})
        for one in w.values("scorecards")
        if one["type"] == "scorecard" and one.get("shadow")
    }
    return {name: sum(pair[0] for pair in pairs.values()) for name, pairs in cards.items()}
