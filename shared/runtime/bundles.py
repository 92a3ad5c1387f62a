"""Fetching the bundle of a version for what it says of its training: verified like a scorer's, never run."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from shared.adapters.signing import Verifier
from shared.core.bundle import REFERENCE, Manifest
from shared.core.bundle_checks import check_manifest, check_ref, parse_manifest
from shared.core.errors import ModelRefused
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef
from shared.core.reference import Reference
from shared.core.reference_checks import check_reference
from shared.runtime.fetch import Fetcher

Fetch = Callable[[BundleRef], tuple[Manifest, Reference]]


def bundle_reader(spec: PipelineSpec, fetcher: Fetcher, key: Path, timeout: float) -> Fetch:
    """A function that gives a bundle's manifest and reference profile.

    It raises `ModelRefused` where the bundle is not what was announced and signed, and `Unavailable` where it cannot
    be had now.

    Args:
        spec: the pipeline that bundles must fit.
        fetcher: brings them.
        key: the file of the public key that they are signed with.
        timeout: s that fetching may take.
    """
    decode = msgspec.json.Decoder(Reference).decode

    def read(ref: BundleRef) -> tuple[Manifest, Reference]:
        check_ref(ref)
        verifier = Verifier(key)

        def check(content: bytes, signature: bytes) -> Manifest:
            verifier.verify(content, signature)
            manifest = parse_manifest(content)
            check_manifest(manifest, spec, ref)
            return manifest

        folder, manifest = fetcher.fetch(ref, check, timeout)
        try:
            reference = decode((folder / REFERENCE).read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise ModelRefused(f"files: {REFERENCE} of {ref.version} cannot be read: {error}") from None
        check_reference(reference, manifest)
        return manifest, reference

    return read
