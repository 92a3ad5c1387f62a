"""What looking features up costs a record: `python benchmarks/lookups.py [REDIS_URL]`; one JSON object on stdout."""

import json
import os
import random
import resource
import sys
import time
from collections.abc import Sequence

from shared.adapters.redis_features import RedisAddress, RedisReader, RedisWriter
from shared.core.asof import HistoryLookups
from shared.core.metrics import NullMetrics
from shared.core.pipeline import LookupSpec
from shared.core.pipeline_base import Duration
from shared.core.ports import Lookups
from shared.core.records import FeatureUpdate
from shared.runtime.breaker import Breaker
from shared.runtime.cache import FeatureCache
from shared.runtime.clock import SystemClock

T0, HOUR, FIELDS, VERSIONS, REPEATS = 1_357_000_000_000, 3_600_000, 8, 24, 7
SPECS = {
    "g": LookupSpec(key="k", fields={f"f{i}": "number" for i in range(FIELDS)}, max_age=Duration(7_200)),
}


def history(entities: Sequence[str], rng: random.Random) -> list[FeatureUpdate]:
    """A day of hourly versions of each entity."""
    return [
        FeatureUpdate("g", entity, T0 + hour * HOUR, {f"f{i}": rng.random() for i in range(FIELDS)})
        for hour in range(VERSIONS)
        for entity in entities
    ]


def measure(lookups: Lookups, entities: Sequence[str], times: Sequence[int]) -> tuple[float, float]:
    """The median of wall and of processor microseconds a record."""
    walls, processor = [], []
    for _ in range(REPEATS):
        wall, used = time.perf_counter(), time.process_time()
        found = lookups.get_many({"g": entities}, times)
        walls.append(time.perf_counter() - wall)
        processor.append(time.process_time() - used)
        if any(found.causes["g"]):
            raise SystemExit("a look-up failed: the figures would mean nothing")
    middle = REPEATS // 2
    return sorted(walls)[middle] / len(times) * 1e6, sorted(processor)[middle] / len(times) * 1e6


def main(url: str) -> None:
    """Measure the cache with few and with many entities, fresh and remembered, and the join of training."""
    rng, clock = random.Random(7), SystemClock()  # noqa: S311 - no secret
    pipeline, rows = f"bench{os.getpid()}", []
    few, many = ["JFK", "LGA", "EWR"], [f"N{i}" for i in range(10_000)]
    updates = history([*few, *many], rng)
    writer, begin = RedisWriter(RedisAddress(url), pipeline, SPECS), time.perf_counter()
    for start in range(0, len(updates), 5_000):
        writer.write(updates[start : start + 5_000])
    rows.append({"name": "write", "n": len(updates), "records_per_s": len(updates) / (time.perf_counter() - begin)})
    breaker = Breaker(3, 1.0, clock, NullMetrics())
    for kind, age in (("round trip", 0.0), ("local", 1e9)):
        reader = RedisReader(RedisAddress(url))
        cache = FeatureCache(
            reader, SPECS, pipeline, clock, NullMetrics(),
            local_max_age=age, timeout=30.0, breaker=breaker, local_bytes=10**9,
        )  # fmt: skip
        for n in (1_000, 10_000):
            for name, column in (
                (f"{len(few)} entities", [rng.choice(few) for _ in range(n)]),
                ("all distinct", many[:n]),
            ):
                times = [T0 + (VERSIONS - 1) * HOUR + i * 200 for i in range(n)]
                cache.get_many({"g": column}, times)
                wall, cpu = measure(cache, column, times)
                rows.append({"name": f"cache, {kind}, {name}", "n": n, "us_per_record": wall, "cpu_us_per_record": cpu})
    times = sorted(T0 + rng.randrange(VERSIONS * HOUR) for _ in range(10_000))
    for name, column in ((f"{len(few)} entities", [rng.choice(few) for _ in times]), ("all distinct", many)):
        wall, cpu = measure(HistoryLookups(updates, SPECS), column, times)
        rows.append({"name": f"training, {name}", "n": len(times), "us_per_record": wall, "cpu_us_per_record": cpu})
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
    print(json.dumps({"rows": rows, "rss_mb": rss}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379/0")
