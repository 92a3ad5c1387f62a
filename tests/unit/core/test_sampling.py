"""Who is in a sample: the same for everybody, at the asked rate, independent of other samples."""

import pytest

from shared.core.sampling import OBSERVED, sampled

IDS = [f"r{i}" for i in range(20_000)]


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_rate_is_kept(rate: float) -> None:
    """Within four standard deviations over 20,000 ids."""
    share = sum(sampled(i, rate, OBSERVED) for i in IDS) / len(IDS)
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / len(IDS)) ** 0.5)


def test_bounds_take_all_or_none() -> None:
    """Rates at and beyond the ends need no hash."""
    assert [sampled("r", rate, OBSERVED) for rate in (-1.0, 0.0, 1.0, 2.0)] == [False, False, True, True]


def test_larger_rate_keeps_who_was_in() -> None:
    """Raising the rate only adds: the observed history of an id does not break off."""
    small = {i for i in IDS if sampled(i, 0.1, OBSERVED)}
    assert small < {i for i in IDS if sampled(i, 0.2, OBSERVED)}


def test_salts_are_independent() -> None:
    """The share of one sample within another is its share of all: a canary does not observe only itself."""
    canary = [i for i in IDS if sampled(i, 0.2, b"canary")]
    share = sum(sampled(i, 0.5, OBSERVED) for i in canary) / len(canary)
    assert share == pytest.approx(0.5, abs=4 * (0.25 / len(canary)) ** 0.5)


def test_any_text_has_a_place() -> None:
    """Emptiness, emoji and lone surrogates do not raise, and repeat."""
    for identity in ("", "😀", "\ud800", "x" * 100_000):
        assert sampled(identity, 0.5, OBSERVED) == sampled(identity, 0.5, OBSERVED)
