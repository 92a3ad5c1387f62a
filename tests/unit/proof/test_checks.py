"""Each checker of the proof: silent on a clean run, and loud, by its own invariant, on each planted breach."""

import json
from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

import pytest

from shared.core.pipeline_file import decode
from shared.core.records import Application, BundleRef, Rollout
from tailrace.proof.checks import CHECKS, aborted_rows
from tailrace.proof.evidence import Attempt, Evidence, attempts_of
from tailrace.proof.material import identity, place_of
from tailrace.proof.tape import CONTROL, Row
from tailrace.proof.trail import Told
from tests.support.spec import make_tree

SPEC = decode(make_tree("binary"), "shop")
DIGEST = {1: "a" * 64, 2: "b" * 64}
BARRIER = 3  # the offset of the barrier in partition 0


def row(topic: str, offset: int, at: int, attempt: str, value: bytes | None = None, appended: int = 1_000) -> Row:
    """A message of partition 0 about input offset `at`."""
    return Row(topic, 0, offset, appended, (0, at), attempt, crc32(value or b""), value)


def source(at: int, key: str, n: int, place: int) -> Row:
    """A record."""
    fields = {"id": identity(n, place, key.encode()), SPEC.record.key: key}
    return row("records", at, at, "", json.dumps(fields | {SPEC.record.id: fields["id"]}).encode())


def predicted(offset: int, at: int, attempt: str, epoch: int) -> Row:
    """Its prediction."""
    body = {
        "v": 1, "id": "x", "key": "k", "at": [0, at], "event_time": 1, "score": 0.5, "label": "late",
        "version": str(epoch), "digest": DIGEST[epoch][:16], "epoch": epoch,
        "ages": dict.fromkeys(SPEC.lookups),
    }  # fmt: skip
    return row("predictions", offset, at, attempt, json.dumps(body).encode())


def clean() -> Evidence:
    """Four records of one key around a barrier, in two attempts; a third attempt was aborted."""
    records = [source(at, "k", at, place) for at, place in ((0, 1), (1, 2), (2, 3), (4, 4))]
    records.append(row(CONTROL, BARRIER, BARRIER, "", b'{"epoch": 2}'))
    after = [predicted(0, 0, "0.7.0.1", 1), predicted(1, 1, "0.7.0.1", 1)]
    after += [predicted(5, 2, "0.9.0.1", 1), predicted(6, 4, "0.9.0.1", 2)]
    after += [row("journal", i, made.at[1], made.attempt) for i, made in enumerate(list(after))]
    aborted = [predicted(3, 2, "0.7.0.2", 1), row("journal", 9, 2, "0.7.0.2")]
    attempts = {
        "0.7.0.1": Attempt(1.0, {"predictions": 2, "journal": 2}, "committed"),
        "0.7.0.2": Attempt(2.0, {"predictions": 1, "journal": 1}, "aborted"),
        "0.9.0.1": Attempt(3.0, {"predictions": 2, "journal": 2}, "committed"),
    }
    return Evidence(
        spec=SPEC,
        guarantee="exactly_once",
        records=records,
        after=after,
        live=list(after),
        raw=[*after, *aborted],
        attempts=attempts,
        offsets=[(500, {}), (1_500, {0: 3}), (2_000, {0: 5})],
        refs={epoch: BundleRef(str(epoch), "file:///x", DIGEST[epoch]) for epoch in DIGEST},
        applications=[Application(0, 1, 0, "first", "1", 1), Application(0, 2, BARRIER, "barrier", "2", 2)],
    )


def broken(e: Evidence) -> set[str]:
    """The invariants that are found broken."""
    return {name for name, check in CHECKS.items() if check(e).count}


def test_a_clean_run_has_no_violation() -> None:
    """Nothing is found, and what was aborted is counted as put to the test."""
    e = clean()
    assert {name: check(e).count for name, check in CHECKS.items()} == dict.fromkeys(CHECKS, 0)
    assert {r.attempt for r in aborted_rows(e)} == {"0.7.0.2"}


def without(e: Evidence, at: int) -> Evidence:
    """A position loses its outcome."""
    return replace(e, after=[r for r in e.after if r.at[1] != at], live=[r for r in e.live if r.at[1] != at])


def twice(e: Evidence) -> Evidence:
    """A record is scored again by another attempt."""
    more = predicted(9, 4, "1.8.0.1", 2)
    return replace(e, after=[*e.after, more], live=[*e.live, more], raw=[*e.raw, more])


def seen_live_only(e: Evidence) -> Evidence:
    """The reader of during the faults was given a message of the aborted attempt."""
    return replace(e, live=[*e.live, e.raw[-2]])


def ahead(e: Evidence) -> Evidence:
    """An offset was committed before the outcomes below it were written."""
    return replace(e, offsets=[(900, {0: 2})])


def reordered(e: Evidence) -> Evidence:
    """Two records of a key change places in the output."""
    first, second, *rest = e.after
    return replace(e, after=[first._replace(offset=1), second._replace(offset=0), *rest])


def torn(e: Evidence) -> Evidence:
    """The observation of a committed prediction is not visible."""
    return replace(e, after=e.after[:-1])


def vanished(e: Evidence) -> Evidence:
    """A worker was told that its commit succeeded, and nothing of it can be read."""
    return replace(e, attempts={**e.attempts, "1.1.0.1": Attempt(4.0, {"predictions": 1}, "committed")})


def zombie(e: Evidence) -> Evidence:
    """The first life of a slot writes after its second one."""
    late = [r._replace(offset=r.offset + 20) if r.attempt == "0.7.0.1" else r for r in e.after]
    return replace(e, after=late, live=late, raw=late)


def other_version(e: Evidence) -> Evidence:
    """A record after the barrier is scored by the version before it."""
    return replace(e, after=[predicted(6, 4, "0.9.0.1", 1) if r.place == ("predictions", 0, 6) else r for r in e.after])


def early(e: Evidence) -> Evidence:
    """`rollouts` lets the epoch begin after the record that it scored."""
    return replace(e, applications=[e.applications[0], Application(0, 2, 5, "barrier", "2", 2)])


@pytest.mark.parametrize(
    ("plant", "invariant"),
    [
        (lambda e: without(e, 1), "I1"),
        (twice, "I2"),
        (ahead, "I3"),
        (reordered, "I4"),
        (seen_live_only, "I5"),
        (torn, "I6"),
        (vanished, "I6"),
        (zombie, "I7"),
        (other_version, "I8"),
        (early, "I8"),
    ],
)
def test_each_breach_is_found(plant: Callable[[Evidence], Evidence], invariant: str) -> None:
    """What is planted breaks the invariant that names it; the first cases are told in words."""
    e = plant(clean())
    assert invariant in broken(e)
    assert CHECKS[invariant](e).examples


@pytest.mark.parametrize(
    ("share", "flags", "breaches"),
    [(1.0, ("canary",), set()), (1.0, (), {"I8"}), (0.0, ("canary",), {"I8"}), (0.0, (), {"I8"})],
)
def test_in_a_canary_the_key_decides(share: float, flags: tuple[str, ...], breaches: set[str]) -> None:
    """Version 2 of epoch 2 is right for keys of the challenger's share alone, and must say that it is a canary's."""
    e = clean()
    refs = {1: e.refs[1], 2: e.refs[1]}
    canary = Rollout("shop", 2, e.refs[1], "active", challenger=e.refs[2], mode="canary", share=share)
    after = []
    for one in e.after:
        if one.topic == "predictions" and one.at == (0, 4):
            body = json.loads(one.value or b"")
            after.append(one._replace(value=json.dumps({**body, "flags": flags}).encode()))
        else:
            after.append(one)
    found = replace(e, refs=refs, canaries={2: canary}, after=after)
    assert broken(found) == breaches


def test_an_outcome_of_no_record_is_a_breach() -> None:
    """A prediction about a position that holds no record does not go unnoticed."""
    e = clean()
    assert broken(replace(e, records=e.records[1:])) == {"I1"}


def test_an_aborted_attempt_must_stay_unseen() -> None:
    """Both readers were given it: no difference between them, and still a breach."""
    e = clean()
    assert "I5" in broken(replace(e, after=list(e.raw), live=list(e.raw)))


def test_the_end_of_an_attempt_is_what_its_worker_knew() -> None:
    """Committed, surely aborted, unsure; without a word the worker died in it."""
    told = [
        Told("began", 1.0, 0, 7, "a", {"shop.predictions": 2, "shop.journal": 0}),
        Told("began", 2.0, 0, 7, "b"),
        Told("began", 3.0, 0, 7, "c"),
        Told("began", 4.0, 0, 7, "d"),
        Told("committed", 1.5, 0, 7, "a"),
        Told("failed", 2.5, 0, 7, "b", sure=True),
        Told("failed", 3.5, 0, 7, "c"),
    ]
    found = attempts_of(told, "shop")
    assert {name: one.ended for name, one in found.items()} == {
        "a": "committed",
        "b": "aborted",
        "c": "unsure",
        "d": "",
    }
    assert found["a"].counts == {"predictions": 2}


@pytest.mark.parametrize(("said", "expected"), [("p5.2", 2), ("p5.3", None), ("r5", None)])
def test_an_id_that_was_changed_on_the_way_is_told_from_a_good_one(said: str, expected: int | None) -> None:
    """Number, place and key stand under a checksum."""
    checksum = identity(5, 2, b"k").rpartition(".")[2]
    assert place_of(f"{said}.{checksum}", b"k") == expected
