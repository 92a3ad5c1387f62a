"""The reference profile of each version: from its bundle, as announced on `models`, verified like a scorer's."""

from services.monitor.bundles import Fetch
from services.monitor.observer.describe import Profile
from shared.core.errors import ModelRefused
from shared.core.ports import Clock
from shared.core.records import BundleRef
from shared.runtime.follow import RolloutFollower
from shared.runtime.logs import get_logger

AGAIN = 10.0  # s after which `models` is asked again for a version that it did not know


class ProfileStore:
    """Knows the profile of every version that was announced; implements `Profiles`.

    Args:
        fetch: gives a bundle's manifest and reference.
        follower: of `models`.
        clock: for the pause between two questions about the same unknown version.
    """

    def __init__(self, fetch: Fetch, follower: RolloutFollower, clock: Clock) -> None:
        self._fetch, self._follower, self._clock = fetch, follower, clock
        self._known: dict[str, Profile | None] = {}
        self._asked: dict[str, float] = {}
        self._log = get_logger("profiles")

    def __call__(self, version: str) -> Profile | None:
        """See `Profiles`. A bundle that is refused has none, and that stays so.

        Raises:
            Unavailable: `models` or the bundle cannot be read now.
        """
        if version in self._known:
            return self._known[version]
        now = self._clock.monotonic()
        if now - self._asked.get(version, -AGAIN) < AGAIN:
            return None
        ref = self._ref(version)
        if ref is None:
            self._asked[version] = now
            return None
        try:
            manifest, reference = self._fetch(ref)
        except ModelRefused as error:
            self._log.warning("a version has no profile", version=version, error=str(error))
            self._known[version] = None
        else:
            self._known[version] = Profile(manifest.columns, reference)
        return self._known[version]

    def _ref(self, version: str) -> BundleRef | None:
        refs = [ref for r in self._follower.refresh(True) for ref in (r.champion, r.challenger) if ref is not None]
        return next((ref for ref in reversed(refs) if ref.version == version), None)
