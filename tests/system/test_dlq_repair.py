"""Dead letters of a real scorer: shown as they were sent, and scored once after a repair, with features as of then."""

import base64
import json
from collections import Counter
from collections.abc import Callable

import pytest

from shared.adapters.redis_features import RedisAddress, RedisWriter
from shared.core.records import FeatureUpdate
from tests.support.bundles import START
from tests.support.letters import Post
from tests.support.spec import FIELDS, make_tree
from tests.support.wait import until
from tests.support.world import World, record
from tests.system.bad_input_table import LETTERS

pytestmark = pytest.mark.system
HOUR = 3_600_000
N, DEAD = 200, 50


def post_of(w: World) -> Post:
    """The commands on a world's pipeline."""
    return Post(w.spec, w.folder, w.kafka)


def bound(w: World, maximum: float) -> None:
    """Rewrite the pipeline's file with this upper bound of the weight."""
    fields = {**FIELDS, "weight": {"type": "number", "maximum": maximum}}
    tree = make_tree() | {"name": w.spec.name, "privacy": {}}
    tree["record"] = {**tree["record"], "fields": fields}
    w.folder.joinpath("pipeline.yaml").write_text(json.dumps(tree))


def test_every_malformed_sample_is_counted_and_shown_as_it_was_sent(world: Callable[..., World]) -> None:
    """The counts are those of what was sent, the bytes are the same to the bit, each with its position (B1-B32)."""
    w = world(privacy={})
    w.start(1)
    w.send("records", [("depot-1", row.value, None) for row in LETTERS])
    until(w.all_scored(len(LETTERS)), "every record to have an outcome", 60)
    post, dead = post_of(w), w.account().dead_letters
    (found,) = post.json("list", "--topic", "records.dlq")
    assert dead == {group["reason"]: group["count"] for group in found["reasons"]}
    assert found["letters"] == len(LETTERS)
    shown = post.json("show", "--n", "100", *(word for reason in dead for word in ("--reason", reason)))
    bodies = [None if one["body"] is None else base64.b64decode(one["body"]) for one in shown]
    assert Counter(row.value for row in LETTERS) == Counter(bodies)
    at = {(m.partition(), m.offset()): m.value() for m in post.read("records")}
    for one, body in zip(shown, bodies, strict=True):
        partition, offset = one["source"].rpartition("[")[2].split("]@")
        assert at[int(partition), int(offset)] == body
    assert w.restarts() == 0


def test_after_a_repair_each_letter_is_scored_once_with_features_as_of_its_event(
    world: Callable[..., World], redis_url: str
) -> None:
    """A range too narrow is widened: n letters, n predictions with the same ids and the old features; again: none."""
    w = world(privacy={}, redis=redis_url)
    bound(w, 50.0)
    cache = RedisWriter(RedisAddress(redis_url), w.spec.name, w.spec.lookups)
    depots = [f"depot-{k}" for k in range(97)]
    cache.write([FeatureUpdate("weather", depot, START - 60_000, {"wind": 11.0}) for depot in depots])
    w.start(1)
    w.send("records", [record(i) if i % 4 else record(i, weight=51.0) for i in range(N)])
    until(w.all_scored(N), "every record to have an outcome", 60)
    post, before = post_of(w), {made["id"] for made in w.values("predictions")}
    assert w.account().dead_letters == {"out_of_range": DEAD}
    cache.write([FeatureUpdate("weather", depot, START + HOUR, {"wind": 99.0}) for depot in depots])
    cache.close()
    w.supervisor.stop()
    bound(w, 1_000.0)
    w.start_one(0)
    assert post.json("replay", "--reason", "out_of_range", "--dry-run")["sent"] == DEAD
    assert post.json("replay", "--reason", "out_of_range")["sent"] == DEAD
    until(w.all_scored(N + DEAD), "the replayed records to be scored", 60)
    account, made = w.account(), w.values("predictions")
    assert (account.predictions, account.doubled, account.lost) == (N, 0, 0), account
    assert Counter(f"r{i}" for i in range(N)) == Counter(one["id"] for one in made)
    late = [one for one in w.values("journal") if one["prediction"]["id"] not in before]
    assert len(late) == DEAD
    for one in late:
        event = one["prediction"]["event_time"]
        assert one["lookups"] == {"weather": {"wind": 11.0}}
        assert one["prediction"]["ages"] == {"weather": (event - START + 60_000) / 1_000}
    assert post.json("replay")["skipped"] == {"already": DEAD}
    assert w.account() == account
    (found,) = post.json("list", "--topic", "records.dlq")
    assert (found["letters"], found["replayed"]) == (DEAD, DEAD)


def test_what_is_not_mended_comes_back_until_it_came_back_too_often(world: Callable[..., World]) -> None:
    """Each return is a letter of its own that says which try it was; three tries are the limit, not a loop."""
    w = world(privacy={})
    w.start(1)
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    w.send("records", [("depot-1", b"{nope", [("traceparent", trace)]) for _ in range(5)])
    until(w.all_scored(5), "the letters", 60)
    post = post_of(w)
    for attempt in (2, 3):
        report = post.json("replay")
        assert (report["sent"], report["skipped"].get("already", 0)) == (5, 5 * (attempt - 2))
        until(w.all_scored(5 * attempt), "the records to come back", 60)
    assert post.json("replay")["skipped"] == {"already": 10, "attempts": 5}
    shown = post.json("show", "--reason", "not_json", "--n", "15")
    assert [1] * 5 + [2] * 5 + [3] * 5 == [one["attempt"] for one in shown]
    assert {trace.decode()} == {one["trace"]["traceparent"] for one in shown}
    letters = {one["letter"]: one for one in shown}
    assert [letters[one["origin"]]["attempt"] for one in shown[5:]] == [1] * 5 + [2] * 5
    assert w.account().doubled == 0


def test_personal_bodies_are_not_sent_and_that_is_said(world: Callable[..., World]) -> None:
    """With personal fields a letter is redacted or withheld: shown as such, counted, and never sent."""
    w = world()
    w.start(1)
    w.send("records", [record(1, phone="+49 30 1234567", weight="heavy"), ("depot-1", b"{+49 30 1234567", None)])
    until(w.all_scored(2), "the letters", 60)
    post = post_of(w)
    assert post.json("replay")["skipped"] == {"redacted": 1, "withheld": 1}
    text = post.dlq("show", "--reason", "wrong_type", "--reason", "not_json").stdout.decode()
    assert "1234567" not in text
    assert "none (withheld)" in text
    assert "personal fields were taken out" in text
    listed = post.dlq("list", "--topic", "records.dlq").stdout.decode()
    assert listed.count("1 without their original body") == 2
    assert "withheld for privacy" in post.dlq("replay").stdout.decode()
