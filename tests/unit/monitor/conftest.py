"""Folds of these tests read in small pieces, so that ids meet themselves again in the next piece of their batch."""

from collections.abc import Iterator

import pytest

from services.monitor.observer import fold, step

SMALL = 7  # entries


@pytest.fixture(scope="session", autouse=True)
def small_pieces() -> Iterator[None]:
    """Make pieces small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "PIECE", SMALL)
        patch.setattr(step, "PIECE", SMALL)
        yield
