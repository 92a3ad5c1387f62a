"""What a scorer gets from the feature cache, with a reader and a clock moved by hand."""

from collections.abc import Callable, Sequence

import pytest

from shared.core.errors import Unavailable
from shared.core.pipeline import LookupSpec
from shared.core.pipeline_base import Duration
from shared.core.records import FeatureUpdate
from shared.core.versions import encode_version, entity_key
from shared.runtime.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from shared.runtime.cache import CERTAIN_MAX_AGE, CHUNK, FeatureCache
from shared.testing.clock import ManualClock
from shared.testing.metrics import RecordingMetrics

T0 = 1_357_000_000_000
SPECS = {
    "g": LookupSpec(key="k", fields={"x": "number"}, max_age=Duration(100)),
    "h": LookupSpec(key="k", fields={"x": "number"}, max_age=Duration(100)),
}


class FakeReader:
    """Values in a dictionary; raises `error` while it is set."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.error: Exception | None = None
        self.asked: list[Sequence[str]] = []
        self.took: Callable[[], None] = lambda: None

    def put(self, second: int, x: float, entity: str = "E") -> None:
        """Add a version, newest first."""
        key = entity_key("p", "g", entity)
        line = encode_version(FeatureUpdate("g", entity, T0 + second * 1_000, {"x": x}), 1)
        self.values[key] = line + self.values.get(key, b"")

    def mget(self, keys: Sequence[str], timeout: float) -> list[bytes | None]:
        """As Redis does."""
        assert 0 < timeout <= 0.05
        self.asked.append(keys)
        self.took()
        if self.error is not None:
            raise self.error
        return [self.values.get(key) for key in keys]


class Rig:
    """A cache with all its neighbours."""

    def __init__(self, **limits: int) -> None:
        self.reader, self.clock, self.metrics = FakeReader(), ManualClock(), RecordingMetrics()
        self.breaker = Breaker(3, 1.0, self.clock, self.metrics)
        self.cache = FeatureCache(
            self.reader,
            SPECS,
            "p",
            self.clock,
            self.metrics,
            local_max_age=0.2,
            timeout=0.05,
            breaker=self.breaker,
            **limits,
        )

    def ask(self, second: float, entity: str | None = "E") -> tuple[object, str]:
        """Value of `x` and cause for one record at T0 + seconds."""
        found = self.cache.get_many({"g": [entity]}, [T0 + int(second * 1_000)])
        (row,) = found.values["g"]
        return (None if row is None else row["x"]), found.causes["g"][0]

    def counted(self, result: str) -> float:
        """Look-ups counted with a result."""
        return self.metrics.counted("tailrace_lookups_total", result)


@pytest.mark.parametrize(("error", "cause"), [(Unavailable("no"), "down"), (TimeoutError(), "timeout")])
def test_failures_are_causes(error: Exception, cause: str) -> None:
    """A reader that fails gives each record a cause, counts it, and opens the breaker after three batches."""
    rig = Rig()
    rig.reader.error = error
    assert [(None, cause)] * 3 == [rig.ask(i) for i in range(3)]
    assert rig.breaker.state == OPEN
    assert rig.ask(3) == (None, "down")
    assert len(rig.reader.asked) == 3
    assert rig.counted("down") + rig.counted("timeout") == 4.0


def test_recovers_by_itself() -> None:
    """After the pause one batch tries; a failure waits again, a success closes the breaker."""
    rig = Rig()
    rig.reader.put(0, 1.0)
    rig.reader.error = Unavailable("no")
    for _ in range(3):
        rig.ask(1)
    rig.clock.advance(1.0)
    assert rig.breaker.allows()
    assert rig.breaker.state == HALF_OPEN
    assert rig.ask(1) == (None, "down")
    assert rig.breaker.state == OPEN
    assert rig.ask(1) == (None, "down")
    rig.reader.error = None
    rig.clock.advance(1.0)
    assert rig.ask(1) == (1.0, "")
    assert rig.breaker.state == CLOSED
    assert rig.metrics.gauges == {("tailrace_breaker_state", ()): 0}


def test_outdated_entries_serve_while_down() -> None:
    """While Redis is away what was read before serves, as of the event, and its age alone decides and shows."""
    rig = Rig()
    rig.reader.put(10, 1.0)
    assert rig.ask(11) == (1.0, "")
    rig.reader.error = Unavailable("no")
    rig.clock.advance(3_600)
    assert rig.ask(50) == (1.0, "")
    assert rig.ask(150) == (1.0, "stale")
    assert rig.ask(9) == (None, "down")
    assert rig.ask(50, "other") == (None, "down")


def test_one_round_trip_a_batch() -> None:
    """All groups and entities of a batch are asked for at once, each once, and none for records without an entity."""
    rig = Rig()
    rig.reader.put(0, 1.0, "A")
    found = rig.cache.get_many({"g": ["A", "B", "A", None, ""], "h": ["A", None, None, None, None]}, [T0] * 5)
    assert [[entity_key("p", "g", "A"), entity_key("p", "g", "B"), entity_key("p", "h", "A")]] == rig.reader.asked
    assert found.causes["g"] == ("", "missing", "", "missing", "missing")
    assert found.ages["g"] == (0.0, None, 0.0, None, None)
    assert rig.counted("hit") == 2.0
    assert rig.counted("miss") == 8.0
    rig.cache.get_many({"g": [None, ""]}, [T0] * 2)
    assert len(rig.reader.asked) == 1


def test_local_entry_has_a_bounded_age() -> None:
    """F26: a value changed meanwhile is seen once the entry is older than local_max_age."""
    rig = Rig()
    rig.reader.put(0, 1.0)
    rig.ask(1)
    rig.reader.put(2, 2.0)
    rig.clock.advance(0.19)
    assert rig.ask(3) == (1.0, "")
    rig.clock.advance(0.02)
    assert rig.ask(3) == (2.0, "")
    assert (rig.counted("hit"), rig.counted("local_hit")) == (2.0, 1.0)


def test_certain_entries_need_no_round_trip() -> None:
    """An entry whose newest version is not older than the records answers on, but not for ever."""
    rig = Rig()
    rig.reader.put(0, 1.0)
    rig.reader.put(60, 2.0)
    rig.ask(5)
    rig.clock.advance(CERTAIN_MAX_AGE - 1)
    assert rig.ask(59) == (1.0, "")
    assert rig.ask(60) == (2.0, "")
    assert len(rig.reader.asked) == 1
    assert rig.ask(61) == (2.0, "")
    assert len(rig.reader.asked) == 2
    rig.clock.advance(CERTAIN_MAX_AGE + 1)
    rig.ask(5)
    assert len(rig.reader.asked) == 3


def test_absence_is_remembered_briefly() -> None:
    """F27: an entity that Redis does not know is asked for once in local_max_age, not once a batch."""
    rig = Rig()
    assert [rig.ask(i) for i in range(9)] == [(None, "missing")] * 9
    assert len(rig.reader.asked) == 1


def test_oversized_value_is_corrupt_and_not_kept() -> None:
    """B41: what the reader found too large is corrupt, and takes no room in the local cache."""
    rig = Rig()
    rig.reader.values[entity_key("p", "g", "E")] = b""
    assert rig.ask(1) == (None, "corrupt")
    assert rig.counted("corrupt") == 1.0
    assert rig.cache._bytes < 2_000


def test_local_cache_is_bounded() -> None:
    """The least recently used entries leave, by number and by bytes; a batch larger than both is still answered."""
    rig = Rig(local_size=3, local_bytes=10**6)
    for i in range(10):
        rig.reader.put(0, float(i), str(i))
    found = rig.cache.get_many({"g": [str(i) for i in range(10)]}, [T0] * 10)
    assert [float(i) for i in range(10)] == [row["x"] for row in found.values["g"] if row]
    assert list(rig.cache._local) == [("g", "7"), ("g", "8"), ("g", "9")]
    rig.ask(0, "7")
    rig.ask(0, "1")
    assert list(rig.cache._local) == [("g", "9"), ("g", "7"), ("g", "1")]
    small = Rig(local_bytes=10)
    small.reader.put(0, 1.0)
    assert small.ask(0) == (1.0, "")
    assert (len(small.cache._local), small.cache._bytes) == (0, 0)


def test_what_comes_in_time_is_used() -> None:
    """A batch that takes longer than its MGETs may gets what came in time; the rest is a timeout."""
    rig = Rig()
    names = [str(i) for i in range(3 * CHUNK)]
    for i, name in enumerate(names):
        rig.reader.put(0, float(i), name)
    rig.reader.took = lambda: rig.clock.advance(0.08)  # 50 ms are allowed for each
    for _ in range(4):
        rig.clock.advance(1.0)
        found = rig.cache.get_many({"g": names}, [T0 + 1] * len(names))
        assert list(found.causes["g"]) == [""] * 2 * CHUNK + ["timeout"] * CHUNK
        assert [float(i) for i in range(2 * CHUNK)] == [row["x"] for row in found.values["g"] if row]
    assert rig.breaker.state == CLOSED


def test_other_entitys_value_is_never_used() -> None:
    """B41: values that stand under a wrong key give wrong_entity, for every record."""
    rig = Rig()
    rig.reader.put(0, 1.0, "A")
    rig.reader.values[entity_key("p", "g", "B")] = rig.reader.values[entity_key("p", "g", "A")]
    rig.reader.values[entity_key("p", "h", "A")] = rig.reader.values[entity_key("p", "g", "A")]
    found = rig.cache.get_many({"g": ["A", "B"], "h": ["A", "B"]}, [T0, -1])
    assert found.causes["g"] == ("", "missing")
    assert found.causes["h"] == ("wrong_entity", "missing")
    assert rig.ask(1, "B") == (None, "wrong_entity")
