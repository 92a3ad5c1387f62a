"""Malformed records that the demo mixes in, as a careless or hostile producer would send them."""

from random import Random

SAMPLES: tuple[bytes, ...] = (
    b"not json at all",
    b'{"id": "X1", "aircraft": "N0"',
    b'{"id": "X2", "id": "X3", "aircraft": "N0"}',
    b'{"id": "X4", "aircraft": "N0", "departs_at": NaN}',
    b'{"id": "X5", "aircraft": "N0", "departs_at": "yesterday"}',
    b'{"id": "X6", "aircraft": "N0", "distance": "1,5"}',
    b'{"id": "X7", "aircraft": 7}',
    b"\xff\xfe\x00",
    b"[" * 5_000,
    b"",
)


class Mix:
    """Gives a malformed record after about one record in `every`.

    Args:
        seed: which ones, and where.
        every: mean distance.
    """

    def __init__(self, seed: int, every: int) -> None:
        self._random, self._every = Random(seed), every  # noqa: S311 - a demo's dice

    def __call__(self, n: int) -> bytes | None:
        """What follows the n-th record: a malformed one, or nothing."""
        del n
        return self._random.choice(SAMPLES) if self._random.randrange(self._every) == 0 else None
