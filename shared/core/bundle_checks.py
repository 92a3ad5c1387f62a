"""What must hold of a bundle before it may score: pure checks, each refusing by its name and in words.

They run in this order: digest, signature (an adapter), manifest, files, golden records; the first that fails ends it.
"""

import hashlib
import math
import re
from collections.abc import Mapping

import msgspec

from shared.core.answering_checks import flaw
from shared.core.bundle import BUNDLE_FILES, GOLDEN, MANIFEST, MODEL_FILES, REFERENCE, SIGNATURE, Golden, Manifest
from shared.core.errors import ModelRefused
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef

MAX_MANIFEST = 1_000_000
MAX_SIGNATURE = 1_024
MAX_GOLDEN = 20_000_000
MAX_GOLDEN_RECORDS = 1_000
VERSION = re.compile(r"[A-Za-z0-9._+-]{1,64}")
DIGEST = re.compile(r"[0-9a-f]{64}")


def refusal(check: str, words: str) -> ModelRefused:
    """A refusal that starts with the check's code (`digest`, `columns` ...), by which metrics count it."""
    return ModelRefused(f"{check}: {words}")


def code_of(error: ModelRefused) -> str:
    """The code of the check that failed."""
    return str(error).split(":", 1)[0]


def verify_digest(manifest: bytes, digest: str) -> None:
    """Refuse a manifest that is not the one that was announced.

    Raises:
        ModelRefused: the digest differs.
    """
    found = hashlib.sha256(manifest).hexdigest()
    if found != digest:
        raise refusal("digest", f"the manifest hashes to {found[:12]}, announced was {digest[:12]}")


def parse_manifest(manifest: bytes) -> Manifest:
    """Decode verified bytes strictly.

    Raises:
        ModelRefused: not a manifest of this schema.
    """
    try:
        return msgspec.json.decode(manifest, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise refusal("manifest", f"not readable ({error})") from None


def parse_golden(golden: bytes) -> Golden:
    """Decode golden records.

    Raises:
        ModelRefused: not golden records of this schema.
    """
    try:
        return msgspec.json.decode(golden, type=Golden)
    except (msgspec.DecodeError, RecursionError) as error:
        raise refusal("golden", f"not readable ({error})") from None


def classes_of(spec: PipelineSpec) -> tuple[str, ...]:
    """The order of probability columns that a pipeline's models have; empty for regression."""
    if spec.task == "regression":
        return ()
    return spec.labels.classes or ("false", "true")


def check_ref(ref: BundleRef) -> None:
    """Refuse a reference whose version or digest could not name a folder.

    Raises:
        ModelRefused: the version or the digest is malformed.
    """
    if not VERSION.fullmatch(ref.version) or not DIGEST.fullmatch(ref.digest):
        raise refusal("reference", "the announced version or digest is malformed")


def check_manifest(manifest: Manifest, spec: PipelineSpec, ref: BundleRef) -> None:
    """Refuse a manifest that does not fit the pipeline or the announcement.

    Raises:
        ModelRefused: names the first check that failed.
    """
    _equal("schema", manifest.v, 1)
    _equal("pipeline", manifest.pipeline, spec.name)
    _equal("version", manifest.version, ref.version)
    _equal("task", manifest.task, spec.task)
    _check_columns(manifest, spec)
    _equal("classes", manifest.classes, classes_of(spec))
    if manifest.runtime not in spec.model.runtimes:
        raise refusal("runtime", f"{manifest.runtime} is not among the pipeline's {', '.join(spec.model.runtimes)}")
    _check_numbers(manifest, spec)
    if words := flaw(manifest.post, len(manifest.classes)):
        raise refusal("post", words)
    _check_files(manifest, spec.model.max_bytes)


def _equal(check: str, found: object, expected: object) -> None:
    if found != expected:
        raise refusal(check, f"the bundle has {found!r}, the pipeline wants {expected!r}")


def _check_columns(manifest: Manifest, spec: PipelineSpec) -> None:
    found, wanted = [c.name for c in manifest.columns], [f.name for f in spec.features]
    if len(found) != len(wanted):
        raise refusal("columns", f"the bundle has {len(found)}, the pipeline has {len(wanted)} features")
    for j, (column, feature) in enumerate(zip(manifest.columns, spec.features, strict=True)):
        if column.name != feature.name:
            raise refusal("columns", f"column {j} is {column.name!r}, the pipeline's feature is {feature.name!r}")
        if column.kind != feature.kind:
            raise refusal("columns", f"{column.name} is {column.kind}, the pipeline's feature is {feature.kind}")
        if feature.categories is not None and column.categories != feature.categories:
            raise refusal("columns", f"{column.name} has other categories than the pipeline declares")
        if len(set(column.categories)) != len(column.categories) or (column.kind == "numeric" and column.categories):
            raise refusal("columns", f"the categories of {column.name} are not a list of distinct words")


def _check_numbers(manifest: Manifest, spec: PipelineSpec) -> None:
    if not 0 <= manifest.threshold <= 1:
        raise refusal("threshold", f"{manifest.threshold} is no share")
    if not 0 <= manifest.tolerance <= spec.model.tolerance:
        raise refusal("tolerance", f"{manifest.tolerance} is more than the pipeline's {spec.model.tolerance}")
    if not 0 <= manifest.parity <= manifest.tolerance:
        raise refusal("parity", f"{manifest.parity} differs from scikit-learn by more than {manifest.tolerance}")
    speeds = manifest.measured.get(manifest.runtime, {})
    if not speeds or not all(math.isfinite(v) and v > 0 for v in speeds.values()):
        raise refusal("measured", f"no speed is stated for {manifest.runtime}")


def _check_files(manifest: Manifest, max_bytes: int) -> None:
    wanted = {GOLDEN, REFERENCE, MODEL_FILES[manifest.runtime]}
    if set(manifest.files) != wanted:
        raise refusal("files", f"the manifest lists {sorted(manifest.files)}, expected are {sorted(wanted)}")
    for name, entry in manifest.files.items():
        limit = max_bytes if name == MODEL_FILES[manifest.runtime] else MAX_GOLDEN
        if not 0 < entry.size <= limit:
            raise refusal("size", f"{name} has {entry.size:,} bytes, allowed are 1 to {limit:,}")
        if not DIGEST.fullmatch(entry.sha256):
            raise refusal("files", f"the sha256 of {name} is malformed")


def check_listing(sizes: Mapping[str, int], manifest: Manifest) -> None:
    """Refuse a folder that holds anything but the bundle's own files in their sizes.

    Args:
        sizes: bytes by file name, as found.
        manifest: the verified manifest.

    Raises:
        ModelRefused: a file is missing, extra or of another size.
    """
    expected = {MANIFEST, SIGNATURE, *manifest.files}
    if extra := sorted(set(sizes) - expected):
        kind = "unknown" if set(extra) - BUNDLE_FILES else "unlisted"
        raise refusal("files", f"the bundle holds {kind} files ({', '.join(map(ascii, extra[:3]))})")
    if missing := sorted(expected - set(sizes)):
        raise refusal("files", f"the bundle lacks {', '.join(missing)}")
    for name, entry in manifest.files.items():
        if sizes[name] != entry.size:
            raise refusal("size", f"{name} has {sizes[name]:,} bytes, the manifest says {entry.size:,}")


def check_golden(golden: Golden, manifest: Manifest) -> None:
    """Refuse golden records that prove nothing.

    Raises:
        ModelRefused: none, too many, of unequal lengths, or scores that no model of this task can give.
    """
    n, width = len(golden.records), max(1, len(manifest.classes))
    if not 0 < n <= MAX_GOLDEN_RECORDS or len(golden.lookups) != n or len(golden.scores) != n:
        raise refusal("golden", f"{n} records, {len(golden.lookups)} look-ups, {len(golden.scores)} scores")
    for row in golden.scores:
        if len(row) != width or not all(map(math.isfinite, row)):
            raise refusal("golden", f"a score is not {width} finite numbers")
