"""I9: predictions scored again, offline, with the bundle of their version and the features that the journal names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from shared.core.bundle import MANIFEST
from shared.core.bundle_checks import parse_manifest
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder
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
    seen: dict[int, list[tuple[Row, _Seen]]] = {}
    for row in sample:
        one = decode(row.value or b"")
        seen.setdefault(one.prediction.epoch, []).append((row, one))
    cases, n = [], 0
    for epoch, rows in sorted(seen.items()):
        known = [(row, one) for row, one in rows if row.at in e.inputs]
        values = [e.inputs[row.at].value for row, _ in known]
        scores = _scores(e.spec, e.refs[epoch], values, [one.lookups for _, one in known])
        n += len(known)
        for (row, one), score in zip(known, scores, strict=True):
            if not abs(one.prediction.score - score) <= TOLERANCE:
                cases.append(f"{row.at}: scored {one.prediction.score}, again it is {score}")
    return Finding(len(cases), tuple(cases[:_EXAMPLES])), n


def _scores(
    spec: PipelineSpec, ref: BundleRef, values: Sequence[bytes], lookups: Sequence[Mapping[str, Any]]
) -> Sequence[float]:
    folder = Path(unquote(urlsplit(ref.uri).path))
    manifest = parse_manifest((folder / MANIFEST).read_bytes())
    codec = RecordCodec(spec)
    rows = [codec.decode_one(value) for value in values]
    found = Found({group: [one.get(group) for one in lookups] for group in spec.lookups})
    matrix = FeatureBuilder(spec, codec, manifest.columns).matrix(rows, found)
    raw = load_runtime(manifest.runtime, folder).predict(matrix.values)
    version = Version(0, ref.version, ref.digest, manifest.classes, manifest.threshold, manifest.post)
    return answers(spec, version, raw).scores
