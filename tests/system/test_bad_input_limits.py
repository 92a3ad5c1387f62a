"""Poison and its limits (B42), and letters that are replayed (B43), on a real broker and without any restart."""

from collections import Counter
from collections.abc import Callable

import pytest

from shared.adapters.redis_features import RedisAddress, RedisWriter
from shared.core.records import FeatureUpdate
from tests.support.bad_input import Sender
from tests.support.bundles import START
from tests.support.letters import Post
from tests.support.poisoned_scorer import POISON
from tests.support.spec import FIELDS
from tests.support.wait import until
from tests.support.world import World, record

pytestmark = pytest.mark.system
DAY = 86_400_000


def message(i: int, *, poison: bool = False) -> tuple[bytes, bytes]:
    """Key and value of the i-th record; the step breaks on a poisonous one."""
    key, value, _ = record(i, carrier=POISON.decode()) if poison else record(i)
    return key.encode(), value


def outcomes(w: World) -> dict[int, Counter[str]]:
    """Predictions and letters by partition of the record."""
    found: dict[int, Counter[str]] = {partition: Counter() for partition in range(w.spec.partitions)}
    for made in w.values("predictions"):
        found[made["at"][0]]["prediction"] += 1
    for letter in w.letters():
        found[int(letter["tailrace-source"].rpartition("[")[2].partition("]")[0])][letter["tailrace-reason"]] += 1
    return found


@pytest.mark.parametrize("name", ["B42 one poison record in each partition, 100 % poison, 1 % poison with a limit"])
def test_poison_is_isolated_and_too_much_of_it_stops_its_partition(world: Callable[..., World], name: str) -> None:
    """One each: all others are scored. All, or 1 % where less is allowed: that partition stops, the others go on."""
    del name
    w = world(delivery={"dead_letters": {"in_a_row": 50, "share": 0.005, "window": 1_000}}, privacy={})
    post = Post(w.spec, w.folder, w.kafka)
    for partition in range(4):
        post.send("records", [message(i, poison=i == 100) for i in range(201)], partition)
    w.start(1, "tests.support.poisoned_scorer")
    until(w.all_scored(4 * 201), "the good records around the poison", 60)
    assert outcomes(w) == {p: Counter(prediction=200, poison=1) for p in range(4)}
    pid = w.pid(0)

    post.send("records", [message(i, poison=True) for i in range(300)], 1)
    post.send("records", [message(i, poison=i % 100 == 0) for i in range(1_500)], 2)
    post.send("records", [message(i) for i in range(300)], 3)
    said: dict[str, str] = {}

    def stopped() -> bool:
        said.update(next((beat["stopped"] for beat in reversed(w.values("workers")) if beat.get("stopped")), {}))
        return said.keys() == {"1", "2"}

    until(stopped, "both partitions to stop", 60)
    until(lambda: outcomes(w)[3]["prediction"] == 500, "the healthy partition to go on", 30)
    assert said["1"].endswith("dead letters in a row (limit 50)")
    assert said["2"].endswith("dead letters in 1000 records (limit 0.5%)")
    found = outcomes(w)
    print(f"letters and predictions by partition: {found}; {w.restarts()} worker restarts")
    assert (found[0], found[3]) == (Counter(prediction=200, poison=1), Counter(prediction=500, poison=1))
    assert (found[1]["prediction"], found[1]["poison"] <= 50) == (200, True)
    assert found[2].total() < 1_000
    account = w.account()
    assert (account.doubled, account.stray) == (0, 0)
    assert account.lost == account.records - sum(made.total() for made in found.values())
    assert (w.restarts(), w.pid(0)) == (0, pid)


@pytest.mark.parametrize("name", ["B43 replay of old records, and of the same records twice"])
def test_a_replayed_letter_is_scored_once_as_of_its_event(
    world: Callable[..., World], redis_url: str, name: str
) -> None:
    """Features that come late: old records keep their ids and get what was in force then; again, nothing happens."""
    del name
    group = {"key": "depot", "fields": {"wind": "number"}, "max_age": "12h", "keep": "900d", "on_missing": "reject"}
    w = world(privacy={}, redis=redis_url, lookups={"weather": group})
    cache = RedisWriter(RedisAddress(redis_url), w.spec.name, w.spec.lookups)
    cache.write([FeatureUpdate("weather", "depot-0", START - 1, {"wind": 1.0})])
    w.start(1)
    old = START - 700 * DAY
    w.send("records", [record(i, key=0) for i in range(20)] + [record(100 + i, key=1, at=old) for i in range(30)])
    until(w.all_scored(50), "every record to have an outcome", 60)
    assert w.account().dead_letters == {"missing_lookup": 30}
    pid, post = w.pid(0), Post(w.spec, w.folder, w.kafka)
    cache.write(
        [FeatureUpdate("weather", "depot-1", at, {"wind": wind}) for at, wind in ((old - 5, 5.0), (START, 9.0))]
    )
    cache.close()

    assert post.json("replay", "--reason", "missing_lookup")["sent"] == 30
    until(w.all_scored(80), "the replayed records to be scored", 60)
    account = w.account()
    again = post.json("replay", "--reason", "missing_lookup")
    letters = [letter["letter"] for letter in post.json("show", "--reason", "missing_lookup", "--n", "30")]
    named = post.json("replay", *(word for one in letters[:3] for word in ("--position", one)), "--force")
    print(f"replayed 30, then {again['sent']}, then {named['sent']} by name; {w.restarts()} worker restarts")
    assert (again["sent"], again["skipped"]) == (0, {"already": 30})
    assert (named["sent"], named["skipped"]) == (0, {"already": 3})
    assert w.account() == account
    assert (account.predictions, account.lost, account.doubled) == (50, 0, 0), account
    ids = Counter(made["id"] for made in w.values("predictions"))
    assert ids == Counter(f"r{i}" for i in [*range(20), *range(100, 130)])
    replayed = [seen for seen in w.values("journal") if seen["prediction"]["event_time"] == old]
    assert [seen["lookups"] for seen in replayed] == [{"weather": {"wind": 5.0}}] * 30
    assert (w.restarts(), w.pid(0)) == (0, pid)


@pytest.mark.parametrize("name", ["B17 a pipeline whose own limit is above the client's"])
def test_records_as_large_as_the_pipeline_allows_are_scored(world: Callable[..., World], name: str) -> None:
    """With 2 MB allowed one of 2 MB is scored, and its observation holds it; one byte more is a reference."""
    del name
    limit = 2_000_000
    section = {"id": "id", "key": "depot", "event_time": "at", "fields": FIELDS, "max_bytes": limit}
    topics = {"records": {"max_message_bytes": limit + 10_000}}
    w = world(privacy={}, record=section, topics=topics)
    w.start(1)
    sender = Sender(w)
    key, value, _ = record(1)
    for i, size in enumerate((limit - 1, limit, limit + 1, len(value))):
        sender.send(f"{i}", key.encode(), value + b" " * (size - len(value)))
    until(w.all_scored(4), "every record to have an outcome", 60)
    account = w.account()
    assert (account.predictions, account.dead_letters, account.doubled) == (3, {"too_large": 1}, 0), account
    assert [letter["tailrace-body"] for letter in w.letters()] == ["reference"]
    assert len(w.values("journal")) == 3
    assert w.restarts() == 0
