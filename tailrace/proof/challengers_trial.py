"""One trial as `models` tells it: which steps a challenger came to, and how it ended."""

import re
from collections.abc import Iterable
from typing import Literal

from shared.core.records import Rollout
from shared.core.rollout import RolloutTable

End = Literal["rolled back", "champion", "no end"]
_BACK = re.compile(r"rolled back \((\w+)\): (.*)", re.DOTALL)
REFUSED = "refused by workers"


class Trial:
    """What is known of one challenger's trial.

    Args:
        version: its version.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.steps: dict[int, str] = {}
        """By epoch: the steps that were active."""
        self.began = 0
        """When the first one became active, ms of wall time."""
        self.ended = 0
        """When it was taken back, or became the champion, ms of wall time."""
        self.end: End = "no end"
        self.signal = self.reason = ""

    @property
    def step(self) -> str:
        """The newest step."""
        return self.steps[max(self.steps)] if self.steps else ""

    def look(self, table: RolloutTable) -> bool:
        """Take in what `models` says now; whether the trial is over."""
        for one in own(table, self.version):
            if one.state == "active" and one.epoch not in self.steps:
                self.steps[one.epoch] = step_name(one)
                self.began = self.began or one.changed_at
            if one.state == "revoked" and self._taken_back(one):
                return True
            if one.state == "active" and one.mode == "champion":
                self.end, self.ended = "champion", one.changed_at
                return True
        return False

    def _taken_back(self, one: Rollout) -> bool:
        found = _BACK.match(one.reason)
        if found is None and not one.reason.startswith(REFUSED):
            return False  # e.g. a shadow that is over since a canary follows it
        self.end, self.ended = "rolled back", one.changed_at
        self.signal, self.reason = (found[1], found[2]) if found else ("refused", one.reason)
        return True


def own(table: Iterable[Rollout], version: str) -> list[Rollout]:
    """The epochs of a version's trial."""
    mine = (r for r in table if r.plan == "trial")
    return [r for r in mine if (r.challenger or r.champion).version == version]


def step_name(rollout: Rollout) -> str:
    """As the controller names a step."""
    return f"canary {rollout.share:.0%}" if rollout.mode == "canary" else rollout.mode
