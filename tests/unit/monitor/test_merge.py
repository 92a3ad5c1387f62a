"""Scorecards of eight partitions add up to those of one, bit for bit."""

from functools import reduce
from random import Random

import pytest

from shared.core.monitor_records import Sums
from shared.core.scorecards import encode, merge
from shared.testing.store import MemoryStore
from tests.support.journals import HOUR, Entry, Mix, Published, as_bytes, fold_all, journal, make


def identity(entry: Entry) -> str:
    """The id that an entry is about."""
    found: str = entry["label"]["id"] if entry["type"] == "label" else entry["prediction"]["id"]
    return found


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("seed", range(3))
def test_eight_partitions_are_one(task: str, seed: int) -> None:
    """Corrections, repeats and shadows included: the merged sums are the same bytes, in any order of merging."""
    print(f"seed {seed}")
    dice, spec = Random(seed), make(task)
    mix = Mix(before=0, far=0, foreign=0, twice=0, longest=HOUR)  # in time everywhere, whatever a partition's watermark
    entries = [one for one in journal(spec, dice, 600, mix) if one["type"] != "tick"]
    _, whole = fold_all(spec, as_bytes(entries), MemoryStore(), dice)
    parts: list[Published] = []
    for partition in range(8):
        own = [one for one in entries if int(identity(one)[1:]) % 8 == partition]
        parts.append(fold_all(spec, as_bytes(own), MemoryStore(), dice)[1])
    dice.shuffle(parts)
    assert len(whole.cards) > 30
    for key, card in whole.cards.items():
        merged = reduce(merge, (part.cards[key].sums for part in parts if key in part.cards), Sums())
        assert encode(card.sums) == encode(merged), key
    for what in ("labels", "matched", "corrected", "duplicate", "conflicting", "unsampled", "observations"):
        one, eight = (sum(getattr(a, what) for p in of for a in p.accounts.values()) for of in ([whole], parts))
        assert one == eight > 0, what
