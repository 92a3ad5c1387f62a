"""A version comes into force at one offset in each partition, and goes at the next batch, whatever happens."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from services.retrainer.rollout.decide import RolloutRefused
from shared.core.records import CONTROL_HEADER
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system


def versions_by_partition(world: World) -> dict[int, list[str]]:
    """The version of each prediction, in offset order, by partition."""
    found: dict[int, list[tuple[int, str]]] = {}
    for made in world.values("predictions"):
        found.setdefault(made["at"][0], []).append((made["at"][1], made["version"]))
    return {p: [version for _, version in sorted(rows)] for p, rows in sorted(found.items())}


def changes(versions: list[str]) -> int:
    """How often the version changes along a partition."""
    return sum(1 for a, b in pairwise(versions) if a != b)


def expected(world: World) -> dict[tuple[int, int], int]:
    """The epoch of each prediction by its position, as `rollouts` assigns it."""
    applications = sorted(world.applications(), key=lambda a: a.offset)
    found = {}
    for made in world.values("predictions"):
        partition, offset = made["at"]
        acting = [a.epoch for a in applications if a.partition == partition and a.offset <= offset]
        found[partition, offset] = acting[-1]
    return found


def test_a_version_changes_once_in_each_partition_though_workers_die(world: Callable[..., World]) -> None:
    """Activated in the middle of the load, with kills around it: one change a partition, none lost or doubled (I8)."""
    w = world()
    w.start(2)
    w.send("records", [record(i) for i in range(2_000)])
    until(lambda: w.account().predictions > 500, "the first predictions", 60)
    w.announce("2", 2, "announced")
    with ExitStack() as stack:
        control = w.control(stack)
        active = control.activate("2", reason="test", workers=2, timeout=60)
        os.kill(w.pid(0), signal.SIGKILL)
        w.send("records", [record(i) for i in range(2_000, 4_000)])
        os.kill(w.pid(1), signal.SIGKILL)
        until(w.all_scored(4_000), "every record", 90)
        assert control.settled(active.epoch, 30) == []
    account = w.account()
    assert account.ok, account
    assert account.controls == w.spec.partitions
    by_partition = versions_by_partition(w)
    assert {p: changes(v) for p, v in by_partition.items()} == dict.fromkeys(by_partition, 1)
    assert all((v[0], v[-1]) == ("1", "2") for v in by_partition.values())
    epochs = expected(w)
    assert all(epochs[made["at"][0], made["at"][1]] == made["epoch"] for made in w.values("predictions"))


def test_forged_and_old_barriers_change_nothing(world: Callable[..., World]) -> None:
    """A producer's own barrier is a dead letter, one of an epoch already in force a counted no-op."""
    w = world()
    w.start(1)
    forged = [(CONTROL_HEADER, b"rollout")]
    messages: list[Any] = [record(i, key=1) for i in range(100)]
    messages[50:50] = [
        ("depot-1", b'{"epoch": 99}', forged),
        ("depot-1", b"?", forged),
        ("depot-1", b'{"epoch": 1}', forged),
    ]
    w.send("records", messages)
    until(lambda: w.account().predictions == 100, "the records around the barriers", 60)
    account = w.account()
    assert account.dead_letters == {"forged_control": 2}
    assert (account.lost, account.doubled, account.controls) == (0, 0, 1)
    assert set(account.versions) == {"1"}
    assert w.restarts() == 0


def test_a_revocation_acts_at_the_next_batch_whatever_the_backlog(world: Callable[..., World]) -> None:
    """A withdrawn version stops scoring although its barrier is long past and the backlog is large."""
    w = world()
    w.start(2)
    w.send("records", [record(i) for i in range(500)])
    until(w.all_scored(500), "the first records", 60)
    w.announce("2", 2, "announced")
    with ExitStack() as stack:
        control = w.control(stack)
        control.activate("2", reason="test", workers=2, timeout=60)
        w.send("records", [record(i) for i in range(500, 1_000)])
        until(w.all_scored(1_000), "records of version 2", 60)
        w.send("records", [record(i) for i in range(1_000, 6_000)])
        control.revoke("2", reason="test", timeout=20)
        w.send("records", [record(i) for i in range(6_000, 6_500)])
        until(w.all_scored(6_500), "all records", 60)
        with pytest.raises(RolloutRefused, match="nothing below it"):
            control.revoke("1", reason="test", timeout=1)
    assert w.account().ok
    by_partition = versions_by_partition(w)
    assert {p: changes(v) for p, v in by_partition.items()} == dict.fromkeys(by_partition, 2)
    assert all(v[-1] == "1" for v in by_partition.values())
    assert {a.cause for a in w.applications() if a.epoch == 1} == {"first", "revoked"}
    epochs = expected(w)
    assert all(
        epochs[m["at"][0], m["at"][1]] == m["epoch"]
        for m in w.values("predictions")
        if m["at"][1] >= 0 and m["epoch"] == 2
    )


def test_a_corrupt_version_is_refused_and_the_old_one_stays(world: Callable[..., World]) -> None:
    """A bundle whose bytes changed never scores: activation ends with the workers' reason (F37)."""
    w = world()
    w.start(1)
    model = w.folder / "two" / next(p.name for p in (w.folder / "two").iterdir() if p.name.startswith("model."))
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(bytes(content))
    w.announce("2", 2, "announced")
    with ExitStack() as stack, pytest.raises(RolloutRefused, match="refused, the old one stays"):
        w.control(stack).activate("2", reason="test", workers=1, timeout=60)
    w.send("records", [record(i) for i in range(300)])
    until(w.all_scored(300), "records", 60)
    account = w.account()
    assert account.versions == {"1": 300}
    assert account.controls == 0


def test_an_offset_reset_finds_its_epoch_again(world: Callable[..., World]) -> None:
    """An administrator's reset erases the offset's metadata; a replay scores with the same versions as before."""
    w = world()
    w.start(1)
    w.send("records", [record(i) for i in range(300)])
    until(w.all_scored(300), "the first records", 60)
    w.announce("2", 2, "announced")
    with ExitStack() as stack:
        active = w.control(stack).activate("2", reason="test", workers=1, timeout=60)
        w.send("records", [record(i) for i in range(300, 600)])
        until(w.all_scored(600), "the rest", 60)
        assert w.control(stack).settled(active.epoch, 30) == []
    before = {tuple(m["at"]): m["version"] for m in w.values("predictions")}
    w.supervisor.stop()
    admin = Consumer({**w.conf, "group.id": f"tailrace.{w.spec.name}.scorer"})
    name = f"{w.spec.name}.records"
    admin.commit(offsets=[TopicPartition(name, p, 0) for p in range(w.spec.partitions)], asynchronous=False)
    admin.close()
    w.start(1)
    until(lambda: w.account().predictions == 1_200, "the replay", 60)
    again = w.values("predictions")
    assert len(again) == 1_200
    assert all(before[tuple(m["at"])] == m["version"] for m in again)
