"""Which of a canary's two versions scores a key: the same everywhere, and a larger share only adds keys."""

import hashlib
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.records import Application, BundleRef, Note, Position, Rollout, RolloutState
from shared.core.rollout import CANARY, RolloutTable, canary_place, in_canary, split, version_for
from shared.core.sampling import OBSERVED, sampled
from shared.testing.log import MemoryMessage

A, B = BundleRef("1", "file:///a", "a" * 64), BundleRef("2", "file:///b", "b" * 64)


def canary(epoch: int, share: float, state: RolloutState = "active") -> Rollout:
    """B as the challenger of A."""
    return Rollout("shop", epoch, A, state, challenger=B, mode="canary", share=share)


def shadow(epoch: int, state: RolloutState = "active") -> Rollout:
    """B beside A."""
    return Rollout("shop", epoch, A, state, challenger=B, mode="shadow")


def champion(epoch: int, ref: BundleRef = A, state: RolloutState = "active") -> Rollout:
    """One version alone."""
    return Rollout("shop", epoch, ref, state)


@pytest.mark.parametrize("key", ["depot-1", "N12345", "\u00fc", "x" * 100])
def test_the_place_of_a_key_is_what_the_documents_say(key: str) -> None:
    """Recomputed by the rule in docs/versions.md with the standard library alone, for text and bytes alike."""
    digest = hashlib.blake2b(key.encode("utf-8"), digest_size=8, salt=b"tailrace-canary").digest()
    assert canary_place(key) == canary_place(key.encode()) == int.from_bytes(digest, "big")


def test_places_stay_as_they_were() -> None:
    """Another hash would let keys flip at an upgrade: these figures must never change."""
    assert {key: canary_place(key) for key in ("depot-1", "N12345")} == {
        "depot-1": 7_254_025_616_157_090_985, "N12345": 18_210_395_314_794_891_840,
    }  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(key=st.text(max_size=30), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_larger_share_only_adds_keys(key: str, low: float, high: float) -> None:
    """So a key never flips back while the share rises; none is in at 0, all are at 1."""
    low, high = min(low, high), max(low, high)
    assert in_canary(key, low) <= in_canary(key, high)
    assert (in_canary(key, 0.0), in_canary(key, 1.0)) == (False, True)


@settings(max_examples=200, deadline=None)
@given(key=st.text(max_size=30), share=st.floats(0, 1))
def test_only_a_canary_asks_the_key(key: str, share: float) -> None:
    """The challenger scores its keys of a canary, and nothing of a shadow; the champion all else."""
    expected = B if in_canary(key, share) else A
    assert version_for(canary(7, share), key) == version_for(canary(9, share), key.encode()) == expected
    assert (version_for(shadow(7), key), version_for(champion(7, B), key)) == (A, B)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.5, 0.9])
def test_the_share_is_hit(share: float) -> None:
    """Of 20,000 keys within four standard deviations of the binomial; and alike among those that are observed."""
    keys = [f"entity-{i}" for i in range(20_000)]
    observed = [key for key in keys if sampled(key, 0.5, OBSERVED)]
    for some in (keys, observed):
        hits = sum(in_canary(key, share) for key in some)
        assert abs(hits - share * len(some)) < 4 * sqrt(len(some) * share * (1 - share))
    assert CANARY != OBSERVED


def test_a_shadow_never_acts() -> None:
    """Neither by its epoch, nor as the oldest or newest; a barrier of its epoch is somebody else's."""
    table = RolloutTable([champion(2), shadow(1), canary(3, 0.1), shadow(4), shadow(5, "announced")])
    acting = {e: r.epoch if (r := table.acting(e)) else 0 for e in range(6)}
    assert acting == {0: 0, 1: 0, 2: 2, 3: 3, 4: 3, 5: 3}
    ends = [r.epoch for r in (table.oldest_active(), table.newest_active(), table.shadowing()) if r]
    assert ends == [2, 3, 4]
    assert [table.may_stand_in_log(e) for e in range(1, 6)] == [False, True, True, False, False]
    assert RolloutTable([champion(1), shadow(2, "revoked"), shadow(3, "announced")]).shadowing() is None


def test_revoking_a_challenger_takes_all_its_epochs_away() -> None:
    """Its steps are revoked, and so the champion of before acts, whatever barriers stand in the log."""
    table = RolloutTable([champion(1), shadow(2, "revoked"), *(canary(e, 0.1 * e, "revoked") for e in (3, 4, 5))])
    assert [table.acting(e) for e in range(1, 6)] == [champion(1)] * 5
    assert table.shadowing() is None


def test_an_application_of_a_canary_names_both_versions() -> None:
    """The champion's as ever, and beside it whose keys are whose; the promotion after it names one again."""
    messages = [MemoryMessage(Position("in", 0, 5), b"k", b"x", None)]
    steps = RolloutTable([champion(1), canary(2, 0.25)])
    cut = split(messages, {0: Note(2, 1)}, steps)
    assert cut.applications == [Application(0, 2, 5, "revoked", "1", 2, challenger="2", share=0.25)]
    steps.put(canary(2, 0.25, "revoked"))
    assert split(messages, cut.notes, steps).applications == [Application(0, 1, 5, "revoked", "1", 2)]
