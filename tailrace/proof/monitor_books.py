"""The proof's own books: what must become of each label and observation that it makes. A model of a few lines.

It knows nothing of watermarks: labels keep a margin from every border (`monitor_terms`), so their delay alone decides.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tailrace.proof.monitor_terms import GRAIN, HOLD, HORIZON, LATEST, MARGIN, WINDOW

IN_TIME = HORIZON - MARGIN
LATE = (HORIZON + MARGIN, HORIZON + HOLD - MARGIN)
FORGOTTEN = HORIZON + HOLD + GRAIN + WINDOW
OutcomeKey = tuple[str, int, str, Any]
"""Id, revision, status, value."""
STATUSES = ("matched", "corrected", "late", "held", "orphaned", "duplicate", "conflicting", "unsampled")


@dataclass(slots=True)
class Books:
    """What is expected. `accounts` by the names of an account's sums, `letters` by reason."""

    accounts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[OutcomeKey] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)

    def label(self, status: str, *, at: bool = True) -> None:
        """One label that is read; `at`: it says where its record stands."""
        self.accounts["labels"] += 1
        self.accounts[status] += 1
        self.accounts["astray"] += status == "orphaned" and not at

    def meets(self, status: str, delay: int, outcome: OutcomeKey, *, at: bool) -> str:
        """A label of an observation that is there, or will be: its status in time is given, else its delay decides."""
        found = status_of(delay, status)
        self.label(found, at=at)
        if found in ("matched", "corrected"):
            self.outcomes[outcome] += 1
        return found


def status_of(delay: int, in_time: str) -> str:
    """What a label becomes that is `delay` ms after its observation.

    Raises:
        ValueError: it is too near to a border.
    """
    if delay <= IN_TIME:
        return in_time
    if LATE[0] <= delay <= LATE[1]:
        return "late"
    if FORGOTTEN + MARGIN // 2 <= delay <= LATEST:
        return "orphaned"
    raise ValueError(f"a delay of {delay} ms is too near to a border")


def clear(delay: int) -> bool:
    """Whether a delay keeps its distance."""
    return delay <= IN_TIME or LATE[0] <= delay <= LATE[1] or delay >= FORGOTTEN + MARGIN // 2
