"""Bugs that are planted into the loop, the delivery, the controls, the source or the broker: each is found, by name."""

import pytest

from shared.testing.schedules.plants import PLANTS
from tailrace.proof.simulation import simulate, words

WITHIN = 2_000  # schedules
ASKED = (
    *("commit before publish", "offset one too far", "no rewind after an abort", "a barrier applied late"),
    "group metadata taken at the commit",
)


@pytest.mark.parametrize(
    ("name", "first"),
    [*((name, 0) for name in PLANTS), *((name, first) for name in ASKED for first in (50_000, 90_000))],
)
def test_a_planted_bug_is_found(name: str, first: int) -> None:
    """Within two thousand schedules, by an invariant that it breaks, and wherever the seeds begin."""
    verdict = simulate(WITHIN, first, parts=PLANTS[name].parts)
    print(words(verdict))

    assert verdict.found is not None
    assert {name for name, n in verdict.violations.items() if n} & PLANTS[name].breaks
    print(f"{name}: seed {verdict.found.seed}, cut to {verdict.found.length} steps, number {verdict.n} of its campaign")


def test_what_was_found_is_found_again_by_its_seed() -> None:
    """The seed alone repeats a failure, with the same words."""
    parts = PLANTS["group metadata taken at the commit"].parts
    found = simulate(WITHIN, 0, parts=parts).found
    assert found is not None

    again = simulate(1, found.seed, parts=parts).found

    assert found == again
