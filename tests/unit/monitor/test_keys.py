"""The monitoring keys of a pipeline's file: what is refused, with its path."""

from typing import Any

import pytest

from shared.core.pipeline_file import Mistakes, decode
from tests.support.spec import make_tree

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no such field": ({"slices": {"carier": ["A"]}}, "monitoring.slices.carier"),
    "numbers for a text": ({"slices": {"carrier": [1]}}, "monitoring.slices.carrier"),
    "words for a number": ({"slices": {"weight": ["heavy"]}}, "monitoring.slices.weight"),
    "a timestamp": ({"slices": {"at": [1]}}, "monitoring.slices.at"),
    "bounds that fall": ({"slices": {"weight": [2, 1]}}, "monitoring.slices.weight"),
    "a word twice": ({"slices": {"carrier": ["A", "A"]}}, "monitoring.slices.carrier[1]"),
    "nothing": ({"slices": {"carrier": []}}, "monitoring.slices.carrier"),
    "too many": ({"slices": {"weight": list(range(30))}}, "monitoring.slices.weight"),
    "a personal field": ({"slices": {"phone": ["1"]}}, "monitoring.slices.phone"),
    "a step of nothing": ({"max_step": "0s"}, "monitoring.max_step"),
    "a share above 1": ({"within": 2}, "monitoring.within"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_wrong_key_is_named(case: str) -> None:
    """One mistake, at its own path."""
    monitoring, path = BAD[case]
    with pytest.raises(Mistakes) as raised:
        decode(make_tree() | {"monitoring": monitoring}, "parcels")
    assert [path] == [mistake.path for mistake in raised.value.mistakes]


def test_right_keys_pass() -> None:
    """Words and bounds, a hold of nothing, a step of its own."""
    monitoring = {"slices": {"carrier": ["A", "B"], "weight": [1, 2.5]}, "hold": "0s", "max_step": "1h", "within": 0.2}
    assert 0.2 == decode(make_tree() | {"monitoring": monitoring}, "parcels").monitoring.within
