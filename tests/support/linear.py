"""A scorer's step without a broker: the real codec, split, matrix and step over a model of one line."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.scorer.step import ScorerStep, Scoring
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Floats
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Found, Result
from shared.core.privacy import Redactor
from shared.core.records import BundleRef, Note, Position, Rollout
from shared.core.rollout import RolloutTable, split
from shared.core.scoring import Version
from shared.core.semconv import NullTracer
from shared.testing.log import MemoryMessage
from shared.testing.metrics import RecordingMetrics
from tailrace.proof.mutants import Mutant

NOTE = Note(epoch=1, acting=1)


class NothingFound:
    """A feature cache that is empty."""

    def get_many(self, entities: Mapping[str, Sequence[str | None]], times: Sequence[int]) -> Found:
        """Nothing, and why."""
        n = len(times)
        return Found(
            {group: [None] * n for group in entities},
            {group: [None] * n for group in entities},
            {group: ["missing"] * n for group in entities},
        )


class Linear:
    """Shares by class from the sum of what is not missing, or that sum."""

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def predict(self, matrix: Floats) -> Any:
        """See `Runtime`."""
        sums = np.tanh(np.nan_to_num(matrix.astype(np.float64)).sum(axis=1) / 1e40)
        if not self._classes:
            return sums
        shares = np.full((len(matrix), self._classes), 1.0 / self._classes)
        shares[:, 0] += sums / self._classes / 2
        return shares


class Bench:
    """Scores batches of mutants.

    Args:
        spec: the pipeline.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        codec = RecordCodec(spec)
        columns = [Column(f.name, f.kind, ("a", "b") if f.kind == "category" else ()) for f in spec.features]
        version = Version(1, "1", "d" * 64, spec.labels.classes, 0.5)
        scoring = Scoring(version, FeatureBuilder(spec, codec, columns), Linear(len(spec.labels.classes)))
        metrics = RecordingMetrics()
        self._topics = (f"{spec.name}.predictions", f"{spec.name}.journal")
        self._step = ScorerStep(
            spec, codec, NothingFound(), lambda _: scoring, Redactor(spec.privacy, spec.record), self._topics, metrics,
            NullTracer(metrics),
        )  # fmt: skip
        ref = BundleRef("1", "file:///1", "d" * 64)
        self._table = RolloutTable([Rollout(spec.name, 1, ref, "active")])

    def score(self, mutants: Sequence[Mutant], logged: int) -> tuple[Result, list[MemoryMessage]]:
        """One batch through split and step, as the loop would take it, but for what an exception would mean there."""
        messages = [
            MemoryMessage(Position("records", 0, i), m.key, m.value, m.headers, logged) for i, m in enumerate(mutants)
        ]
        cut = split(messages, {0: NOTE}, self._table)
        results = [self._step(part) for part in cut.parts]
        whole = Result(
            [block for result in results for block in result.blocks],
            [*cut.forged, *(reject for result in results for reject in result.rejects)],
        )
        return whole, messages

    def predictions(self, result: Result) -> list[bytes]:
        """The values of the predictions."""
        return [v for b in result.blocks if b.topic == self._topics[0] for v in b.values if v is not None]

    def observations(self, result: Result) -> list[bytes]:
        """The values of the observations."""
        return [v for b in result.blocks if b.topic == self._topics[1] for v in b.values if v is not None]
