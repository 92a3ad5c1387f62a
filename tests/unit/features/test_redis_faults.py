"""Redis killed, hung, slow, full and cut, on a real server: degraded at most, never late, never another's values."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import redis

from shared.adapters.redis_features import RedisAddress, RedisReader, RedisWriter
from shared.core.errors import Unavailable, UserError
from shared.core.metrics import NullMetrics
from shared.core.pipeline import LookupSpec
from shared.core.pipeline_base import Duration
from shared.core.records import FeatureUpdate
from shared.core.versions import MAX_VALUE, entity_key
from shared.runtime.breaker import OPEN, Breaker
from shared.runtime.cache import FeatureCache
from shared.runtime.settings import read_secret
from shared.testing.clock import ManualClock
from tests.support.certificate import self_signed
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.wait import until

T0 = 1_357_000_000_000
SPECS = {"g": LookupSpec(key="k", fields={"x": "number", "pad": "string"}, max_age=Duration(3_600))}
SLACK = 0.1
"""Seconds that a busy machine may add to a deadline."""


def updates(entities: int, pad: str = "") -> list[FeatureUpdate]:
    """One version each for entities 0, 1 ...; `x` is the entity's number."""
    return [FeatureUpdate("g", str(i), T0, {"x": float(i), "pad": pad}) for i in range(entities)]


class Rig:
    """Writer, reader and cache of a pipeline on one address. Its clock stands still: only a test moves it."""

    def __init__(self, url: str, timeout: float = 0.05, failures: int = 3) -> None:
        self.clock = ManualClock()
        self.writer = RedisWriter(RedisAddress(url), "p", SPECS)
        self.reader = RedisReader(RedisAddress(url))
        self.breaker = Breaker(failures, 1.0, self.clock, NullMetrics())
        self.cache = FeatureCache(
            self.reader,
            SPECS,
            "p",
            self.clock,
            NullMetrics(),
            local_max_age=0.0,
            timeout=timeout,
            breaker=self.breaker,
            local_size=0,
        )

    def ask(self, *entities: int) -> list[str]:
        """The causes for a batch of entities; what is found is checked to be theirs."""
        found = self.cache.get_many({"g": [str(e) for e in entities]}, [T0] * len(entities))
        for entity, row in zip(entities, found.values["g"], strict=True):
            assert row is None or row["x"] == entity
        return list(found.causes["g"])

    def ask_later(self, *entities: int) -> list[str]:
        """The same, after the breaker's pause."""
        self.clock.advance(1.0)
        return self.ask(*entities)


def test_killed_and_restarted_empty() -> None:
    """F21: while Redis is gone records are degraded at once; restarted empty, both sides go on by themselves."""
    with RedisServer() as server:
        rig = Rig(server.url, timeout=2.0)
        assert rig.writer.write(updates(3)) == ["newer"] * 3
        assert rig.ask(0, 1, 2, 3) == ["", "", "", "missing"]
        server.kill()
        begin = time.monotonic()
        assert rig.ask(0, 1) == ["down", "down"]
        with pytest.raises(Unavailable):
            rig.writer.write(updates(3))
        assert time.monotonic() - begin < SLACK
        server.start()
        assert rig.ask(0) == ["missing"]
        assert rig.writer.write(updates(3)) == ["newer"] * 3
        assert rig.ask(0, 2) == ["", ""]


def test_a_closed_connection_is_no_fault() -> None:
    """F21: a connection that the server closed between two batches costs neither a record nor a breaker's count."""
    with RedisServer() as server, Proxy(server.port) as proxy:
        rig = Rig(proxy.url, timeout=2.0)
        rig.writer.write(updates(1))
        assert rig.ask(0) == [""]
        proxy.cut()
        assert rig.ask(0) == [""]


def test_hung() -> None:
    """F22: a hung Redis costs a batch its timeout, after n batches nothing; it serves again when it wakes."""
    with RedisServer() as server:
        rig = Rig(server.url)
        rig.writer.write(updates(2))
        assert rig.ask(0, 1) == ["", ""]
        server.signal(signal.SIGSTOP)
        for _ in range(3):
            begin = time.monotonic()
            assert rig.ask(0, 1) == ["timeout", "timeout"]
            assert 0.05 <= time.monotonic() - begin < 0.05 + SLACK
        assert rig.breaker.state == OPEN
        begin = time.monotonic()
        assert [rig.ask(0) for _ in range(1_000)] == [["down"]] * 1_000
        assert time.monotonic() - begin < 0.5
        server.signal(signal.SIGCONT)
        rig.clock.advance(1.0)
        until(lambda: rig.ask_later(0) == [""], "the first answer after the hang")
        assert rig.ask(1, 0) == ["", ""]


def test_slow() -> None:
    """F23: slower than the deadline is a timeout, slower than usual is not; fast again, it is used again."""
    with RedisServer() as server, Proxy(server.port) as proxy:
        rig = Rig(proxy.url, timeout=0.2, failures=1_000)
        rig.writer.write(updates(1))
        proxy.delay = lambda: 0.02
        assert rig.ask(0) == [""]
        proxy.delay = lambda: 5.0
        begin = time.monotonic()
        assert rig.ask(0) == ["timeout"]
        assert time.monotonic() - begin < 0.2 + SLACK
        proxy.delay = lambda: 0.0
        assert rig.ask(0) == [""]


def test_trickling_reply() -> None:
    """F23: a reply that arrives piece by piece does not stretch the deadline, which is of the whole, not of a piece."""
    with RedisServer() as server, Proxy(server.port) as proxy:
        rig = Rig(proxy.url, timeout=0.25)
        rig.writer.write(updates(40, "x" * 60_000))
        proxy.delay = lambda: 0.04
        begin = time.monotonic()
        assert rig.ask(*range(40)) == ["timeout"] * 40
        assert time.monotonic() - begin < 0.25 + SLACK


def test_full() -> None:
    """F24: a full Redis refuses writes as unavailable, and goes on to serve what it has; with room it takes more."""
    with RedisServer(maxmemory="8mb", maxmemory_policy="noeviction") as server:
        rig = Rig(server.url, timeout=2.0)
        rig.writer.write(updates(3))
        with pytest.raises(Unavailable, match=r"(?i)memory"):
            rig.writer.write(updates(400, "x" * 60_000))
        assert [rig.ask(i)[0] for i in range(3)] == ["", "", ""]
        redis.Redis.from_url(server.url).config_set("maxmemory", "256mb")
        assert len(rig.writer.write(updates(400, "x" * 60_000))) == 400
        assert rig.ask(0, 399) == ["", ""]


def test_no_crossed_replies() -> None:
    """F25: with time-outs in the middle of replies, no call ever gets the reply to another one's question."""
    calls, seed = int(os.environ.get("TAILRACE_TEST_CALLS", "1000")), 25
    print(f"seed {seed}")
    rng = random.Random(seed)
    with RedisServer() as server, Proxy(server.port) as proxy:
        rig = Rig(proxy.url)
        rig.writer.write(updates(50))
        proxy.halves, proxy.delay = True, lambda: rng.choice((0.0, 0.0, 0.004))
        good, late = 0, 0
        for _ in range(calls):
            entity = rng.randrange(50)
            try:
                (value,) = rig.reader.mget([entity_key("p", "g", str(entity))], 0.003)
            except TimeoutError:
                late += 1
                continue
            assert value is not None
            assert f'"e":"{entity}"'.encode() in value
            good += 1
    assert calls == good + late
    assert min(good, late) > calls / 100, f"{good} good, {late} late: the proxy did not meet the deadline"


def test_oversized_value() -> None:
    """B41: a value of 10 MB under an entity's key is corrupt, and its neighbours are not."""
    with RedisServer() as server:
        rig = Rig(server.url, timeout=5.0)
        rig.writer.write(updates(2))
        redis.Redis.from_url(server.url).set(entity_key("p", "g", "0"), b"1357000000000 {}\n" * (MAX_VALUE // 16))
        assert rig.ask(0, 1) == ["corrupt", ""]


def test_wrong_login(tmp_path: Path) -> None:
    """A missing or wrong password is the user's to mend and named so, without the password; a right one works."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct\n")
    wrong.write_text("battery\n")
    with RedisServer() as server:
        redis.Redis.from_url(server.url).config_set("requirepass", "correct")
        good, bad = (
            RedisAddress(server.url, password=read_secret(str(path), setting="redis.password_file"))
            for path in (right, wrong)
        )
        for address in (bad, RedisAddress(server.url)):
            with pytest.raises(UserError, match=r"redis\.password_file") as caught:
                RedisReader(address).check(2.0)
            assert "battery" not in str(caught.value)
        RedisReader(good).check(2.0)
        assert RedisWriter(good, "p", SPECS).write(updates(1)) == ["newer"]


def test_tls(tmp_path: Path) -> None:
    """Over TLS both sides work with the authority that is named, and refuse a server that none vouches for."""
    context, authority = self_signed(tmp_path)
    with RedisServer() as server, Proxy(server.port, context) as proxy:
        trusted = RedisAddress(proxy.url, ca_file=str(authority))
        assert RedisWriter(trusted, "p", SPECS).write(updates(1)) == ["newer"]
        (value,) = RedisReader(trusted).mget([entity_key("p", "g", "0")], 5.0)
        assert value is not None
        with pytest.raises(UserError, match=r"redis\.ca_file"):
            RedisReader(RedisAddress(proxy.url)).check(5.0)


def test_bad_url() -> None:
    """A URL of another kind is refused with the setting's name."""
    with pytest.raises(UserError, match=r"redis\.url"):
        RedisReader(RedisAddress("http://localhost:6379"))
