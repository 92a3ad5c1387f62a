"""I9: predictions scored again, offline, with the bundle of their version and the features that the journal names."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import numpy as np

from shared.core.bundle import MANIFEST
from shared.core.bundle_checks import parse_manifest
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Floats
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Found
from shared.core.records import BundleRef, Prediction
from shared.core.scoring import Version, answers
from shared.runtime.runtimes import load_runtime
from tailrace.proof.checks import Finding
from tailrace.proof.evidence import Evidence
from tailrace.proof.tape import Row

TOLERANCE = 1e-9
_EXAMPLES = 3
_SIZES = (*range(1, 18), 32)


class _Seen(msgspec.Struct, frozen=True):
    prediction: Prediction
    lookups: dict[str, dict[str, Any] | None]


def right(e: Evidence, sample: Sequence[Row]) -> tuple[Finding, int]:
    """I9: the score is what that version makes of that record and those features.

    Args:
        e: the evidence.
        sample: observations with their values.

    Returns:
        The finding, and how many were scored again.
    """
    decode = msgspec.json.Decoder(_Seen).decode
    seen: dict[BundleRef, list[tuple[Row, _Seen]]] = {}
    for row in sample:
        one = decode(row.value or b"")
        if (ref := e.owed(one.prediction.epoch, one.prediction.key)) is not None:
            seen.setdefault(ref, []).append((row, one))
    cases, n = [], 0
    for ref, rows in seen.items():
        known = [(row, one) for row, one in rows if row.at in e.inputs]
        again = _Again(e.spec, ref)
        matrix = again.matrix([e.inputs[row.at].value for row, _ in known], [one.lookups for _, one in known])
        n += len(known)
        for i, ((row, one), score) in enumerate(zip(known, again.scores(matrix), strict=True)):
            if abs(one.prediction.score - score) <= TOLERANCE:
                continue
            if not any(abs(one.prediction.score - s) <= TOLERANCE for s in again.in_small_batches(matrix[i])):
                cases.append(f"{row.at}: scored {one.prediction.score}, again it is {score}")
    return Finding(len(cases), tuple(cases[:_EXAMPLES])), n


class _Again:
    """One version, loaded from its bundle on disk."""

    def __init__(self, spec: PipelineSpec, ref: BundleRef) -> None:
        folder = Path(unquote(urlsplit(ref.uri).path))
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
        self._spec, self._codec = spec, RecordCodec(spec)
        self._builder = FeatureBuilder(spec, self._codec, manifest.columns)
        self._runtime = load_runtime(manifest.runtime, folder)
        self._version = Version(0, ref.version, ref.digest, manifest.classes, manifest.threshold, manifest.post)

    def matrix(self, values: Sequence[bytes], lookups: Sequence[Mapping[str, Any]]) -> Floats:
        """The model's input for these records and the features that were looked up for them, (n, d)."""
        rows = [self._codec.decode_one(value) for value in values]
        found = Found({group: [one.get(group) for one in lookups] for group in self._spec.lookups})
        return self._builder.matrix(rows, found).values

    def scores(self, matrix: Floats) -> Sequence[float]:
        """Of n rows."""
        return answers(self._spec, self._version, self._runtime.predict(matrix)).scores

    def in_small_batches(self, row: Floats) -> Iterator[float]:
        """Of one row: a runtime that sums in 32 bits may round its last digit by how many rows it is given at once."""
        for size in _SIZES:
            yield from self.scores(np.repeat(row[np.newaxis], size, axis=0))
