"""A canary's step: each record as its own version alone would have scored it, in the order they came."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from services.scorer.speeds import Speeds
from services.scorer.step import ScorerStep, Scoring
from shared.core import reasons
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, Floats
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Part, Result
from shared.core.privacy import Redactor
from shared.core.records import BundleRef, Headers, Observation, Position, Prediction, Rollout
from shared.core.rollout import in_canary, version_for
from shared.core.scoring import Version
from shared.core.semconv import NullTracer
from shared.runtime.isolate import isolate
from shared.testing.clock import ManualClock
from shared.testing.log import MemoryMessage
from shared.testing.metrics import RecordingMetrics
from tests.support.bundles import START
from tests.support.linear import NothingFound
from tests.support.spec import make_spec

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


@pytest.mark.parametrize("sample", [1.0, 0.5])
@pytest.mark.parametrize("hashed", [[], ["depot"]])
def test_each_record_is_scored_as_by_its_version_alone(sample: float, hashed: list[str]) -> None:
    """Predictions and observations of a canary are, record by record, those of the version of the record's key."""
    alone_in: dict[str, Any] = {"lookups": {}, "features": [{"name": "weight"}, {"name": "stops"}]} if hashed else {}
    spec = make_spec(monitoring={"sample": sample}, privacy={"drop": ["phone"], "hash": hashed}, **alone_in)
    messages = messages_of(5_000)
    got = make_step(spec)(part_of(messages, 7))
    alone = {ref: make_step(spec, {7: ref})(part_of(messages, 7)) for ref in (A, B)}
    rollout = Rollout(spec.name, 7, A, "active", challenger=B, mode="canary", share=SHARE)
    expected = []
    for a, b in zip(*(by_topic(alone[ref], "predictions", Prediction) for ref in (A, B)), strict=True):
        theirs = version_for(rollout, a[0].key) == B
        flags = tuple(sorted({*b[0].flags, "canary"}))
        expected.append((msgspec.structs.replace(b[0], flags=flags), *b[1:]) if theirs else a)
    assert by_topic(got, "predictions", Prediction) == expected
    seen = by_topic(got, "journal", Observation)
    made = {row[0].at: row for row in expected}
    assert [row[0].prediction for row in seen] == [
        p[0] for p in expected if p[0].at in {s[0].prediction.at for s in seen}
    ]
    assert [row[1:] for row in seen] == [made[row[0].prediction.at][1:] for row in seen]
    assert all(row[0].digest == (B if row[0].prediction.version == "2" else A).digest for row in seen)
    assert len(seen) == len(by_topic(alone[A], "journal", Observation))
    assert {row[0].version for row in expected} == {"1", "2"}


def test_the_order_of_each_partition_is_that_of_its_records() -> None:
    """Two versions' outputs are woven together: no key, and no partition, gets its predictions in another order."""
    got = by_topic(make_step(make_spec())(part_of(messages_of(3_000), 7)), "predictions", Prediction)
    for partition in (0, 1):
        offsets = [row[0].at[1] for row in got if row[3] == partition]
        assert offsets == sorted(offsets)
        assert len(offsets) == 1_500


def test_a_version_answers_for_its_own_rejects() -> None:
    """No number, or a break: a dead letter each, counted by the version whose key it is; the others are scored."""
    spec = make_spec()
    theirs = [i for i in range(300) if in_canary(f"depot-{i % 37}", SHARE)][:4]
    mine = [i for i in range(300) if not in_canary(f"depot-{i % 37}", SHARE)][:1]
    odd = {f"at{theirs[0]}": NAN_AT, f"at{theirs[1]}": BREAKS_AT, f"at{theirs[2]}": 1e300, f"at{mine[0]}": NAN_AT}
    messages = messages_of(300, **odd)
    messages[299] = MemoryMessage(Position("records", 1, 299), b"x", b"{", None, START)
    result = isolate(make_step(spec), part_of(messages, 7))
    fates = {r.message.offset(): r.reason for r in result.rejects}
    assert fates == {
        theirs[0]: reasons.NOT_A_NUMBER, theirs[1]: reasons.POISON, theirs[2]: reasons.OUT_OF_RANGE,
        299: reasons.NOT_JSON,
    }  # fmt: skip
    counted: Counter[tuple[str, str]] = Counter()
    for count in result.counts:
        counted[count.metric, count.labels.get("version", "")] += count.value
    assert counted["tailrace_version_rejects_total", "2"] == 3
    assert counted["tailrace_version_rejects_total", "1"] == 0
    canaries = sum(in_canary(f"depot-{i % 37}", SHARE) for i in range(299))
    assert counted["tailrace_predictions_total", "2"] == canaries - 3
    assert counted["tailrace_predictions_total", "1"] == 299 - canaries
    poison = next(r for r in result.rejects if r.reason == reasons.POISON)
    assert poison.detail.startswith("ZeroDivisionError in predict (test_canary_step.py:")


class Slow:
    """A model that takes a millisecond a call and so much a record, by the test's clock."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def predict(self, matrix: Floats) -> Any:
        """See `Runtime`."""
        self._clock.advance(0.001 + self._seconds * len(matrix))
        return np.zeros(len(matrix))


def test_speeds_are_of_the_last_minute_and_by_version() -> None:
    """Time by records; a version that is gone, or an idle minute, leaves no figure behind."""
    clock = ManualClock()
    speeds = Speeds(clock)
    speeds.timed("1", Slow(clock, 2e-6), np.zeros((1_000, 1)))
    assert speeds.told() == {"1": 3.0}
    clock.advance(31)
    speeds.timed("2", Slow(clock, 10e-6), np.zeros((1_000, 1)))
    assert speeds.told() == {"1": 3.0, "2": 11.0}
    clock.advance(31)
    speeds.timed("2", Slow(clock, 10e-6), np.zeros((1_000, 1)))
    assert speeds.told() == {"2": 11.0}
    clock.advance(61)
    assert speeds.told() == {}


def test_a_small_share_does_not_make_a_challenger_look_slow() -> None:
    """What a call costs by itself counts for a hundred records at least; what each record costs, shows."""
    clock = ManualClock()
    speeds = Speeds(clock)
    for _ in range(50):
        speeds.timed("1", Slow(clock, 1e-6), np.zeros((95, 1)))
        speeds.timed("2", Slow(clock, 1e-6), np.zeros((5, 1)))
        speeds.timed("3", Slow(clock, 0.01), np.zeros((5, 1)))
    told = speeds.told()
    assert told["2"] < 1.5 * told["1"]
    assert told["3"] > 20 * told["1"]
