"""What the loop knows of rollouts: which epoch scores which record of a batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from shared.core.ports import Block, Message, Part
from shared.core.records import Application, Committed, Note
from shared.core.rollout import RolloutTable, Split, last_application, split


class Controls(Protocol):
    """Cuts batches by epoch; one implementation for services that follow rollouts, one for those that do not.

    A third, `shared.runtime.rebuild.Rebuilding`, is for those with a memory.
    """

    def refresh(self) -> None:
        """Take in what is new in `models`; called each turn, so that idle workers load announced versions too."""

    def notes(self, positions: Mapping[int, Committed]) -> dict[int, Note]:
        """The note of each newly owned partition, found again where the offset's metadata is gone."""

    def dropped(self, partitions: Sequence[int]) -> None:
        """These partitions are owned no longer."""

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """Cut a batch; called at the start of each batch, so that a revocation acts at once."""

    def blocks(self, applications: Sequence[Application]) -> list[Block]:
        """What to write, in the batch's transaction, of epochs that begin to act in it."""


class NoControls:
    """For services whose input carries no barriers: one part, no epoch."""

    def refresh(self) -> None:
        """Nothing to follow."""

    def notes(self, positions: Mapping[int, Committed]) -> dict[int, Note]:
        """The notes as committed."""
        return {p: c.note for p, c in positions.items()}

    def dropped(self, partitions: Sequence[int]) -> None:
        """Nothing was kept of them."""

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """The whole batch as one part."""
        partitions = [m.partition() for m in messages]
        part = Part(messages, [m.headers() for m in messages], 0, partitions=partitions)
        return Split(parts=[part], notes={p: notes[p] for p in set(partitions)}, partitions=partitions)

    def blocks(self, applications: Sequence[Application]) -> list[Block]:
        """Nothing."""
        del applications
        return []


class Barriers:
    """Follows the `models` topic and the barriers in `records`.

    Args:
        refresh: reads what is new in `models` into the table; `refresh(True)` reads to the end as of now.
        applications: reads `rollouts` whole; asked only where an offset's metadata is gone.
        encode: makes the `rollouts` block of applications.
        local: `rollout.activation: local`.
    """

    def __init__(
        self,
        refresh: Callable[[bool], RolloutTable],
        applications: Callable[[], Sequence[Application]],
        encode: Callable[[Sequence[Application]], Block],
        *,
        local: bool = False,
    ) -> None:
        self._read, self._applications, self._encode, self._local = refresh, applications, encode, local

    def refresh(self) -> None:
        """Read what has arrived; a revocation acts from the next batch on."""
        self._read(False)

    def notes(self, positions: Mapping[int, Committed]) -> dict[int, Note]:
        """As committed; without metadata, the last entry of `rollouts` at or before the offset; else none."""
        if all(c.note.epoch for c in positions.values()):
            return {p: c.note for p, c in positions.items()}
        known = self._applications()
        return {
            p: c.note if c.note.epoch else last_application(known, p, max(c.offset, 0)) for p, c in positions.items()
        }

    def dropped(self, partitions: Sequence[int]) -> None:
        """What was read of rollouts holds for all partitions."""

    def split(self, messages: Sequence[Message], notes: Mapping[int, Note]) -> Split:
        """Cut at barriers. What is not in our copy of the table, or contradicts a note, may be newer: read on first.

        A note is what the owner before us knew. A copy that lags behind it would take an epoch that it has not heard of
        for revoked, and let one that was revoked act again.
        """
        result = split(messages, notes, self._read(False), local=self._local)
        if result.forged or result.stranded or any(a.cause == "revoked" for a in result.applications):
            result = split(messages, notes, self._read(True), local=self._local)
        return result

    def blocks(self, applications: Sequence[Application]) -> list[Block]:
        """The entries of `rollouts`."""
        return [self._encode(applications)] if applications else []
