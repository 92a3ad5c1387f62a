"""The reference profile of each version: from its bundle, as announced on `models`, verified like a scorer's."""

from pathlib import Path

import msgspec

from services.monitor.observer.describe import Profile
from shared.adapters.signing import Verifier
from shared.core.bundle import REFERENCE, Manifest
from shared.core.bundle_checks import check_manifest, check_ref, parse_manifest
from shared.core.errors import ModelRefused
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Clock
from shared.core.records import BundleRef
from shared.core.reference import Reference
from shared.core.reference_checks import check_reference
from shared.runtime.fetch import Fetcher
from shared.runtime.follow import RolloutFollower
from shared.runtime.logs import get_logger

AGAIN = 10.0  # s after which `models` is asked again for a version that it did not know


class ProfileStore:
    """Knows the profile of every version that was announced; implements `Profiles`.

    Args:
        spec: the pipeline that the bundles must fit.
        fetcher: brings bundles.
        key: the file of the public key that they are signed with.
        follower: of `models`.
        clock: for the pause between two questions about the same unknown version.
        timeout: s that fetching may take.
    """

    def __init__(
        self, spec: PipelineSpec, fetcher: Fetcher, key: Path, follower: RolloutFollower, clock: Clock, timeout: float
    ) -> None:
        self._spec, self._fetcher, self._key = spec, fetcher, key
        self._follower, self._clock, self._timeout = follower, clock, timeout
        self._known: dict[str, Profile | None] = {}
        self._asked: dict[str, float] = {}
        self._decode = msgspec.json.Decoder(Reference).decode
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
            self._known[version] = self._load(ref)
        except ModelRefused as error:
            self._log.warning("a version has no profile", version=version, error=str(error))
            self._known[version] = None
        return self._known[version]

    def _ref(self, version: str) -> BundleRef | None:
        refs = [ref for r in self._follower.refresh(True) for ref in (r.champion, r.challenger) if ref is not None]
        return next((ref for ref in reversed(refs) if ref.version == version), None)

    def _load(self, ref: BundleRef) -> Profile:
        check_ref(ref)
        verifier = Verifier(self._key)

        def check(content: bytes, signature: bytes) -> Manifest:
            verifier.verify(content, signature)
            manifest = parse_manifest(content)
            check_manifest(manifest, self._spec, ref)
            return manifest

        folder, manifest = self._fetcher.fetch(ref, check, self._timeout)
        try:
            reference = self._decode((folder / REFERENCE).read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise ModelRefused(f"files: {REFERENCE} of {ref.version} cannot be read: {error}") from None
        check_reference(reference, manifest)
        return Profile(manifest.columns, reference)
