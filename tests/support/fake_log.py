"""A topic of one partition, in memory: what `services.monitor.analyst.inbox.Log` asks of one."""

from collections.abc import Iterator

from shared.core.errors import Unavailable


class FakeLog:
    """Gives what stands there in pieces of `piece`; the next `fails` reads break off after the first piece."""

    def __init__(self, piece: int = 7) -> None:
        self.entries: list[tuple[int, bytes, bytes]] = []
        self.asked: list[int] = []
        self.piece, self.fails = piece, 0

    def add(self, value: bytes, key: bytes = b"") -> None:
        """One more."""
        self.entries.append((len(self.entries), key, value))

    def since(self, offset: int) -> Iterator[list[tuple[int, bytes, bytes]]]:
        """All from there on."""
        self.asked.append(offset)
        found = [entry for entry in self.entries if entry[0] >= offset]
        for first in range(0, len(found), self.piece):
            if first and self.fails:
                self.fails -= 1
                raise Unavailable("gone")
            yield found[first : first + self.piece]

    def close(self) -> None:
        """Nothing to let go of."""
