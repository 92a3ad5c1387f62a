"""The markers of a filled Redis, on a real server."""

from collections.abc import Callable

import pytest

from shared.adapters.redis_features import RedisAddress, RedisWriter
from shared.core.errors import Unavailable
from tests.support.redis_server import free_port


def test_markers_are_kept_swapped_and_apart(redis_url: str, unique: Callable[[str], str]) -> None:
    """A marker is swapped only where it is the old one; an absent one stays absent, another pipeline's is another."""
    name = unique("p")
    writer, other = (RedisWriter(RedisAddress(redis_url), n, {}) for n in (name, f"{name}x"))
    assert ["", ""] == writer.markers([0, 1])
    writer.mark([0, 1], "me")
    writer.mark([1], "you")
    writer.swap([0, 1, 2], "me", "filled")
    assert ["filled", "you", ""] == writer.markers([0, 1, 2])
    assert ["", ""] == other.markers([0, 1])
    assert [] == writer.markers([])
    writer.close()
    other.close()


def test_redis_that_is_away_is_unavailable() -> None:
    """None of the calls raises anything of the client library's."""
    writer = RedisWriter(RedisAddress(f"redis://127.0.0.1:{free_port()}/0"), "p", {})
    for call in (lambda: writer.markers([0]), lambda: writer.mark([0], "me"), lambda: writer.swap([0], "a", "b")):
        with pytest.raises(Unavailable):
            call()
