"""The checkers of rollouts: silent on a clean run, and loud on each planted breach; and the plan that they judge."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from shared.core.pipeline_file import decode
from shared.core.records import Application, BundleRef
from shared.runtime.settings import LoopSettings
from tailrace.proof.evidence import Evidence
from tailrace.proof.rollout_checks import (
    latencies,
    never_scored,
    one_beginning,
    replayed,
    settled,
    swaps,
    versions_of,
)
from tailrace.proof.rollout_plan import Move, Request, moves, plan
from tailrace.proof.rollout_verdict import percentile, ratio
from tailrace.proof.tape import CONTROL, Row
from tests.support.spec import make_tree

SPEC = decode(make_tree("binary"), "shop")
REQUEST = Request(rollouts=20, rate=100, calm=4, kills=4, freezes=1, moves=2, workers=2, seed=3)
BARRIER = 10  # the offset of epoch 2's in both partitions


def row(topic: str, partition: int, offset: int, at: int, appended: int, value: bytes) -> Row:
    """A message about input offset `at` of its partition."""
    return Row(topic, partition, offset, appended, (partition, at), "0.7.0.1", 0, value)


def predicted(partition: int, at: int, version: str, epoch: int, appended: int) -> Row:
    """A prediction."""
    body = {
        "v": 1, "id": "x", "key": "k", "at": [partition, at], "event_time": 1, "score": 0.5, "label": "late",
        "version": version, "digest": "a" * 16, "epoch": epoch,
    }  # fmt: skip
    return row("predictions", partition, at, at, appended, json.dumps(body).encode())


def barrier(partition: int, offset: int, epoch: int, appended: int = 1_000) -> Row:
    """A control record."""
    return row(CONTROL, partition, offset, offset, appended, b'{"epoch": %d}' % epoch)


def clean() -> Evidence:
    """Two partitions of twenty records, epoch 2 from offset 11 on; late barriers of both epochs change nothing."""
    records = [row("records", p, at, at, 900 + 10 * at, b"{}") for p in (0, 1) for at in range(20) if at != BARRIER]
    records += [barrier(p, BARRIER, 2, 1_000 + p) for p in (0, 1)]
    records += [barrier(0, 21, 2, 3_000), barrier(1, 21, 1, 3_000), barrier(0, 22, 999, 3_000)]
    made = [
        predicted(p, at, "1" if at < BARRIER else "2", 1 if at < BARRIER else 2, 910 + 10 * at + 100 * p)
        for p in (0, 1)
        for at in range(20)
        if at != BARRIER
    ]
    applications = [Application(p, 1, 0, "first", "1", 1) for p in (0, 1)]
    applications += [Application(p, 2, BARRIER + 1, "barrier", "2", 2) for p in (0, 1)]
    return Evidence(
        spec=SPEC,
        guarantee="exactly_once",
        records=records,
        after=made,
        live=(),
        raw=(),
        attempts={},
        offsets=(),
        refs={epoch: BundleRef(str(epoch), "file:///x", "a" * 64) for epoch in (1, 2)},
        applications=applications,
    )


def test_a_clean_run_breaks_nothing() -> None:
    """Where each epoch began after its barrier in each partition, no checker says anything."""
    e = clean()
    before = versions_of(e.predictions)
    found = [one_beginning(e, 2), settled(e, 2, 2), replayed(before, before), never_scored(e, {"9": "corrupt"})]
    assert [finding.count for finding in found] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("applications", "words"),
    [
        (
            [Application(0, 2, BARRIER + 2, "barrier", "2", 2), Application(1, 2, BARRIER + 1, "barrier", "2", 2)],
            "[12]",
        ),
        ([Application(0, 2, BARRIER + 1, "barrier", "2", 2)], "partition 1"),
        (
            [
                *(Application(p, 2, BARRIER + 1, "barrier", "2", 2) for p in (0, 1)),
                Application(0, 2, 15, "barrier", "2", 2),
            ],
            "[11, 15]",
        ),
        (
            [
                *(Application(p, 2, BARRIER + 1, "barrier", "2", 2) for p in (0, 1)),
                Application(0, 3, 5, "barrier", "3", 3),
            ],
            "without a barrier",
        ),
    ],
    ids=["late", "never", "twice", "from nowhere"],
)
def test_an_epoch_that_begins_elsewhere_is_found(applications: list[Application], words: str) -> None:
    """V1: a barrier that is applied late, not at all, twice, or that nobody wrote."""
    finding = one_beginning(replace(clean(), applications=applications), 2)
    assert finding.count == 1
    assert words in finding.examples[0]


def test_a_partition_that_never_came_to_the_last_epoch_is_found() -> None:
    """V2: it lacks the barrier."""
    e = clean()
    short = replace(e, records=[r for r in e.records if (r.topic, r.partition) != (CONTROL, 1)])
    assert settled(short, 2, 2).count == 1
    assert "partition 1" in settled(short, 2, 2).examples[0]


def test_another_version_in_the_replay_is_found() -> None:
    """V3: one record by another version, one that did not come."""
    before = versions_of(clean().predictions)
    after = {**before, (0, 3): "2"}
    del after[1, 4]
    assert replayed(before, after).count == 2


def test_a_bad_version_that_scores_is_found() -> None:
    """V4: each record that it scored counts."""
    assert never_scored(clean(), {"2": "slow"}).count == 18


def test_a_swap_lasts_until_the_last_partition_has_scored_by_it() -> None:
    """From the first barrier to the first prediction of the slowest partition, by the broker's clock."""
    e = clean()
    assert [(swap.epoch, swap.at, swap.lasted) for swap in swaps(e, 2_000)] == [(2, 1_000, 120)]
    assert swaps(e, 1_000) == []


def test_latencies_are_told_apart_by_the_nearest_barrier() -> None:
    """All of these records are within a second of the swap; moved away from it, none is."""
    e = clean()
    near, far = latencies(e, swaps(e, 2_000), 2_000)
    assert (len(near), len(far)) == (38, 0)
    assert (min(near), max(near)) == (10, 110)
    near, far = latencies(e, [], 2_000)
    assert (len(near), len(far)) == (0, 38)


def test_percentiles_and_ratios_of_nothing_are_unknown() -> None:
    """What was not measured is not 0."""
    assert percentile([], 0.99) is None
    assert percentile([3, 1, 2], 0.99) == 3
    assert ratio(None, 1.0) is None
    assert ratio(3.0, 2.0) == 0.5


def test_a_seed_decides_rollouts_and_faults() -> None:
    """Twice the same; another seed is another run; canaries grow and end with their version as champion."""
    made = moves(("1", "2"), 30, 3)
    assert made == moves(("1", "2"), 30, 3)
    assert made != moves(("1", "2"), 30, 4)
    assert len(made) == 30
    for before, after in pairwise(made):
        if before.mode == "canary":
            assert after.version == before.version
            assert after.share > before.share
        else:
            assert after.version != before.version
    assert Move("champion", "2") in made
    faults = plan(REQUEST, LoopSettings())
    assert faults == plan(REQUEST, LoopSettings())
    kinds = [fault.kind for fault in faults]
    assert kinds[:4] == ["rollout"] * 4
    counted = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    assert counted == {"rollout": 20, "kill": 4, "freeze": 1, "join": 2, "leave": 2}
    assert {fault.step for fault in faults if fault.kind == "rollout"} == {"once", "cut", "twins"}
    joined = 0
    for kind in kinds:
        joined += (kind == "join") - (kind == "leave")
        assert joined >= 0
