"""The border to a store of keys and values on one process's disk: a cache that can be thrown away at any time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol


class Store(Protocol):
    """Keys and values are bytes. One reader and writer at a time."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key, None where there is none."""

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = ()) -> None:
        """Put and delete, all or nothing. After a crash the store is as it was after one of its writes."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All keys that begin with a prefix, in order, with their values."""

    def flush(self) -> None:
        """What was written survives the death of the process."""

    def clear(self) -> None:
        """Forget everything."""

    def close(self) -> None:
        """Let the files go. Nothing may be asked afterwards."""
