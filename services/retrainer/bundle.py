"""Writing a bundle: golden records, reference profile, model, manifest, signature; whole or not at all."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.retrainer.export import Candidate
from shared.core.answering import NOTHING, Post
from shared.core.bundle import (
    GOLDEN,
    MANIFEST,
    MODEL_FILES,
    REFERENCE,
    SIGNATURE,
    Column,
    FileEntry,
    Golden,
    Manifest,
    encode_manifest,
)
from shared.core.bundle_checks import classes_of
from shared.core.codec import Row
from shared.core.errors import UserError
from shared.core.golden import Scores, as_columns
from shared.core.pipeline import FieldSpec, PipelineSpec
from shared.core.ports import Found
from shared.core.records import BundleRef
from shared.core.reference import Reference

GOLDEN_RECORDS = 64


@dataclass(frozen=True, slots=True)
class Content:
    """What a bundle says beside its version. Times in ms."""

    spec: PipelineSpec
    columns: tuple[Column, ...]
    chosen: Candidate
    measured: Mapping[str, dict[str, float]]
    golden: Golden
    reference: Reference
    metrics: Mapping[str, float]
    trained_from: int
    trained_until: int
    post: Post = NOTHING
    run_id: str = ""


def choose_golden(missing: Sequence[int], n: int = GOLDEN_RECORDS) -> list[int]:
    """The places of golden records: spread over time, a quarter of them those with the most missing values.

    Args:
        missing: how many values each record lacks, in order of time.
        n: how many to choose at most.
    """
    total = len(missing)
    spread = np.linspace(0, total - 1, min(n - n // 4, total)).astype(np.intp).tolist()
    sparse = np.argsort(-np.asarray(missing), kind="stable")[: n // 4].tolist()
    return sorted({*spread, *sparse})


def make_golden(spec: PipelineSpec, rows: Sequence[Row], found: Found, scores: Scores) -> Golden:
    """Golden records of n rows, their personal fields replaced (no feature is one)."""
    lookups = tuple(
        {group: None if values[i] is None else dict(values[i] or {}) for group, values in found.values.items()}
        for i in range(len(rows))
    )
    records = tuple(msgspec.Raw(_scrubbed(spec, row, i)) for i, row in enumerate(rows))
    return Golden(records, lookups, as_columns(scores, len(rows)).tolist())


def write_bundle(content: Content, version: str, folder: Path, sign: Callable[[bytes], bytes]) -> BundleRef:
    """Write the folder, which must not exist, by one rename.

    Returns:
        The reference, its address being the folder's.

    Raises:
        UserError: the folder is there already, or cannot be written.
    """
    target = folder.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            digest = _fill(beside, content, version, sign)
            beside.chmod(0o755)
            if target.exists():
                raise UserError(f"{target}: exists already", remedy="name a folder that does not")
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})", remedy="name another folder") from None
    return BundleRef(version, target.as_uri(), digest)


def _fill(folder: Path, content: Content, version: str, sign: Callable[[bytes], bytes]) -> str:
    files = {
        MODEL_FILES[content.chosen.runtime]: content.chosen.content,
        GOLDEN: msgspec.json.encode(content.golden),
        REFERENCE: msgspec.json.encode(content.reference),
    }
    manifest = encode_manifest(_manifest(content, version, files))
    for name, data in {**files, MANIFEST: manifest, SIGNATURE: sign(manifest)}.items():
        with (folder / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    return hashlib.sha256(manifest).hexdigest()


def _manifest(content: Content, version: str, files: Mapping[str, bytes]) -> Manifest:
    spec = content.spec
    return Manifest(
        pipeline=spec.name,
        version=version,
        task=spec.task,
        columns=content.columns,
        classes=classes_of(spec),
        runtime=content.chosen.runtime,
        files={name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()},
        threshold=spec.labels.threshold,
        tolerance=spec.model.tolerance,
        parity=content.chosen.parity,
        trained_from=content.trained_from,
        trained_until=content.trained_until,
        run_id=content.run_id,
        post=content.post,
        metrics=dict(content.metrics),
        measured=dict(content.measured),
    )


def _scrubbed(spec: PipelineSpec, row: Row, i: int) -> bytes:
    record: dict[str, Any] = msgspec.to_builtins(row)
    for name in {*spec.privacy.drop, *spec.privacy.hash} & set(record):
        record[name] = _neutral(spec.record.fields[name], i)
    return msgspec.json.encode(record)


def _neutral(field: FieldSpec, i: int) -> Any:
    if field.type == "string":
        return f"golden-{i}"[-field.max_length :]
    if field.type == "boolean":
        return False
    low = 0 if field.minimum is None else field.minimum
    value = min(low, field.maximum) if field.maximum is not None else low
    return value if field.type == "number" else int(value)
