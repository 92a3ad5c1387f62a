"""The fold over a log in memory: crashes, rebalances and repeats end in the definition's values, in bounded memory."""

from collections import defaultdict
from random import Random
from typing import Any

import msgspec
import pytest

from shared.core.aggregates import Event, history, plans_of
from shared.core.errors import Abortable, Fatal, TailraceError, Unavailable
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import decode
from shared.core.records import EntityEvent
from shared.testing.faults import Crash, crash_at
from tests.support.folds import PARTITIONS, Fold, FoldWorld
from tests.support.loops import EXACTLY, MARKS
from tests.support.spec import make_tree

T0 = 1_767_225_600_000
SCHEDULES = 80


def make(late: str = "5m", every: str = "1ms") -> PipelineSpec:
    """Two groups: one of a short span, one that remembers longer."""
    tree = make_tree()
    tree["lookups"]["past"] = {
        "key": "depot",
        "aggregates": {
            "n": {"take": "count", "over": "40s"},
            "weight": {"take": "mean", "of": "weight", "over": "1m"},
            "carrier": {"take": "last", "of": "carrier", "over": "1m"},
        },
        "late": late,
        "every": every,
        "max_age": "1d",
    }
    tree["lookups"]["flow"] = {
        "key": "carrier",
        "aggregates": {"n": {"take": "count", "over": "30s"}, "idle": {"take": "time_since", "over": "30s"}},
        "late": late,
        "every": "10s",
        "max_age": "1d",
    }
    return decode(tree, "parcels")


def event(i: int, time: int, group: str = "past", entity: str = "", **values: Any) -> EntityEvent:
    """The event of record i."""
    given = values or ({"weight": i / 7, "carrier": "ABC"[i % 3]} if group == "past" else {})
    return EntityEvent(group, entity or f"D{i % 5}", time, f"r{i}", given)


def stream(random: Random, n: int, step: int = 2_000, jitter: int = 60_000) -> list[EntityEvent]:
    """Events of n records in the order of an uneven transport, a tenth of them twice."""
    made = []
    for i in range(n):
        due = T0 + i * step
        for group in ("past", "flow"):
            one = event(i, due, group)
            made += [(due + random.randrange(jitter), one) for _ in range(1 + (random.random() < 0.1))]
    made.sort(key=lambda pair: pair[0])
    return [one for _, one in made]


def defined(spec: PipelineSpec, events: list[EntityEvent]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Every version by definition, as training computes them."""
    wanted: dict[tuple[str, str, int], dict[str, Any]] = {}
    for plan in plans_of(spec):
        distinct = {(e.entity, e.time, e.id): e for e in events if e.group == plan.group}
        known = [Event(e.entity, e.time, e.id, tuple(map(e.values.get, plan.fields))) for e in distinct.values()]
        wanted |= {(u.group, u.entity, u.time): u.values for u in history(plan, known)}
    return wanted


def ended(world: FoldWorld) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Every version as the topic leaves it: of one stamp the last counts."""
    return {(u.group, u.entity, u.time): u.values for u in world.updates()}


def test_a_wrong_event_is_a_dead_letter_and_the_others_count() -> None:
    """Rubbish, a foreign key, a value of another type, a time that is none: one letter each, and no version."""
    world, good = FoldWorld(make()), event(1, T0)
    bad: list[tuple[bytes, bytes]] = [
        (b"past:D1", b"{"),
        (b"past:D2", msgspec.json.encode(good)),
        (b"past:D1", msgspec.json.encode(event(2, T0, entity="D1", weight="heavy"))),
        (b"past:D1", msgspec.json.encode(event(2, T0, entity="D1", carrier=3))),
        (b"past:D1", msgspec.json.encode(event(2, T0 // 1_000, entity="D1"))),
        (b"past:D1", msgspec.json.encode(msgspec.structs.replace(good, v=2))),
        (b"past:D1", b'{"group":"past","entity":"D1","time":1.5,"id":"r"}'),
    ]
    for key, value in bad:
        world.log.append("entities", 0, key, value)
    world.send(good)
    fold = world.fold()
    world.drain(fold)
    reasons = [dict(m.headers() or ())["tailrace-reason"] for m in world.log.read("dlq")]
    assert [b"not_json", b"key_mismatch", b"wrong_type", b"wrong_type", b"bad_event_time", b"unknown_schema"] == (
        reasons[:6]
    )
    assert [b"wrong_type"] == reasons[6:]
    assert defined(world.spec, [good]) == ended(world)


def test_a_group_that_the_pipeline_has_no_longer_is_nobodys_mistake() -> None:
    """Events of a group that was taken out of the file are counted and passed over: no letters."""
    world = FoldWorld(make())
    world.send(event(1, T0, "gone"))
    world.send(event(1, T0))
    fold = world.fold()
    world.drain(fold)
    assert (1, []) == (len(world.updates()), list(world.log.read("dlq")))
    assert 1 == fold.metrics.counted("tailrace_aggregate_events_total", "unknown")


def test_missing_values_and_an_id_that_comes_twice() -> None:
    """An event without the field counts in `count` alone; one that comes again changes nothing."""
    world = FoldWorld(make())
    for one in (event(1, T0), EntityEvent("past", "D1", T0 + 5, "r2"), event(1, T0)):
        world.send(one)
    fold = world.fold()
    world.drain(fold)
    assert {"n": 2, "weight": 1 / 7, "carrier": "B"} == ended(world)["past", "D1", T0 + 6]
    assert (2, 1) == tuple(
        fold.metrics.counted("tailrace_aggregate_events_total", fate) for fate in ("added", "repeated")
    )


def test_one_time_far_ahead_makes_nobody_late() -> None:
    """A record stamped a year ahead counts in its own year; those that follow count as ever."""
    world = FoldWorld(make())
    sent = [event(i, T0 + i * 1_000, entity="D1") for i in range(40)]
    sent.insert(20, event(99, T0 + 365 * 86_400_000, entity="D1"))
    for one in sent:
        world.send(one)
    fold = world.fold()
    world.drain(fold)
    assert 0 == fold.metrics.counted("tailrace_aggregate_events_total", "late")
    assert defined(world.spec, sent) == ended(world)


def test_what_is_too_late_is_left_out_and_counted() -> None:
    """Behind the partition's event time by more than `late` a record changes no version."""
    world = FoldWorld(make(late="1m"))
    sent = [event(i, T0 + i * 10_000, entity="D1") for i in range(30)]
    for one in [*sent, event(99, T0 + 5_000, entity="D1")]:
        world.send(one)
    fold = world.fold()
    world.drain(fold)
    assert 1 == fold.metrics.counted("tailrace_aggregate_events_total", "late")
    assert defined(world.spec, sent) == ended(world)


def test_the_newest_version_is_the_last_message_of_its_key() -> None:
    """Compaction keeps the last message of a key: after a late record that must still be the newest version."""
    world = FoldWorld(make())
    fold = world.fold()
    for time in (T0, T0 + 600_000, T0 + 10):
        world.send(event(time - T0, time, entity="D1"))
        world.drain(fold)
    assert T0 + 600_001 == world.updates()[-1].time


def test_memory_and_the_past_that_is_needed_stay_bounded() -> None:
    """However long a stream is, what is held spans the look-back: so does what a new worker reads again."""
    world = FoldWorld(make(late="1m"), max_batch=50)
    sent = stream(Random(3), 3_000, jitter=10_000)
    for one in sent:
        world.send(one)
    fold = world.fold()
    world.drain(fold)
    held = fold.metrics.gauges["tailrace_aggregate_records", ()]
    assert 0 == fold.metrics.counted("tailrace_aggregate_events_total", "late")
    fold.loop.stop()
    fold.loop.run()
    world.send(event(9_999, T0 + 6_000_000))
    again = world.fold()
    world.drain(again)
    print(f"{len(sent)} events, {held:.0f} held, {world.ranges.read_again} read again")
    assert 10 < held < 400
    assert world.ranges.read_again < 400
    assert world.gaps == []


def test_a_gap_in_the_needed_past_is_told() -> None:
    """Where retention took events that open windows need, the fold goes on with what is left, and says what is gone."""
    world = FoldWorld(make(), max_batch=50)
    for i in range(20):
        world.send(event(i, T0 + i, entity="D1"))
    first = world.fold()
    world.drain(first)
    partition = max(range(PARTITIONS), key=lambda p: world.group.committed([p])[p].offset)
    world.ranges.kept = 12
    world.send(event(20, T0 + 20, entity="D1"))
    world.group.remove(first.source.member)
    world.drain(world.fold())
    assert [(partition, 0, 12)] == world.gaps
    assert 9 == ended(world)["past", "D1", T0 + 21]["n"]


def test_an_abort_reads_the_memory_again_and_loses_nothing() -> None:
    """A batch that was folded in but not committed is folded again, from the log."""
    world = FoldWorld(make())
    sent = stream(Random(1), 30)
    fold = world.fold()
    for i, one in enumerate(sent):
        world.send(one)
        if i % 14 == 0:
            fold.sink.faults.add("commit", Abortable("planted", transient=True))
        if i % 7 == 0:
            fold.loop.turn()
    world.drain(fold)
    assert world.ranges.read_again > 0
    assert defined(world.spec, sent) == ended(world)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_kills_and_rebalances_change_no_value(seed: int) -> None:
    """Two workers under random crashes, evictions, failed calls and uneven order end where the definition does."""
    print(f"seed {seed}")
    random = Random(seed)
    world = FoldWorld(make(late="90s"), max_batch=random.choice([1, 3, 8, 40]))
    sent = stream(random, 100, step=5_000)
    left = iter(sent)
    live: dict[int, Fold] = {slot: world.fold(slot) for slot in (0, 1)}
    for _ in range(150):
        trouble(random, world, live)
        for _ in range(random.randrange(5)):
            if (one := next(left, None)) is not None:
                world.send(one)
    for one in left:
        world.send(one)
    world.clock.advance(61)
    world.drain(*(restart(world, live, slot) for slot in live))
    assert defined(world.spec, sent) == ended(world)


def trouble(random: Random, world: FoldWorld, live: dict[int, Fold]) -> None:
    """A turn, or something that gets into its way."""
    slot = random.choice(list(live))
    dice = random.random()
    if dice < 0.08:
        restart(world, live, slot, crash_at(random.choice(MARKS[EXACTLY]), random.randrange(1, 4)))
    elif dice < 0.12:
        world.group.remove(live[slot].source.member)
    elif dice < 0.16:
        world.group.scramble(random)
    elif dice < 0.22:
        error: TailraceError = random.choice([Abortable("planted", transient=True), Fatal("planted", transient=True)])
        live[slot].sink.faults.add(random.choice(["produce", "flush", "send_offsets", "commit"]), error)
    elif dice < 0.25:
        live[slot].source.faults.add("rewind", Unavailable("planted"))
    try:
        live[slot].loop.turn()
    except Crash:
        restart(world, live, slot)


def restart(world: FoldWorld, live: dict[int, Fold], slot: int, *mark: Any) -> Fold:
    """Kill a worker where it stands, and start another in its slot."""
    world.group.remove(live[slot].source.member)
    live[slot] = world.fold(slot, *mark)
    return live[slot]


def test_the_versions_of_each_entity_are_told_in_order_of_time() -> None:
    """Within one batch an entity's versions ascend, each stamp once: the last one is the newest."""
    world = FoldWorld(make(), max_batch=1_000)
    for one in stream(Random(5), 50):
        world.send(one)
    fold = world.fold()
    fold.loop.turn()
    told: dict[tuple[str, str], list[int]] = defaultdict(list)
    for update in world.updates():
        told[update.group, update.entity].append(update.time)
    assert told
    assert all(sorted(set(times)) == times for times in told.values())
