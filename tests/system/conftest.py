"""Worlds: pipelines of their own on the session's broker."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World, make_world


@pytest.fixture
def world(kafka: str, tmp_path: Path, unique: Callable[[str], str]) -> Iterator[Callable[..., World]]:
    """Makes worlds, and stops their workers."""
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(make_world(tmp_path, unique("w").replace("-", "_"), options.pop("kafka", kafka), **options))
        return made[-1]

    yield make
    for one in made:
        one.supervisor.close()
