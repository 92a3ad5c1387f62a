"""Which version of an entity a record may use, and what is refused."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.asof import HistoryLookups, Picked, pick
from shared.core.errors import Invalid
from shared.core.pipeline import LookupSpec
from shared.core.pipeline_base import Duration
from shared.core.records import FeatureUpdate
from shared.core.versions import MAX_LINE, encode_version, entity_key, validate_update

HOUR = 3_600_000
T0 = 1_357_000_000_000
SPEC = LookupSpec(
    key="origin", fields={"temp": "number", "sky": "string", "rain": "boolean"}, max_age=Duration(2 * 3_600)
)
SPECS = {"weather": SPEC}


def update(hours: float, temp: float, entity: str = "JFK") -> FeatureUpdate:
    """A version at T0 + hours."""
    return FeatureUpdate(group="weather", entity=entity, time=T0 + int(hours * HOUR), values={"temp": temp})


def stored(*updates: FeatureUpdate, schema_version: int = 1) -> bytes:
    """A value as the cache holds it, newest first."""
    return b"".join(encode_version(u, schema_version) for u in sorted(updates, key=lambda u: -u.time))


def at(value: bytes | None, hours: float, spec: LookupSpec = SPEC, entity: str = "JFK") -> Picked:
    """Ask for the version at T0 + hours."""
    return pick(value, group="weather", entity=entity, at_ms=T0 + int(hours * HOUR), spec=spec)


def values(temp: float) -> dict[str, object]:
    """What `update(..., temp)` gives: every declared field, null where it had none."""
    return {"temp": temp, "sky": None, "rain": None}


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (None, "missing"),
        (b"", "corrupt"),
        (b"\x80\x04\x95pickled.\n", "corrupt"),
        (stored(update(0, 1.5))[:-4], "corrupt"),
        (stored(update(0, 1.5))[:-4] + b"\n", "corrupt"),
        (stored(update(0, 1.5, entity="LGA")), "wrong_entity"),
        (stored(update(0, 1.5), schema_version=2), "wrong_schema"),
        (stored(FeatureUpdate("weather", "JFK", T0, {"temp": "1.5"})), "corrupt"),
        (stored(FeatureUpdate("weather", "JFK", T0, {"temp": True})), "corrupt"),
        (stored(FeatureUpdate("weather", "JFK", T0, {"rain": 1})), "corrupt"),
        (stored(FeatureUpdate("weather", "JFK", T0, {"wind": 1.0})), "corrupt"),
        (b"%d {}\n" % T0, "corrupt"),
        (b"1 {}\n", "corrupt"),
        (stored(update(0, 1.5)).replace(b"1.5", b"NaN"), "corrupt"),
        (stored(update(0, 1.5)).replace(b"1.5", b"1e999"), "corrupt"),
        (stored(update(0, 1.5)).replace(b"1.5", b"[" * 100_000), "corrupt"),
    ],
)
def test_bad_values(value: bytes | None, cause: str) -> None:
    """B41: a value of another entity or schema, truncated, pickled or mistyped gives its cause and no values."""
    assert Picked(None, None, cause) == at(value, 0.5)


def test_as_of() -> None:
    """The newest version at or before the record is used, its age is in seconds of event time."""
    value = stored(update(0, 1.0), update(1, 2.0), update(3, 4.0))
    assert Picked(values(1.0), 1_800.0, "") == at(value, 0.5)
    assert Picked(values(2.0), 0.0, "") == at(value, 1)
    assert Picked(values(2.0), 3_600.0, "") == at(value, 2)
    assert Picked(values(4.0), 7_200.0, "") == at(value, 5)


def test_newer_is_not_used_unless_declared() -> None:
    """A record before all versions finds none; with allow_newer it gets the nearest, at a negative age."""
    value = stored(update(2, 2.0), update(3, 3.0))
    assert Picked(None, None, "missing") == at(value, 1)
    newer = LookupSpec(key="origin", fields=SPEC.fields, max_age=SPEC.max_age, allow_newer=True)
    assert Picked(values(2.0), -3_600.0, "") == at(value, 1, newer)


def test_stale() -> None:
    """Beyond max_age the values are used and named stale, or treated as missing, as declared."""
    value = stored(update(0, 1.0))
    assert Picked(values(1.0), 9_000.0, "stale") == at(value, 2.5)
    strict = LookupSpec(key="origin", fields=SPEC.fields, max_age=SPEC.max_age, on_stale="missing")
    assert Picked(None, None, "stale") == at(value, 2.5, strict)


def test_times_out_of_range_find_nothing_newer() -> None:
    """Negative times and times beyond 13 digits neither crash nor reach a version newer than themselves."""
    value = stored(update(0, 1.0))
    assert pick(value, group="weather", entity="JFK", at_ms=-5, spec=SPEC).cause == "missing"
    assert pick(value, group="weather", entity="JFK", at_ms=10**16, spec=SPEC).cause == "stale"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (FeatureUpdate("tides", "JFK", T0, {"temp": 1.0}), "unknown_group"),
        (FeatureUpdate("weather", "", T0, {"temp": 1.0}), "bad_id"),
        (FeatureUpdate("weather", "J\ud800", T0, {"temp": 1.0}), "wrong_type"),
        (FeatureUpdate("weather", "JFK", 0, {"temp": 1.0}), "bad_event_time"),
        (FeatureUpdate("weather", "JFK", -T0, {"temp": 1.0}), "bad_event_time"),
        (FeatureUpdate("weather", "JFK", T0 * 1_000, {"temp": 1.0}), "bad_event_time"),
        (FeatureUpdate("weather", "JFK", T0, {}), "empty"),
        (FeatureUpdate("weather", "JFK", T0, {"wind": 1.0}), "unknown_field"),
        (FeatureUpdate("weather", "JFK", T0, {"temp": "1"}), "wrong_type"),
        (FeatureUpdate("weather", "JFK", T0, {"temp": float("nan")}), "wrong_type"),
        (FeatureUpdate("weather", "JFK", T0, {"temp": 10**400}), "wrong_type"),
        (FeatureUpdate("weather", "JFK", T0, {"sky": "x" * MAX_LINE}), "too_large"),
        (FeatureUpdate("weather", "JFK", T0, {"temp": 1.0}, v=2), "unknown_schema"),
    ],
)
def test_bad_updates(bad: FeatureUpdate, reason: str) -> None:
    """B32, B11: an update that does not fit its group is refused with its reason, and counted in a history."""
    with pytest.raises(Invalid) as caught:
        validate_update(bad, SPECS)
    assert reason == caught.value.reason
    assert {reason: 1} == dict(HistoryLookups([bad], SPECS).rejected)


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_keys_stay_in_their_name_space(entity: str) -> None:
    """B30: whatever the entity id, its key is plain ASCII below its own prefix, without wildcard, brace or line end."""
    prefix = "tailrace:{flights}:weather:"
    key = entity_key("flights", "weather", entity)
    assert key.startswith(prefix)
    rest = key.removeprefix(prefix)
    assert len(rest) <= 128
    assert not set(rest) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-%~")


def test_keys_differ() -> None:
    """B30: ids that could be mistaken for one another, or for a digest, have keys of their own."""
    long = "x" * 500
    digest = entity_key("p", "g", long).removeprefix("tailrace:{p}:g:")
    ids = ["a", "A", "a ", "%61", "a\r\n", "*", "a:b", "{p}:g:a", "\ud800", long, long + "x", digest, "é", "e\u0301"]
    assert len(ids) == len({entity_key("p", "g", i) for i in ids})


def test_history_counts_the_later_of_equal_times() -> None:
    """Of two updates with equal time the later one of the log counts, and order else does not matter."""
    history = HistoryLookups([update(1, 5.0), update(0, 1.0), update(1, 6.0)], SPECS)
    found = history.get_many({"weather": ["JFK", "JFK", "LGA", None]}, [T0, T0 + HOUR, T0, T0])
    assert (values(1.0), values(6.0), None, None) == found.values["weather"]
    assert found.ages["weather"] == (0.0, 0.0, None, None)
    assert found.causes["weather"] == ("", "", "missing", "missing")


def test_empty_batch() -> None:
    """No records, no answers."""
    assert HistoryLookups([], SPECS).get_many({"weather": []}, []).values["weather"] == ()


@pytest.mark.parametrize("seed", range(5))
def test_no_leakage(seed: int) -> None:
    """Changing every update newer than a record leaves what the record gets untouched, to the last digit."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    updates = [update(rng.uniform(0, 100), rng.random(), rng.choice("AB")) for _ in range(200)]
    updates += rng.sample(updates, 20)
    for _ in range(50):
        now, entity = T0 + int(rng.uniform(0, 100) * HOUR), rng.choice("AB")
        future = [u if u.time <= now else FeatureUpdate(u.group, u.entity, u.time, {"temp": -9.0}) for u in updates]
        future += [update((now - T0) / HOUR + 0.001, -8.0, entity)]
        asked = ({"weather": [entity]}, [now])
        assert HistoryLookups(updates, SPECS).get_many(*asked) == HistoryLookups(future, SPECS).get_many(*asked)


@given(st.lists(st.tuples(st.integers(1, 60), st.floats(-9, 9)), max_size=30), st.lists(st.integers(-5, 70)))
def test_pick_equals_a_plain_search(history: list[tuple[int, float]], asks: list[int]) -> None:
    """Asked in any order, the bisection and its memory give what a search through all updates gives."""
    latest = {T0 + t: temp for t, temp in history}
    lookups = HistoryLookups([FeatureUpdate("weather", "JFK", T0 + t, {"temp": v}) for t, v in history], SPECS)
    expected = tuple(max(((t, v) for t, v in latest.items() if t <= T0 + a), default=None) for a in asks)
    found = lookups.get_many({"weather": ["JFK"] * len(asks)}, [T0 + a for a in asks])
    assert tuple(e and values(e[1]) for e in expected) == found.values["weather"]
    assert tuple(e and (T0 + a - e[0]) / 1_000 for e, a in zip(expected, asks, strict=True)) == found.ages["weather"]
