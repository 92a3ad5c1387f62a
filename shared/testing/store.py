"""A store in memory, for tests and for whoever needs no memory beyond a process."""

from collections.abc import Iterable, Iterator, Mapping, Sequence


class MemoryStore:
    """Implements `Store` by a dictionary."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Store.get_many`."""
        return list(map(self._values.get, keys))

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = ()) -> None:
        """See `Store.write`."""
        self._values.update(puts)
        for key in deletes:
            self._values.pop(key, None)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Store.scan`."""
        return iter(sorted((k, v) for k, v in self._values.items() if k.startswith(prefix)))

    def flush(self) -> None:
        """See `Store.flush`."""

    def clear(self) -> None:
        """See `Store.clear`."""
        self._values.clear()

    def close(self) -> None:
        """See `Store.close`."""
