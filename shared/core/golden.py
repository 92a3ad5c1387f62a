"""The golden test: known records by the one path to the matrix, and a runtime's answers held against known scores."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.core.bundle import Column, Golden
from shared.core.bundle_checks import refusal
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Floats
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Found

Scores = NDArray[np.float64]


class HasColumns(Protocol):
    """A manifest, or what will become one."""

    @property
    def columns(self) -> Sequence[Column]: ...  # noqa: D102 - an attribute


def golden_matrix(golden: Golden, manifest: HasColumns, spec: PipelineSpec) -> Floats:
    """The matrix of the golden records, (n, d) float32, made by the scorer's own code.

    Raises:
        ModelRefused: the pipeline, as declared now, refuses a golden record.
    """
    codec = RecordCodec(spec)
    decoded = codec.decode([bytes(record) for record in golden.records])
    if decoded.refused:
        raise refusal("golden", f"the pipeline refuses golden record {decoded.refused[0][0]} ({decoded.refused[0][1]})")
    n = len(golden.lookups)
    values = {group: [looked.get(group) for looked in golden.lookups] for group in spec.lookups}
    # No causes: the declared policy was applied when these were chosen; what is missing here is simply missing.
    found = Found(values=values, ages=dict.fromkeys(values, [None] * n), causes=dict.fromkeys(values, [""] * n))
    matrix = FeatureBuilder(spec, codec, manifest.columns).matrix(decoded.rows, found)
    if matrix.refused:
        raise refusal("golden", f"the features refuse golden record {min(matrix.refused)}")
    return matrix.values


def as_columns(scores: Any, rows: int) -> Scores:
    """Any runtime's answer as (n, 1) or (n, k) float64."""
    return np.asarray(scores, dtype=np.float64).reshape(rows, -1)


def check_scores(scores: Any, golden: Golden, tolerance: float) -> float:
    """Hold a runtime's answers against the golden scores.

    Returns:
        The largest difference.

    Raises:
        ModelRefused: another shape, a number that is not finite, or a difference above the tolerance.
    """
    expected = np.array(golden.scores, dtype=np.float64)
    found = as_columns(scores, len(expected))
    if found.shape != expected.shape:
        raise refusal("scores", f"the model gives {found.shape[1]} values a record, expected are {expected.shape[1]}")
    if not np.isfinite(found).all():
        raise refusal("scores", "the model gives NaN or infinity on golden records")
    worst = float(difference(found, expected))
    if worst > tolerance:
        raise refusal("scores", f"golden scores differ by {worst:.3g}, allowed is {tolerance:.3g}")
    return worst


def difference(found: Scores, expected: Scores) -> float:
    """Largest difference: absolute up to 1 (probabilities), relative beyond (regression)."""
    if not np.isfinite(found).all():
        return float("inf")
    return float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max(initial=0.0))
