"""Steps over two made-up models, records for them, and what a step made, taken apart."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from services.scorer.step import ScorerStep, Scoring
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Floats
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Part, Result
from shared.core.privacy import Redactor
from shared.core.records import BundleRef, Headers, Position
from shared.core.scoring import Version
from shared.core.semconv import NullTracer
from shared.testing.log import MemoryMessage
from shared.testing.metrics import RecordingMetrics
from tests.support.bundles import START
from tests.support.linear import NothingFound

A, B = BundleRef("1", "file:///a", "a" * 64), BundleRef("2", "file:///b", "b" * 64)
SHARE = 0.4
NAN_AT, BREAKS_AT = 77.0, 88.0


class Model:
    """The late share from the weight: of B another one. B has no answer to one weight, and breaks at another."""

    def __init__(self, version: str) -> None:
        self._version = version

    def predict(self, matrix: Floats) -> Any:
        """See `Runtime`."""
        weights = matrix[:, 0].astype(np.float64)
        if self._version == "2" and (weights == BREAKS_AT).any():
            raise ZeroDivisionError
        late = 0.5 + np.tanh(weights) / (2 if self._version == "1" else 4)
        if self._version == "2":
            late[weights == NAN_AT] = np.nan
        return np.stack([1 - late, late], axis=1)


def make_step(spec: PipelineSpec, epoch_of: dict[int, BundleRef] | None = None) -> ScorerStep:
    """A step whose epochs are these versions; without any, each is a canary of both."""
    codec = RecordCodec(spec)

    def scoring(epoch: int) -> Scoring:
        ref = (epoch_of or {}).get(epoch, A)
        columns = [Column("weight", "numeric"), Column("stops", "numeric")]
        version = Version(epoch, ref.version, ref.digest, spec.labels.classes, 0.5)
        return Scoring(version, FeatureBuilder(spec, codec, columns), Model(ref.version))

    def both(epoch: int) -> Scoring:
        return replace(
            scoring(epoch), challenger=replace(scoring(epoch), version=other(epoch), runtime=Model("2")), share=SHARE
        )

    def other(epoch: int) -> Version:
        return replace(scoring(epoch).version, version=B.version, digest=B.digest)

    redactor = Redactor(spec.privacy, spec.record, b"0123456789abcdef")
    metrics = RecordingMetrics()
    return ScorerStep(
        spec,
        codec,
        NothingFound(),
        both if epoch_of is None else scoring,
        redactor,
        ("predictions", "journal"),
        metrics,
        NullTracer(metrics),
    )


def messages_of(n: int, **odd: Any) -> list[MemoryMessage]:
    """Records of many entities in two partitions; `odd` has weights by the record's number."""
    made = []
    for i in range(n):
        key = f"depot-{i % 37}"
        weight = odd.get(f"at{i}", (i % 10) / 10)
        body = {"id": f"r{i}", "depot": key, "at": START + i, "weight": weight, "carrier": "A", "phone": "1"}
        headers: Headers = [("traceparent", b"00-%032d-%016d-01" % (i, i))]
        made.append(
            MemoryMessage(Position("records", i % 2, i), key.encode(), json.dumps(body).encode(), headers, START)
        )
    return made


def part_of(messages: Sequence[MemoryMessage], epoch: int) -> Part:
    """All of them under one epoch."""
    return Part(messages, [m.headers() for m in messages], epoch)


def by_topic(result: Result, topic: str, kind: type[Any]) -> list[tuple[Any, Any, Any, Any]]:
    """(value, key, headers, partition) of each message of a topic, in order."""
    return [
        (msgspec.json.decode(value or b"", type=kind), key, headers, partition)
        for block in result.blocks
        if block.topic == topic
        for value, key, headers, partition in zip(
            block.values, block.keys, block.headers or (), block.partitions or (), strict=True
        )
    ]
