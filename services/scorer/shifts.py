"""A worker's time in the group, shift by shift: it takes part while it can score what is in force, and else stays out.

A worker that lacks a model which others have must not sit on its partitions, nor end and start again for ever. It
leaves the group, says why, tries to get what it lacks, and comes back.
"""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from shared.core.errors import CannotScore
from shared.core.ports import Clock
from shared.runtime.logs import get_logger

LOOK = 0.2  # s between looks at whether what is lacking has come
REST, LONGEST = 30.0, 600.0
"""Seconds after which a worker tries again although it still lacks what an older epoch needs: its partitions may be
past that epoch by now. Doubled each time that they are not."""


class Shift(Protocol):
    """`shared.runtime.loop.Loop`."""

    def run(self) -> None:
        """Until stopped."""

    def stop(self) -> None:
        """Come to an end in order; may be called from anywhere."""


class Abilities(Protocol):
    """`services.scorer.versions.Versions`."""

    given_up: dict[str, str]

    def lacking(self, epoch: int = 0) -> dict[str, str]:
        """Why this worker could not score where an epoch acts (0: the newest), by version."""


class Shifts:
    """Runs loops one after another until told to stop.

    Args:
        begin: joins the group: makes a loop.
        versions: what can be scored here; told what is given up.
        refresh: reads what is new in `models`; called while out of the group.
        turn: says that the process is alive.
        clock: for rests.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        begin: Callable[[], Shift],
        versions: Abilities,
        refresh: Callable[[], object],
        turn: Callable[[], None],
        clock: Clock,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._begin, self._versions, self._refresh, self._turn = begin, versions, refresh, turn
        self._clock, self._pause = clock, pause
        self._stopping = False  # a plain flag, as the loop's
        self._shift: Shift | None = None
        self._stuck, self._rest, self._until = 0, 0.0, float("-inf")
        self._log = get_logger("models")

    def run(self) -> None:
        """Take part until stopped. What a loop raises, but for `CannotScore`, passes through."""
        while not self._stopping:
            lacking = self._lacking()
            if self._stuck and lacking:
                self._versions.given_up = dict(lacking)
            if lacking:
                self._pause(LOOK)
                continue
            self._versions.given_up = {}
            try:
                self._join().run()
            except CannotScore as error:
                self._leave(error)

    def stop(self) -> None:
        """End in order. May be called from a signal handler."""
        self._stopping = True
        if self._shift is not None:
            self._shift.stop()

    def again(self) -> None:
        """Leave the group in order and join it anew: partitions that were stopped are tried again."""
        if self._shift is not None:
            self._shift.stop()

    def _join(self) -> Shift:
        shift = self._shift = self._begin()
        if self._stopping:  # told so while it was made
            shift.stop()
        return shift

    def _leave(self, error: CannotScore) -> None:
        self._rest = min(max(2 * self._rest, REST), LONGEST)
        self._stuck, self._until = error.epoch, self._clock.monotonic() + self._rest
        self._versions.given_up = self._versions.lacking(error.epoch) or {"?": str(error)}
        self._log.error("partitions given up", error=str(error), tried_again_after=self._rest)

    def _lacking(self) -> Mapping[str, str]:
        """What keeps this worker out: a version that is in force now, or that the epoch needs where it got stuck."""
        self._refresh()
        self._turn()
        lacking = self._versions.lacking()
        if lacking or not self._stuck:
            return lacking
        if (lacking := self._versions.lacking(self._stuck)) and self._clock.monotonic() < self._until:
            return lacking
        if not lacking:
            self._rest = 0.0
        self._stuck = 0
        return {}
