"""How wrong the answers of each bin were: a regression's scorecard divides labels and losses by what was answered."""

from random import Random

import pytest

from services.monitor.observer.bins import ProfileBins
from shared.core.reference import FeatureProfile, Reference
from shared.testing.store import MemoryStore
from tests.support.journals import as_bytes, fold_all, journal, make


@pytest.mark.parametrize("seed", range(3))
def test_the_bins_add_up_to_the_card(seed: int) -> None:
    """Corrections included; a version without a profile, and classes, have none."""
    print(f"seed {seed}")
    dice = Random(seed)
    for task in ("regression", "binary"):
        spec = make(task)
        _, published = fold_all(spec, as_bytes(journal(spec, dice, 300)), MemoryStore(), dice)
        cards = [card for card in published.cards.values() if card.sums.labelled]
        assert cards
        for card in cards:
            known = task == "regression" and card.version.startswith("v")
            assert len(card.sums.answer_labels) == len(card.sums.answer_losses) == 4 * known
            assert sum(card.sums.answer_labels) == card.sums.labelled * known
            assert sum(card.sums.answer_losses) == card.sums.loss * known


def test_places_are_where_scores_are_counted() -> None:
    """On an edge that no 32-bit number is, beyond all of them, beyond the largest number, and without any edge."""
    values = [0.1, 0.1000000001, -1e300, 1e300, 0.3, 5.0, 0.25]
    for edges in ((), (0.1,), (0.1, 0.25, 0.3)):
        bins = ProfileBins((), Reference(9, {}, FeatureProfile(edges, counts=(1,) * (len(edges) + 1)), ()))
        places, size = bins.score_places(values)
        counted = [0] * size
        for place in places.tolist():
            counted[place] += 1
        assert tuple(counted) == bins.scores(values).counts
