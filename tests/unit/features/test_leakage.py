"""The matrix that training sees: no value newer than its record, and the same as scoring sees."""

import random
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.adapters.redis_features import RedisAddress, RedisReader, RedisWriter
from shared.core.asof import HistoryLookups
from shared.core.codec import RecordCodec
from shared.core.features import FeatureBuilder, learn_columns
from shared.core.metrics import NullMetrics
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Lookups
from shared.core.records import FeatureUpdate
from shared.runtime.breaker import Breaker
from shared.runtime.cache import FeatureCache
from shared.testing.clock import ManualClock
from tests.support.spec import make_spec

Floats = NDArray[np.float32]
T0, HOUR = 1_357_000_000_000, 3_600_000
DEPOTS = ("D1", "D2", "D3")


def spec_of(*, allow_newer: bool = False) -> PipelineSpec:
    """The small pipeline, with or without leave to look ahead."""
    group = {"key": "depot", "fields": {"wind": "number"}, "max_age": "12h", "keep": "30d", "allow_newer": allow_newer}
    return make_spec(lookups={"weather": group})


def records(rng: random.Random, count: int) -> list[bytes]:
    """Records in order of event time."""
    times = sorted(T0 + rng.randrange(20 * 24 * HOUR) for _ in range(count))
    return [
        msgspec.json.encode(
            {"id": f"r{i}", "depot": rng.choice(DEPOTS), "at": at, "weight": 1.5, "stops": 2, "carrier": "C"}
        )
        for i, at in enumerate(times)
    ]


def history(rng: random.Random) -> list[FeatureUpdate]:
    """Winds, out of order, with repetitions and gaps; none in the first day."""
    made = [
        FeatureUpdate("weather", rng.choice(DEPOTS), T0 + rng.randrange(24, 480) * HOUR + i, {"wind": rng.random()})
        for i in range(600)
    ]
    return made + rng.choices(made, k=60)


def matrix(spec: PipelineSpec, lookups: Lookups, values: Sequence[bytes]) -> Floats:
    """Decode, join and build, as training and scoring do."""
    codec = RecordCodec(spec)
    decoded = codec.decode(values)
    assert decoded.refused == []
    depot = codec.getter("depot")
    found = lookups.get_many({"weather": [depot(row) for row in decoded.rows]}, decoded.times)
    columns = learn_columns(spec, codec, decoded.rows, found)
    return FeatureBuilder(spec, codec, columns).matrix(decoded.rows, found).values


def mutated(updates: Sequence[FeatureUpdate], after: int) -> list[FeatureUpdate]:
    """The same with everything newer than `after` changed, and more of it."""
    changed = [u if u.time <= after else msgspec.structs.replace(u, values={"wind": -99.0}) for u in updates]
    return changed + [FeatureUpdate("weather", depot, after + 1, {"wind": -77.0}) for depot in DEPOTS]


@pytest.mark.parametrize("seed", range(3))
def test_the_future_does_not_change_the_matrix(seed: int) -> None:
    """Whatever becomes of later updates, the rows up to a moment are the same to the bit; the test would see a leak."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    spec, ahead = spec_of(), spec_of(allow_newer=True)
    values, updates = records(rng, 300), history(rng)
    codec = RecordCodec(spec)
    times = codec.decode(values).times
    whole = matrix(spec, HistoryLookups(updates, spec.lookups), values)
    for end in range(0, len(values), 23):
        other = HistoryLookups(mutated(updates, times[end]), spec.lookups)
        assert whole[: end + 1].tobytes() == matrix(spec, other, values)[: end + 1].tobytes()
    early = sum(at < T0 + 24 * HOUR for at in times)
    leaking = matrix(ahead, HistoryLookups(updates, ahead.lookups), values)
    leaked = matrix(ahead, HistoryLookups(mutated(updates, times[early - 1]), ahead.lookups), values)
    assert leaking[:early].tobytes() != leaked[:early].tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_training_sees_what_scoring_sees(redis_url: str, unique: Callable[[str], str], seed: int) -> None:
    """The matrix from Redis through the cache, batch by batch, is the matrix from history, to the bit."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    spec, name, clock = spec_of(), unique("p"), ManualClock()
    values, updates = records(rng, 300), history(rng)
    writer = RedisWriter(RedisAddress(redis_url), name, spec.lookups)
    for start in range(0, len(updates), 50):
        writer.write(updates[start : start + 50])
    cache = FeatureCache(
        RedisReader(RedisAddress(redis_url)), spec.lookups, name, clock, NullMetrics(),
        local_max_age=0.2, timeout=5.0, breaker=Breaker(3, 1.0, clock, NullMetrics()),
    )  # fmt: skip
    scored = []
    for start in range(0, len(values), 40):
        clock.advance(rng.choice([0.0, 0.1, 5.0]))
        scored.append(matrix(spec, cache, values[start : start + 40]))
    assert matrix(spec, HistoryLookups(updates, spec.lookups), values).tobytes() == np.vstack(scored).tobytes()
