"""What stands in a real Redis after updates, against the same history in memory."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import redis

from shared.adapters.redis_features import RedisAddress, RedisReader, RedisWriter
from shared.core.asof import HistoryLookups
from shared.core.metrics import NullMetrics
from shared.core.pipeline import LookupSpec
from shared.core.pipeline_base import Duration
from shared.core.records import FeatureUpdate
from shared.core.versions import MAX_VALUE, encode_version, entity_key
from shared.runtime.breaker import Breaker
from shared.runtime.cache import FeatureCache
from shared.testing.clock import ManualClock

T0 = 1_357_000_000_000


def lookup(keep_s: float = 1e9, most: int = 4_096) -> dict[str, LookupSpec]:
    """A group of one text field."""
    group = LookupSpec(key="k", fields={"x": "number"}, max_age=Duration(1e9), keep=Duration(keep_s), max_versions=most)
    return {"g": group}


def update(second: int, x: float, entity: str = "E") -> FeatureUpdate:
    """A version at T0 + seconds."""
    return FeatureUpdate("g", entity, T0 + second * 1_000, {"x": x})


def kept(history: list[FeatureUpdate], specs: dict[str, LookupSpec]) -> bytes:
    """What must stand in Redis after a history of one entity, said plainly."""
    spec = specs["g"]
    latest = {u.time: u for u in history}
    times = sorted(latest, reverse=True)
    floor = times[0] - spec.keep * 1_000
    within = [t for t in times if t > floor] + [t for t in times if t <= floor][:1]
    return b"".join(encode_version(latest[t], 1) for t in within[: spec.max_versions])


@pytest.mark.parametrize("bad", [b"", b"rubbish", b"rubbish\n", b"\x80\x04pickle\n\n", b"12 {}\n", b"{}\n" * 9])
def test_rubbish_heals(redis_url: str, unique: Callable[[str], str], bad: bytes) -> None:
    """B41: a value that is none of ours is replaced by the next update, not merged and not fatal."""
    name, specs = unique("p"), lookup()
    client = redis.Redis.from_url(redis_url)
    client.set(entity_key(name, "g", "E"), bad)
    assert RedisWriter(RedisAddress(redis_url), name, specs).write([update(1, 1.0)]) == ["newer"]
    assert encode_version(update(1, 1.0), 1) == client.get(entity_key(name, "g", "E"))


def test_wrong_kind_heals(redis_url: str, unique: Callable[[str], str]) -> None:
    """B41: a key that holds a list reads as missing and is replaced by the next update."""
    name, specs = unique("p"), lookup()
    redis.Redis.from_url(redis_url).lpush(entity_key(name, "g", "E"), "x")
    reader = RedisReader(RedisAddress(redis_url))
    assert reader.mget([entity_key(name, "g", "E")], 5.0) == [None]
    assert RedisWriter(RedisAddress(redis_url), name, specs).write([update(1, 1.0)]) == ["newer"]
    assert [encode_version(update(1, 1.0), 1)] == reader.mget([entity_key(name, "g", "E")], 5.0)


def test_no_key_outside_the_name_space(redis_url: str, unique: Callable[[str], str]) -> None:
    """B30: ids with wildcards, line ends, braces or another prefix touch no key outside the pipeline's group."""
    name, client = unique("p"), redis.Redis.from_url(redis_url)
    before = set(client.keys("*"))
    ids = ["*", "a\r\nSET evil 1\r\n", "{x}", "tailrace:{other}:g:a", "../a", "\x00", "é" * 300, "E"]
    updates = [update(1, float(i), entity) for i, entity in enumerate(ids)]
    assert ["newer"] * len(ids) == RedisWriter(RedisAddress(redis_url), name, lookup()).write(updates)
    made: set[Any] = set(client.keys("*")) - before
    assert {entity_key(name, "g", entity).encode() for entity in ids} == made
    assert all(key.startswith(f"tailrace:{{{name}}}:g:".encode()) for key in made)


def test_outcomes(redis_url: str, unique: Callable[[str], str]) -> None:
    """An older update is kept behind, a repeated one changes nothing, of equal times the later one counts."""
    name, specs = unique("p"), lookup()
    writer = RedisWriter(RedisAddress(redis_url), name, specs)
    assert writer.write([update(1, 1.0), update(5, 5.0)]) == ["newer", "newer"]
    assert writer.write([update(3, 3.0), update(5, 5.0)]) == ["older", "duplicate"]
    assert writer.write([update(5, 5.5), update(3, 3.5)]) == ["newer", "older"]
    assert writer.write([update(3, 3.5), update(3, 3.5)]) == ["duplicate", "duplicate"]
    value = RedisReader(RedisAddress(redis_url)).mget([entity_key(name, "g", "E")], 5.0)
    assert [kept([update(1, 1.0), update(3, 3.5), update(5, 5.5)], specs)] == value


def test_size_is_bounded(redis_url: str, unique: Callable[[str], str]) -> None:
    """Large versions drop the oldest rather than let a value grow past what readers take."""
    name = unique("p")
    specs = {"g": LookupSpec(key="k", fields={"x": "string"}, max_age=Duration(1), keep=Duration(1e9))}
    writer = RedisWriter(RedisAddress(redis_url), name, specs)
    for start in range(0, 300, 100):
        writer.write([FeatureUpdate("g", "E", T0 + i, {"x": f"{i:060000}"}) for i in range(start, start + 100)])
    (value,) = RedisReader(RedisAddress(redis_url)).mget([entity_key(name, "g", "E")], 5.0)
    assert value is not None
    assert MAX_VALUE - 70_000 < len(value) <= MAX_VALUE
    assert value.startswith(b"%d " % (T0 + 299))


@pytest.mark.parametrize("seed", range(12))
def test_merge_equals_a_plain_account(redis_url: str, unique: Callable[[str], str], seed: int) -> None:
    """Any order, repetition and cutting into writes leaves the versions that a plain account of the history keeps."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    name = unique("p")
    specs = lookup(keep_s=rng.choice([10, 100, 10**6]), most=10_000 if seed % 2 else rng.choice([1, 3, 50]))
    writer = RedisWriter(RedisAddress(redis_url), name, specs)
    reader = RedisReader(RedisAddress(redis_url))
    history = [update(rng.randrange(400), rng.random()) for _ in range(300)]
    history += [rng.choice(history) for _ in range(60)]
    done = 0
    while done < len(history):
        step = rng.choice([1, 1, 2, 5, 60])
        writer.write(history[done : done + step])
        done += step
        expected = kept(history[:done], specs)
        assert [expected] == reader.mget([entity_key(name, "g", "E")], 5.0), f"after {done}"


@pytest.mark.parametrize("seed", range(4))
def test_cache_equals_history(redis_url: str, unique: Callable[[str], str], seed: int) -> None:
    """Record by record the cache over Redis gives the values, ages and causes that training's join gives."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    name, specs, clock = unique("p"), lookup(), ManualClock()
    names = ["JFK", "LGA", "*", "é{x}", "y" * 300, *map(str, range(40))]
    updates = [update(rng.randrange(5_000), rng.uniform(-1e9, 1e9), rng.choice(names)) for _ in range(1_500)]
    updates += rng.choices(updates, k=200)
    writer = RedisWriter(RedisAddress(redis_url), name, specs)
    for start in range(0, len(updates), 97):
        writer.write(updates[start : start + 97])
    writer.write(updates[-500:])
    breaker = Breaker(3, 1.0, clock, NullMetrics())
    reader = RedisReader(RedisAddress(redis_url))
    cache = FeatureCache(
        reader, specs, name, clock, NullMetrics(), local_max_age=0.2, timeout=5.0, breaker=breaker, local_size=20
    )
    history = HistoryLookups(updates, specs)
    for _ in range(20):
        clock.advance(rng.choice([0.0, 0.1, 1.0]))
        n = rng.randrange(200)
        asked = {"g": [rng.choice([*names, "unknown", None, ""]) for _ in range(n)]}
        times = [T0 + rng.randrange(-100_000, 6_000_000) for _ in range(n)]
        assert history.get_many(asked, times) == cache.get_many(asked, times)
