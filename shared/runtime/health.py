"""Is this process alive, and is it ready? Alive: its loop turns. Ready: it has all that it needs to work."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.core.ports import Clock

CHECKS: Final = ("assignment", "cache", "model")
"""What a scorer needs. A cache that is down and declared so (degraded by policy) is set as ok, with a detail."""
_MAX_DETAIL: Final = 500


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of readiness; `detail` tells a person why."""

    ok: bool
    detail: str


class Health:
    """Written by the loop, read by the endpoint's threads.

    Args:
        clock: for the age of the last turn.
        max_turn_age: seconds after which a loop that did not turn counts as dead.
        checks: the conditions of readiness; each is not ok until `set` says so.
    """

    def __init__(self, clock: Clock, *, max_turn_age: float, checks: Sequence[str] = CHECKS) -> None:
        self._clock = clock
        self._max_turn_age = max_turn_age
        self._turned = clock.monotonic()
        self._lock = threading.Lock()
        self._checks = {name: Check(ok=False, detail="not yet") for name in checks}

    def turn(self) -> None:
        """The loop turned: call it once a turn, and between the long steps of a start."""
        self._turned = self._clock.monotonic()

    def set(self, check: str, ok: bool, detail: str = "") -> None:  # noqa: FBT001 - reads as `set("cache", False, "down")`
        """Say how a check stands now.

        Raises:
            KeyError: a check that was not declared; it would never have held readiness back.
        """
        with self._lock:
            if check not in self._checks:
                raise KeyError(check)
            self._checks[check] = Check(ok=ok, detail=detail[:_MAX_DETAIL])

    def turn_age(self) -> float:
        """Seconds since the last turn, or since the start."""
        return max(0.0, self._clock.monotonic() - self._turned)

    def live(self) -> bool:
        """Whether the loop turned within the bound."""
        return self.turn_age() < self._max_turn_age

    def checks(self) -> dict[str, Check]:
        """How each check stands."""
        with self._lock:
            return dict(self._checks)

    def ready(self) -> bool:
        """Whether the process is live and every check is ok."""
        return self.live() and all(check.ok for check in self.checks().values())

    def report(self) -> dict[str, object]:
        """All of it, as `/ready` and `/status` show it."""
        checks = self.checks()
        age = self.turn_age()
        live = age < self._max_turn_age
        return {
            "live": live,
            "ready": live and all(check.ok for check in checks.values()),
            "turn_age_seconds": round(age, 3),
            "checks": {name: {"ok": check.ok, "detail": check.detail} for name, check in checks.items()},
        }
