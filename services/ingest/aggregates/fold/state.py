"""The fold's memory of one partition of `entities`: the windows of its entities, and how far event time has come.

A function of the partition's events in offset order alone. Whatever happens to a process, the events from `low` on give
the same windows again: what stands before `low` is out of every window that a record in time may still ask for.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal

from shared.core.aggregates import Plan, Row, Window
from shared.core.records import FeatureUpdate

Fate = Literal["added", "repeated", "late"]
CONFIRM = 8
"""So many events in a row must have passed a moment before the partition has. One record stamped a year ahead (which
`max_future` may let in) would otherwise make all that follow late."""
SWEEPS = 8
"""How often, within the longest span, windows are looked through for what may go. More is less memory and more work."""


class PartitionState:
    """Windows by group and entity.

    Args:
        plans: the groups by name.
    """

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        self._plans = plans
        self._windows: dict[tuple[str, str], Window] = {}
        self._fresh: dict[tuple[str, str], list[int]] = {}
        self._recent: deque[int] = deque(maxlen=CONFIRM)
        self._every = max(max((p.over + p.late for p in plans.values()), default=0) // SWEEPS, 1)
        self._swept = -1
        self.passed = -1
        """The partition's watermark: event time (ms) that the last events have all reached; -1 before there is one."""
        self.next = -1
        """The offset after the last event that was taken in."""
        self.held = 0
        """Records in all windows."""
        self.low = -1
        """The oldest offset that is still needed, as of the last look; -1: none is."""

    def take(self, event: tuple[str, str, int, str, Row], offset: int) -> Fate:
        """Fold one event (group, entity, time, id, row) in; afterwards its versions are due."""
        group, entity, time, name, row = event
        late = self.passed >= 0 and time < self.passed - self._plans[group].late
        self._advance(time)
        if late:
            return "late"
        key = (group, entity)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(self._plans[group])
        size = len(window)
        if not window.add(time, name, row, offset):
            return "repeated"
        self.held += len(window) - size
        self.low = offset if self.low < 0 else self.low
        self._fresh.setdefault(key, []).append(time)
        return "added"

    def _advance(self, time: int) -> None:
        self._recent.append(time)
        if len(self._recent) == CONFIRM and time > self.passed:
            self.passed = max(self.passed, min(self._recent))

    def due(self) -> Sequence[FeatureUpdate]:
        """Each version that changed since the last call, once, an entity's own in ascending order of time."""
        made = [
            FeatureUpdate(group, entity, stamp, window.values(stamp))
            for (group, entity), times in self._fresh.items()
            for window in (self._windows[group, entity],)
            for stamp in window.stamps(times)
        ]
        self._fresh.clear()
        return made

    def nothing_is_due(self) -> None:
        """What was taken in was told before."""
        self._fresh.clear()

    def settle(self) -> None:
        """Let go of what no version may ask for any more. What is due stays due."""
        if self.passed < self._swept + self._every:
            return
        self._swept = self.passed
        for key, window in list(self._windows.items()):
            plan = self._plans[key[0]]
            window.trim(self.passed - plan.late - plan.over)
            if not window and key not in self._fresh:
                del self._windows[key]
        self.held = sum(map(len, self._windows.values()))
        self.low = min((min(window.marks) for window in self._windows.values() if window), default=-1)
