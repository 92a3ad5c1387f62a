"""A canary's step: each record as its own version alone would have scored it, in the order they came."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from services.scorer.speeds import Speeds
from shared.core import reasons
from shared.core.features import Floats
from shared.core.records import Observation, Position, Prediction, Rollout
from shared.core.rollout import in_canary, version_for
from shared.runtime.isolate import isolate
from shared.testing.clock import ManualClock
from shared.testing.log import MemoryMessage
from tests.support.bundles import START
from tests.support.spec import make_spec
from tests.support.steps import BREAKS_AT, NAN_AT, SHARE, A, B, by_topic, make_step, messages_of, part_of


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
    assert poison.detail.startswith("ZeroDivisionError in predict (steps.py:")


class Slow:
    """A model that takes a millisecond a call and so much a record, by the test's clock."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def predict(self, matrix: Floats) -> Any:
        """See `Runtime`."""
        self._clock.advance(0.001 + self._seconds * len(matrix))
        return np.zeros(len(matrix))


def scored(speeds: Speeds, clock: ManualClock, version: str, seconds: float, calls: int = 5) -> None:
    """Some calls of a thousand records."""
    for _ in range(calls):
        speeds.timed(version, Slow(clock, seconds), np.zeros((1_000, 1)))


def test_speeds_are_of_the_last_minute_and_by_version() -> None:
    """Time by records; a version that is gone, or an idle minute, leaves no figure behind."""
    clock = ManualClock()
    speeds = Speeds(clock)
    scored(speeds, clock, "1", 2e-6)
    assert speeds.told() == {"1": 3.0}
    clock.advance(31)
    scored(speeds, clock, "2", 10e-6)
    assert speeds.told() == {"1": 3.0, "2": 11.0}
    clock.advance(31)
    scored(speeds, clock, "2", 10e-6)
    assert speeds.told() == {"2": 11.0}
    clock.advance(61)
    assert speeds.told() == {}


def test_one_call_that_was_interrupted_says_nothing_of_a_model() -> None:
    """Of a few calls nothing is told, but of one that takes a second; of several the slowest is left out."""
    clock = ManualClock()
    speeds = Speeds(clock)
    scored(speeds, clock, "1", 20e-6, calls=1)
    scored(speeds, clock, "1", 2e-6, calls=3)
    scored(speeds, clock, "2", 1e-3, calls=1)
    assert speeds.told() == {"2": 1001.0}
    scored(speeds, clock, "1", 2e-6, calls=1)
    assert speeds.told() == {"1": 3.0, "2": 1001.0}


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
