"""The observer in its loop, over a log in memory: whatever happens to workers and disks, the topics say the same."""

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from services.monitor.observer.describe import Describer
from shared.core.errors import Abortable, Fatal, TailraceError, Unavailable
from shared.testing.faults import Crash, crash_at
from shared.testing.log import Transaction
from tests.support.journals import (
    HOUR,
    T0,
    account_picture,
    block_picture,
    expected,
    journal,
    label,
    make,
    observation,
    picture,
    settings_of,
)
from tests.support.loops import EXACTLY, MARKS
from tests.support.monitor_oracle import recompute
from tests.support.observers import PARTITIONS, Observer, ObserverWorld

SCHEDULES = 40


def check(world: ObserverWorld) -> None:
    """Every partition's topics hold what the oracle makes of its journal; each window was closed once."""
    topics = world.read()
    assert len(topics.closed) == len(set(topics.closed))
    for partition in range(PARTITIONS):
        wanted = expected(recompute(world.sent.get(partition, []), settings_of(world.spec)))
        found = topics.of(partition)
        found["cards"] = {key: picture(sums, world.spec.labels.classes) for key, sums in found["cards"].items()}
        found["accounts"] = {window: account_picture(sums) for window, sums in found["accounts"].items()}
        found["blocks"] = sorted(map(block_picture, found["blocks"]), key=lambda b: (b["number"], b["who"]))
        for what, value in wanted.items():
            assert value == found[what], f"{what} of partition {partition}"


def test_aborted_observations_do_not_count() -> None:
    """F32: a third of the journal was aborted; nobody sees it."""
    world, dice = ObserverWorld(make()), Random(1)
    for entry in journal(world.spec, dice, 300):
        world.send(entry, dice)
    world.drain(world.observer())
    check(world)
    assert world.gaps == []


def test_b33_a_label_of_an_aborted_prediction_waits_like_that_of_an_unknown_one() -> None:
    """The observation was written, but never committed: there is none."""
    world, dice = ObserverWorld(make()), Random(1)
    aborted = Transaction("scorer", 0.0, state="aborted")
    seen = msgspec.json.encode(observation(world.spec, "r3", T0, dice))
    world.log.append("journal", 0, b"k", seen, None, aborted)
    world.send(label("r3", "late", T0 + HOUR), Random(2))
    world.drain(world.observer())
    (account,) = world.read().accounts.values()
    assert (0, 1, 1) == (account.sums.observations, account.sums.labels, account.sums.held)


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_kills_rebalances_and_empty_disks_change_no_figure(seed: int, tmp_path: Path) -> None:
    """F30, F31: two workers that crash at any step, lose partitions and disks, with checkpoints and without."""
    print(f"seed {seed}")
    dice = Random(seed)
    spec = make(dice.choice(["binary", "multiclass", "regression"]))
    world = ObserverWorld(spec, dice.choice([1, 5, 20, 100]), dice.choice([None, tmp_path]))
    left = iter(journal(spec, dice, 120))
    live: dict[int, Observer] = {slot: world.observer(slot) for slot in (0, 1)}
    for _ in range(150):
        trouble(dice, world, live)
        for _ in range(dice.randrange(8)):
            if (entry := next(left, None)) is not None:
                world.send(entry, dice)
    for entry in left:
        world.send(entry, dice)
    world.clock.advance(61)
    world.drain(*(restart(world, live, slot) for slot in live))
    check(world)
    assert world.ranges.read_again > 0
    assert world.gaps == []


def trouble(dice: Random, world: ObserverWorld, live: dict[int, Observer]) -> None:
    """A turn, or something that gets into its way."""
    slot, what = dice.choice(list(live)), dice.random()
    if what < 0.08:
        restart(world, live, slot, crash_at(dice.choice(MARKS[EXACTLY]), dice.randrange(1, 4)))
    elif what < 0.12:
        world.group.remove(live[slot].source.member)
    elif what < 0.16:
        world.group.scramble(dice)
    elif what < 0.22:
        error: TailraceError = dice.choice([Abortable("planted", transient=True), Fatal("planted", transient=True)])
        live[slot].sink.faults.add(dice.choice(["produce", "flush", "send_offsets", "commit"]), error)
    elif what < 0.25:
        live[slot].source.faults.add("rewind", Unavailable("planted"))
    elif what < 0.28:
        restart(world, live, slot, disk=False)
    try:
        live[slot].loop.turn()
    except Crash:
        restart(world, live, slot)


def restart(world: ObserverWorld, live: dict[int, Observer], slot: int, *mark: Any, disk: bool = True) -> Observer:
    """Kill a worker where it stands, and start another in its slot, with its disk or an empty one."""
    world.group.remove(live[slot].source.member)
    if not disk:
        world.disks = {key: store for key, store in world.disks.items() if key[0] != slot}
    live[slot] = world.observer(slot, *mark)
    return live[slot]


def test_an_own_disk_spares_reading_the_journal_again() -> None:
    """A worker that comes back reads what its disk does not know: the last batch."""
    world, dice = ObserverWorld(make(), max_batch=50), Random(2)
    entries = journal(world.spec, dice, 300)
    for entry in entries[:-30]:
        world.send(entry, dice)
    first = world.observer()
    world.drain(first)
    world.group.remove(first.source.member)
    for entry in entries[-30:]:
        world.send(entry, dice)
    world.drain(world.observer())
    print(world.ranges.read_again, "entries read again")
    assert world.ranges.read_again <= 50 * PARTITIONS
    check(world)


def test_a_replay_tells_open_windows_once_and_closed_ones_never() -> None:
    """After the loss of everything the next batch tells each window that is open, and no other."""
    world, dice = ObserverWorld(make(), max_batch=50), Random(2)
    entries = journal(world.spec, dice, 300)
    for entry in entries[:-3]:
        world.send(entry, dice)
    first = world.observer()
    world.drain(first)
    before = world.read()
    world.group.remove(first.source.member)
    world.disks.clear()
    for entry in entries[-3:]:
        world.send(entry, dice)
    world.drain(world.observer())
    touched = {p for p, sent in world.sent.items() if any(entry in entries[-3:] for _, entry in sent)}
    known = [(k, c.partition) for k, c in before.cards.items()] + [(k, a.partition) for k, a in before.accounts.items()]
    still = [key for key, partition in known if key not in before.closed and partition in touched]
    after = world.read()
    assert len(still) <= after.told - before.told <= len(still) + 12
    check(world)


def test_what_retention_took_is_told_and_its_windows_are_incomplete() -> None:
    """The journal begins after the oldest entry that is needed: the gap is named, and open windows say so."""
    world, dice = ObserverWorld(make(), max_batch=50), Random(2)
    entries = journal(world.spec, dice, 300)
    for entry in entries[:-3]:
        world.send(entry, dice)
    first = world.observer()
    world.drain(first)
    world.group.remove(first.source.member)
    world.disks.clear()
    world.ranges.kept = min(len(sent) for sent in world.sent.values()) - 5
    before = world.read()
    assert all(card.complete for card in before.cards.values())
    for entry in entries[-3:]:
        world.send(entry, dice)
    world.drain(world.observer())
    assert {gap[2] for gap in world.gaps} == {world.ranges.kept}
    assert any(not card.complete for card in world.read().cards.values())


def test_a_profile_that_cannot_be_read_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told without it, and nothing is lost when it comes."""
    world, dice = ObserverWorld(make()), Random(4)
    for entry in journal(world.spec, dice, 60):
        world.send(entry, dice)
    tries = iter(range(10**6))

    prepare = Describer.prepare

    def down(self: Describer, versions: set[str]) -> None:
        if next(tries) < 5:
            raise Unavailable("planted")
        prepare(self, versions)

    monkeypatch.setattr(Describer, "prepare", down)
    world.drain(world.observer())
    assert next(tries) > 5
    check(world)


def test_a_profile_that_cannot_be_read_in_the_middle_of_a_batch_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a batch is in when another version comes: it is forgotten with all that was remembered, and read again."""
    world, dice = ObserverWorld(make()), Random(4)
    for entry in journal(world.spec, dice, 120):
        world.send(entry, dice)
    prepare, asked = Describer.prepare, list[int]()

    def down(self: Describer, versions: set[str]) -> None:
        asked.append(len(asked))
        if len(asked) in {4, 9, 20}:
            raise Unavailable("planted")
        prepare(self, versions)

    monkeypatch.setattr(Describer, "prepare", down)
    world.drain(world.observer())
    assert len(asked) > 20
    check(world)
