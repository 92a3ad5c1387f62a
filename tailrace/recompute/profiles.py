"""What each version was trained on: from its signed bundle, as announced on `models`."""

import time

import msgspec

from shared.adapters.kafka.table import TableReader
from shared.adapters.signing import Verifier
from shared.core.bundle import REFERENCE, Manifest
from shared.core.bundle_checks import check_manifest, check_ref, parse_manifest
from shared.core.errors import ModelRefused
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef, Rollout
from shared.runtime.clock import SystemClock
from shared.runtime.fetch import Fetcher
from shared.runtime.model_files import model_cache, public_key, state_folder
from shared.runtime.settings import Settings
from tailrace.recompute.features import Known


class Bundles:
    """Knows the reference of every version that was announced; fetches each bundle once.

    Args:
        spec: the pipeline that they must fit.
        settings: where they are kept, and by which key they are signed.
        reader: of `models`; read to its end here.

    Raises:
        Unavailable: `models` cannot be read.
    """

    def __init__(self, spec: PipelineSpec, settings: Settings, reader: TableReader) -> None:
        self._spec, self._settings, state = spec, settings, state_folder()
        self._fetcher = Fetcher(model_cache(settings.models, state), settings.mlflow, SystemClock(), time.sleep)
        self._key = public_key(settings.models, state)
        self._refs = _refs(reader, spec.name)
        self._known: dict[str, Known | None] = {}
        self.refused: dict[str, str] = {}
        """Versions whose bundle failed a check, and why: neither here nor there are features counted."""

    def __call__(self, version: str) -> Known | None:
        """The reference of a version; None where it was not announced, or its bundle is refused.

        Raises:
            Unavailable: the bundle cannot be fetched now.
            UserError: there is no key to verify it with.
        """
        if version not in self._known:
            ref = self._refs.get(version)
            try:
                self._known[version] = None if ref is None else self._load(ref)
            except ModelRefused as error:
                self.refused[version] = str(error)
                self._known[version] = None
        return self._known[version]

    def _load(self, ref: BundleRef) -> Known:
        check_ref(ref)
        verifier = Verifier(self._key)

        def check(content: bytes, signature: bytes) -> Manifest:
            verifier.verify(content, signature)
            manifest = parse_manifest(content)
            check_manifest(manifest, self._spec, ref)
            return manifest

        folder, manifest = self._fetcher.fetch(ref, check, self._settings.models.timeout)
        try:
            reference = msgspec.json.decode((folder / REFERENCE).read_bytes(), type=dict)
        except (OSError, msgspec.DecodeError) as error:
            raise ModelRefused(f"files: {REFERENCE} of {ref.version} cannot be read: {error}") from None
        words = {c.name: c.categories if c.kind == "category" else None for c in manifest.columns}
        return Known(words, reference)


def _refs(reader: TableReader, pipeline: str) -> dict[str, BundleRef]:
    """The bundle of each version; that of the highest epoch which names it."""
    epochs: dict[int, Rollout] = {}
    for value in reader.to_end():
        try:
            rollout = msgspec.json.decode(value, type=Rollout)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if rollout.pipeline == pipeline:
            epochs[rollout.epoch] = rollout
    named = [ref for _, r in sorted(epochs.items()) for ref in (r.champion, r.challenger) if ref is not None]
    return {ref.version: ref for ref in named}
