"""What a control-plane application reads, and who works on it: `shared/adapters/faust_app.py` runs one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read: the topic `kept`, of one partition, goes into a table whose changelog is `changelog`.

    Of all members of `group` the one that has the partition works. `every`: s between two turns; `member`: a name that
    outlives the process, so that the same one goes on at once after a restart.
    """

    group: str
    kept: str
    changelog: str
    folder: Path
    session_timeout: float
    every: float
    member: str = ""


class Owner(Protocol):
    """Who works on what is read. `turn` may block: it runs in a thread, `begin` and `turn` never at once."""

    def begin(self) -> None:
        """The partition was won, or streams go on after a rebalance.

        Of what was on its way until now, and only of that, some may never be kept: the next turn has to read the topic
        for itself. What comes from now on is kept without a gap, perhaps after some that is older.
        """

    def keep(self, key: bytes, value: bytes, before: bytes | None) -> bool:
        """Whether the value goes into the table, where the key had another one before; they come in any order."""

    def whole(self, table: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """A copy of the table, without what belongs to something of which more is still to come."""

    def turn(self, table: Mapping[bytes, bytes], lag: int) -> list[bytes]:
        """One turn over such a copy: keys that nobody needs any more; `lag`: records that the table still lacks."""

    def wait(self) -> None:
        """Another member has the partition; said again and again."""
