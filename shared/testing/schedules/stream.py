"""What goes into a simulated pipeline, and what therefore must come out of it."""

from typing import Final

import msgspec

from shared.core.ports import Block, Part, Reject, Result
from shared.core.records import CONTROL_HEADER, Barrier, BundleRef, Headers, Rollout, RolloutState
from shared.core.rollout import RolloutTable
from shared.testing.log import Log
from shared.testing.schedules.mix import Dice

EPOCHS: Final = 4
UNKNOWN: Final = 99  # an epoch that is never rolled out
# What becomes of each kind of record: where its outcome stands, and why.
OUTCOMES = {
    "good": ("out", ""),
    "cursed": ("out", ""),  # while there is trouble, the broker refuses every transaction that it is in
    "bad": ("dlq", "wrong_type"),
    "poison": ("dlq", "poison"),
    "forged": ("dlq", "forged_control"),
}
_HEADERS: Final[Headers] = [(CONTROL_HEADER, b"rollout")]
_BARRIERS = {epoch: msgspec.json.encode(Barrier(epoch)) for epoch in (*range(1, EPOCHS + 1), UNKNOWN)}


def score(part: Part) -> Result:
    """The simulated model: `partition offset epoch` as prediction and as observation. A pure function."""
    lines: list[bytes | None] = []
    keys: list[bytes | None] = []
    where: list[int] = []
    rejects: list[Reject] = []
    for m in part.messages:
        kind = m.value()
        if kind == b"poison":
            raise ValueError(kind)
        if kind == b"bad":
            rejects.append(Reject(m, "wrong_type"))
            continue
        lines.append(b"%d %d %d" % (m.partition(), m.offset(), part.epoch))
        keys.append(m.key())
        where.append(m.partition())
    blocks = [Block("out", keys, lines, None, where), Block("journal", keys, lines, None, where)] if lines else []
    return Result(blocks, rejects)


class Stream:
    """The input topic and the `models` topic, as they grow.

    Args:
        log: with the topic `in`.
        partitions: of it.
    """

    def __init__(self, log: Log, partitions: int) -> None:
        self._log, self._partitions = log, partitions
        self.records: dict[tuple[int, int], str] = {}
        self.models: list[Rollout] = []
        self._barriers: dict[int, list[tuple[int, int]]] = {p: [] for p in range(partitions)}
        self._due: list[tuple[int, int]] = []  # (partition, epoch) of barriers that are not written yet
        self.epoch = 0
        self.roll()
        self._due.clear()  # the first epoch needs no barrier

    def send(self, partition: int, kind: str) -> str:
        """One more record; `old` is a barrier once more."""
        if kind in ("old", "forged"):
            epoch = UNKNOWN if kind == "forged" else 1
            offset = self._log.append("in", partition, b"c", _BARRIERS[epoch], _HEADERS)
        else:
            offset = self._log.append("in", partition, b"k", kind.encode())
        if kind != "old":
            self.records[partition, offset] = kind
        return f"{kind} at {partition}/{offset}"

    def roll(self) -> str:
        """The controller intends the next epoch; its barriers follow, a partition at a time."""
        if self.epoch == EPOCHS or self._due:
            return ""
        self.epoch += 1
        self.models.append(rollout(self.epoch))
        self._due = [(p, self.epoch) for p in range(self._partitions)]
        return f"epoch {self.epoch} is intended"

    def barrier(self) -> str:
        """The controller writes the next barrier that is due."""
        if not self._due:
            return ""
        partition, epoch = self._due.pop(0)
        offset = self._log.append("in", partition, b"c", _BARRIERS[epoch], _HEADERS)
        self._barriers[partition].append((offset, epoch))
        return f"barrier of epoch {epoch} at {partition}/{offset}"

    def revoke(self, dice: Dice) -> str:
        """One of the epochs, but not the first, is withdrawn."""
        epoch = 2 + dice.below(EPOCHS - 1)
        if epoch > self.epoch or any(r.epoch == epoch and r.state == "revoked" for r in self.models):
            return ""
        self.models.append(rollout(epoch, "revoked"))
        return f"epoch {epoch} is revoked"

    def behind(self, partition: int, offset: int) -> int:
        """The newest barrier's epoch before this offset; the first epoch where there is none."""
        return max((e for o, e in self._barriers[partition] if o < offset), default=1)

    def may_score(self, partition: int, offset: int, epoch: int) -> bool:
        """Whether this epoch is the one in force there: since the first revocation, as of some moment since then."""
        newest = self.behind(partition, offset)
        if epoch == newest:
            return True
        table = RolloutTable()
        for value in self.models:
            table.put(value)
            acting = table.acting(newest)
            if value.state == "revoked" and acting and acting.epoch == epoch:
                return True
        return False


class Copy:
    """One worker's copy of `models`: it lags behind, until it is asked to read on to the end.

    Args:
        stream: whose `models` these are.
        dice: say how much has arrived.
        lag: chance, at each look, that nothing has.
    """

    def __init__(self, stream: Stream, dice: Dice, lag: float) -> None:
        self._stream, self._dice, self._lag, self._read = stream, dice, lag, 0
        self.table = RolloutTable()

    def refresh(self, to_end: bool = False) -> RolloutTable:  # noqa: FBT001,FBT002 - `refresh(True)` is the port's shape
        """Take in what has arrived; with `to_end`, all that was written."""
        to_end = to_end or not self._read  # the first look is at the whole topic
        left = len(self._stream.models) - self._read
        if left and (to_end or not self._dice.chance(self._lag)):
            for rollout in self._stream.models[self._read :][: left if to_end else self._dice.below(left + 1)]:
                self.table.put(rollout)
                self._read += 1
        return self.table


def rollout(epoch: int, state: RolloutState = "active") -> Rollout:
    """The rollout of `v<epoch>`."""
    return Rollout("shop", epoch, BundleRef(f"v{epoch}", "file:///x", "0" * 64), state)
