"""What a control-plane application reads, and who works on it: `shared/adapters/faust_app.py` runs one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read: `kept` goes into a table whose changelog is `changelog`, records of `taken` are handed over.

    All of them have one partition, so Faust gives them to the same member. `every`: s between two turns;
    `member`: a name that outlives the process, so that the same one goes on at once after a restart.
    """

    group: str
    kept: str
    changelog: str
    taken: tuple[str, ...]
    folder: Path
    session_timeout: float
    every: float
    member: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """All that are read."""
        return (self.kept, *self.taken)


class Owner(Protocol):
    """Who works on what is read. `begin` and `turn` may block: they run in a thread, never two at once."""

    def begin(self) -> Mapping[str, int]:
        """The partitions were won: the offset of each taken topic to read from."""

    def keep(self, key: bytes, value: bytes, before: bytes | None) -> bool:
        """Whether the value goes into the table, where the key had another one before."""

    def take(self, topic: str, offset: int, value: bytes) -> None:
        """One record of a taken topic, in their order."""

    def whole(self, table: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """A copy of the table, without what belongs to something of which more is still to come."""

    def turn(self, table: Mapping[bytes, bytes], lags: Mapping[str, int]) -> list[bytes]:
        """One turn over such a copy: keys that nobody needs any more; `lags`: records not taken, by topic."""

    def wait(self) -> None:
        """Another member has the partitions; said again and again."""
