"""The model bundle: what a scorer needs of a version, as plain files named by one manifest.

A bundle is a folder with `manifest.json`, `signature` (Ed25519 over the manifest's bytes) and the files that the
manifest lists with size and sha256. Its digest is the sha256 of the manifest's bytes, so it covers every file.
Only the names in `BUNDLE_FILES` are ever read; nothing in a bundle names a path or a type to load.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from shared.core.answering import Post

RuntimeName = Literal["onnx", "treelite", "sklearn"]
MODEL_FILES: dict[RuntimeName, str] = {"onnx": "model.onnx", "treelite": "model.treelite", "sklearn": "model.skops"}
MANIFEST = "manifest.json"
SIGNATURE = "signature"
GOLDEN = "golden.json"
REFERENCE = "reference.json"
BUNDLE_FILES = frozenset({MANIFEST, SIGNATURE, GOLDEN, REFERENCE, *MODEL_FILES.values()})


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the bundle."""

    sha256: str
    size: int


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column of the matrix, in order. `categories[i]` has code `i`; anything else is NaN (`unseen`)."""

    name: str
    kind: Literal["numeric", "category"]
    categories: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the bundle is and how it must answer.

    `classes` is the order of the model's probability columns (empty: regression). `tolerance` is the largest
    difference to scikit-learn on the golden records that was accepted, `parity` the largest one found.
    `post` is what is done to the runtime's output before it is an answer; golden scores and parity are of the output
    itself. Times are event times in ms; `measured` has microseconds a record by runtime and batch size.
    """

    pipeline: str
    version: str
    task: Literal["binary", "multiclass", "regression"]
    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    runtime: RuntimeName
    files: dict[str, FileEntry]
    threshold: float
    tolerance: float
    parity: float
    trained_from: int
    trained_until: int
    run_id: str = ""
    post: Post = Post()
    metrics: dict[str, float] = {}
    measured: dict[str, dict[str, float]] = {}
    v: int = 1


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records with their looked-up values and the scores that scikit-learn gave them at training time.

    `records[i]` is the record's JSON, `lookups[i]` its groups (null where missing), `scores[i]` the row that
    `Runtime.predict` must give within the manifest's tolerance.
    """

    records: tuple[msgspec.Raw, ...]
    lookups: tuple[dict[str, dict[str, Any] | None], ...]
    scores: Sequence[Sequence[float]]


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes that are hashed and signed: sorted keys, so that equal manifests have equal digests."""
    return msgspec.json.encode(manifest, order="deterministic")
