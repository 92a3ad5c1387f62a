"""How the scores of versions were distributed when they were judged, from their bundles, read beside the turns."""

import threading
from collections.abc import Mapping, Sequence

from shared.core.errors import ModelRefused, Unavailable
from shared.core.ports import Clock
from shared.core.records import BundleRef
from shared.runtime.bundles import Fetch
from shared.runtime.logs import get_logger

AGAIN_S = 60.0  # after a bundle could not be had


class References:
    """Reads a bundle once, in a thread of its own: a server that hangs must not hold a rollback up.

    Args:
        fetch: gives a bundle's manifest and reference.
        clock: when to try again.
    """

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._known: dict[str, Sequence[int]] = {}
        self._tried: dict[str, float] = {}
        self._log = get_logger("references")

    def of(self, refs: Sequence[BundleRef]) -> Mapping[str, Sequence[int]]:
        """Counts of scores over the bins of each version's reference; those that are known by now."""
        now = self._clock.monotonic()
        for ref in refs:
            if ref.version not in self._known and now - self._tried.get(ref.version, -AGAIN_S) >= AGAIN_S:
                self._tried[ref.version] = now
                threading.Thread(target=self.read, args=(ref,), name=f"reference-{ref.version}", daemon=True).start()
        return {ref.version: self._known[ref.version] for ref in refs if ref.version in self._known}

    def read(self, ref: BundleRef) -> None:
        """Read one now."""
        try:
            _, reference = self._fetch(ref)
        except (ModelRefused, Unavailable) as error:
            self._log.warning("reference cannot be read", version=ref.version, error=str(error))
        else:
            self._known[ref.version] = reference.scores.counts
