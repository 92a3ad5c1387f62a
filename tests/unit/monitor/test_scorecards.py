"""Sums of scorecards: fixed point, and a merge that gives the same bits in any order."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.monitor_records import (
    DELAYS,
    SCORE_BINS,
    Account,
    AccountSums,
    FeatureCounts,
    GroupCounts,
    LabelEntry,
    PairCounts,
    Scorecard,
    SliceCounts,
    Sums,
    Tick,
    account_key,
    scorecard_key,
)
from shared.core.records import Label, Observation
from shared.core.scorecards import LIMIT, SCALE, encode, fixed, log_loss, merge, negated, real

COUNTS = st.integers(-(2**90), 2**90)
TUPLES = st.lists(COUNTS, max_size=5).map(tuple)
NAMES = st.sampled_from(["a", "b", "c"])


def structs(kind: type[msgspec.Struct], **fields: Any) -> st.SearchStrategy[Any]:
    """Sums of one kind, with numbers that no 64 bits hold."""
    return st.builds(kind, **{name: fields.get(name, COUNTS) for name in kind.__struct_fields__})


FEATURES = structs(FeatureCounts, counts=TUPLES)
SUMS = structs(
    Sums,
    **dict.fromkeys(
        ("delays", "confusion", "scores", "labelled_scores", "hits", "score_sums", "answer_labels", "answer_losses"),
        TUPLES,
    ),
    answers=FEATURES,
    truths=FEATURES,
    features=st.dictionaries(NAMES, FEATURES),
    flags=st.dictionaries(NAMES, COUNTS),
    groups=st.dictionaries(NAMES, structs(GroupCounts)),
    slices=st.dictionaries(NAMES, structs(SliceCounts)),
    pairs=st.dictionaries(NAMES, structs(PairCounts)),
)


def test_nan_has_no_fixed_point_value() -> None:
    """A NaN is refused, never summed."""
    with pytest.raises(ValueError, match="NaN"):
        fixed(float("nan"))


def test_sums_of_different_kinds_do_not_add_up() -> None:
    """An account and a scorecard's sums are not merged by mistake."""
    with pytest.raises(TypeError, match="do not add up"):
        merge(Sums(), AccountSums())


@pytest.mark.parametrize(("value", "expected"), [(0.5, SCALE // 2), (-1.0, -SCALE), (2.0**-21, 0), (3 * 2.0**-21, 2)])
def test_fixed_point_rounds_half_to_even(value: float, expected: int) -> None:
    """A value is a whole number of units of 2^-20."""
    assert expected == fixed(value)


@pytest.mark.parametrize("value", [1e300, float("inf"), LIMIT])
def test_a_wild_value_is_cut_at_the_limit(value: float) -> None:
    """Beyond 2^42 either way a value counts as that much."""
    assert (2**62, -(2**62)) == (fixed(value), fixed(-value))


def test_log_loss_is_bounded_and_zero_when_sure_and_right() -> None:
    """Nobody is infinitely wrong."""
    assert (0, fixed(20 * 0.6931471805599453)) == (log_loss(1.0), log_loss(0.0))
    assert 0.6931 == round(real(log_loss(0.5)), 4)


@given(SUMS, SUMS, SUMS)
def test_merging_knows_no_order(a: Sums, b: Sums, c: Sums) -> None:
    """Any order and any grouping give the same bytes, and survive the topic."""
    left, right = encode(merge(merge(a, b), c)), encode(merge(b, merge(c, a)))
    assert left == right
    assert msgspec.json.decode(left, type=Sums) == merge(a, merge(b, c))


@given(SUMS)
def test_an_empty_sum_changes_nothing_and_a_negated_one_undoes(a: Sums) -> None:
    """Adding nothing, and adding something and taking it away, leave what was there."""
    assert merge(a, Sums()) == a
    b = merge(a, a)
    assert merge(b, negated(a)) == a


def test_a_scorecard_of_twenty_features_is_below_4_kb() -> None:
    """A full window: a million records of 20 features, a score, a confusion matrix, two slices, a shadow."""
    million = (123_456,) * 12
    sums = Sums(
        n=1_000_000,
        labelled=800_000,
        delays=(61_234,) * (len(DELAYS) + 1),
        confusion=(200_000,) * 4,
        scores=(25_000,) * SCORE_BINS,
        labelled_scores=(20_000,) * SCORE_BINS,
        hits=(10_000,) * SCORE_BINS,
        score_sums=(12_345_678_901,) * SCORE_BINS,
        answers=FeatureCounts(million[:10]),
        features={f"feature_{i:02}": FeatureCounts(million[:10], 1_234, 12) for i in range(20)},
        flags={"degraded": 1_234, "stale": 1_234},
        slices={"carrier=AA": SliceCounts(100_000, 80_000, 20_000, 2**40, 2**40)},
        pairs={"v1": PairCounts(80_000, 1, 2, 3, 2**40, 2**40)},
    )
    card = Scorecard(
        version="v12", window=1_357_000_000_000, span=86_400_000, partition=3, rate=1_000_000,
        watermark=1_357_000_000_000, offset=123_456_789, sums=sums,
    )  # fmt: skip
    print(len(encode(card)), "bytes")
    assert len(encode(card)) < 4_000


def test_entries_of_the_journal_are_told_apart_by_their_tag() -> None:
    """A label and a tick come back as what they were, beside observations."""
    entries = [LabelEntry(Label("r1", "late", 5, (0, 3), 1), (2, 7), 9, sampled=False), Tick(17)]
    kinds = Observation | LabelEntry | Tick
    assert entries == [msgspec.json.decode(msgspec.json.encode(one), type=kinds) for one in entries]


def test_keys_tell_version_window_partition_rate_and_shadow_apart() -> None:
    """What may not overwrite each other on the compacted topic has a key of its own."""
    card = Scorecard(version="v1", window=1, span=1, partition=2, rate=3, watermark=0, offset=0)
    others = [
        msgspec.structs.replace(card, **change)
        for change in ({"version": "v2"}, {"window": 2}, {"partition": 1}, {"rate": 4}, {"shadow": True})
    ]
    keys = {scorecard_key(one) for one in (card, *others)}
    keys.add(account_key(Account(window=1, span=1, partition=2, watermark=0, offset=0)))
    assert 7 == len(keys)
