"""Which version is in force, and what each was at its training: from `models` and the bundles that it names."""

from collections.abc import Iterable
from typing import Protocol

from services.monitor.analyst.subject import Subject
from services.monitor.bundles import Fetch
from shared.core.errors import ModelRefused, Unavailable
from shared.core.ports import Clock
from shared.core.records import BundleRef
from shared.core.rollout import RolloutTable
from shared.runtime.logs import get_logger

AGAIN = 30.0  # s after which what could not be had is asked for again


class Follower(Protocol):
    """`shared.runtime.follow.RolloutFollower` is one."""

    table: RolloutTable

    def refresh(self, to_end: bool = False) -> RolloutTable:  # noqa: FBT001,FBT002 - as the follower has it
        """Take in what is new on `models`."""


class Subjects:
    """Knows versions. What cannot be had now is gone without, said so, and asked for again.

    Args:
        follower: of `models`.
        fetch: gives a bundle's manifest and reference.
        clock: for the pause between two tries.
    """

    def __init__(self, follower: Follower, fetch: Fetch, clock: Clock) -> None:
        self._follower, self._fetch, self._clock = follower, fetch, clock
        self._known: dict[str, Subject] = {}
        self._unknown: dict[str, Subject] = {}
        self._tried: dict[str, float] = {}
        self._lacking: dict[str, str] = {}
        self._may_fetch = True
        self._log = get_logger("subjects")

    @property
    def lacking(self) -> dict[str, str]:
        """What cannot be had now, and why: `models` itself, or versions."""
        return dict(self._lacking)

    def champion(self) -> str:
        """The version in force as far as is known; empty for none."""
        try:
            self._follower.refresh()
        except Unavailable as error:
            self._say("models", error)
        else:
            self._lacking.pop("models", None)
        newest = self._follower.table.newest_active()
        return newest.champion.version if newest else ""

    def of(self, versions: Iterable[str]) -> dict[str, Subject]:
        """What is known of these; a version that nobody knows has no reference."""
        self._may_fetch = True  # one bundle a turn: a registry that hangs costs its time-out once
        return {version: self._known.get(version) or self._asked(version) for version in versions}

    def _asked(self, version: str) -> Subject:
        unknown, now = self._unknown.setdefault(version, Subject(version)), self._clock.monotonic()
        if not self._may_fetch or now - self._tried.get(version, -AGAIN) < AGAIN:
            return unknown
        ref = self._ref(version)
        if ref is None:
            return unknown
        self._tried[version], self._may_fetch = now, False
        try:
            manifest, reference = self._fetch(ref)
        except Unavailable as error:
            self._say(version, error)
            return unknown
        except ModelRefused as error:
            self._log.warning("a bundle is refused, its version has no reference", version=version, error=str(error))
            self._known[version] = unknown
        else:
            self._known[version] = Subject(version, reference, dict(manifest.metrics))
        self._lacking.pop(version, None)
        return self._known[version]

    def _ref(self, version: str) -> BundleRef | None:
        refs = [ref for r in self._follower.table for ref in (r.champion, r.challenger) if ref is not None]
        return next((ref for ref in reversed(refs) if ref.version == version), None)

    def _say(self, what: str, error: Unavailable) -> None:
        if what not in self._lacking:
            self._log.warning("goes on with what it has", lacking=what, error=str(error))
        self._lacking[what] = str(error)
