"""What the fold says after it was lost: from its store, or from an empty disk and the oldest offset that is needed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.monitor.observer.fold import PartitionFold
from services.monitor.observer.saved import FORMAT
from shared.adapters.rocks import RocksStore
from shared.core.pipeline import PipelineSpec
from shared.testing.store import MemoryStore
from tests.support.journals import HOUR, Mix, Published, as_bytes, fold_all, journal, make, rules_of


@dataclass
class Note:
    """What the committed offset remembers: see `shared.core.records.Note`."""

    low: int
    mark: int
    at: int
    passed: int
    blocks: tuple[tuple[object, ...], ...]


def run(spec: PipelineSpec, values: Sequence[bytes], dice: Random, stores: Any, loss: float) -> Published:
    """Fold in batches; now and then the process dies before or after its commit, with or without its disk."""
    store = stores()
    fold, published, at, note = PartitionFold(0, rules_of(spec), store), Published(), 0, Note(0, -1, 0, -1, ())
    fold.begin(0, -1)
    while at < len(values):
        chunk = values[at : at + dice.randrange(1, 30)]
        fold.settle()
        (low, mark), passed, blocks = fold.low(), fold.mark, fold.unfinished()
        made = fold.take(chunk, range(at, at + len(chunk)))
        committed = dice.random() >= loss / 2
        if committed:
            published.take(made)
            note, at = Note(low, mark, at, passed, blocks), at + len(chunk)
        if not committed or dice.random() < loss:
            if dice.random() < 0.5:
                store = stores()
            fold = PartitionFold(0, rules_of(spec), store)
            restore(fold, values, at, note, dice)
            assert fold.next == at
    return published


def restore(fold: PartitionFold, values: Sequence[bytes], end: int, note: Note, dice: Random) -> None:
    """As the service does it: what is stored, and what was read since then, silently."""
    begin = fold.resume(note.low, end)
    if begin < 0:
        fold.begin(note.low, note.mark)
        begin = note.low
    while begin < end:
        stop = min(begin + dice.randrange(1, 40), end)
        if begin < note.at < stop:
            stop = note.at
        fold.take(values[begin:stop], range(begin, stop))
        fold.settle()
        begin = stop
        if begin == note.at:
            fold.arrive(note.passed, note.blocks)
    fold.tell_again()


def same(published: Published, whole: Published, spec: PipelineSpec) -> None:
    """Everything as without any loss; what is closed was closed once."""
    del spec
    assert {k: c.sums for k, c in whole.cards.items()} == {k: c.sums for k, c in published.cards.items()}
    assert whole.accounts == published.accounts
    assert whole.outcomes == published.outcomes
    assert whole.blocks == published.blocks
    assert len(published.closed) == len(set(published.closed)) == len(whole.closed)


@pytest.mark.parametrize("seed", range(6))
def test_a_fold_that_is_lost_again_and_again_says_the_same(seed: int) -> None:
    """Killed at every tenth batch, half of the times with an empty disk: the same figures, outcomes and blocks."""
    print(f"seed {seed}")
    dice, spec = Random(seed), make()
    values = as_bytes(journal(spec, dice, 500))
    _, whole = fold_all(spec, values, MemoryStore(), dice)
    same(run(spec, values, dice, MemoryStore, 0.3), whole, spec)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_journal_survives_any_loss(data: st.DataObject) -> None:
    """Ids that come back after days, held labels, jumps of the clock: a replay from the oldest offset is exact."""
    names = ("never", "before", "corrected", "repeated", "conflicting", "twice", "shadowed", "foreign", "far")
    chances: dict[str, Any] = {name: data.draw(st.floats(0, 1)) for name in names}
    mix = Mix(**chances, every=data.draw(st.sampled_from([60_000, HOUR, 5 * HOUR])))
    spec = make(
        window=data.draw(st.sampled_from(["10m", "2h", "2d"])),
        hold=data.draw(st.sampled_from(["0s", "5m", "3h", "3d"])),
        max_step=data.draw(st.sampled_from(["1m", "20m", "5d"])),
    )
    dice = Random(data.draw(st.integers(0, 2**32)))
    values = as_bytes(journal(spec, dice, data.draw(st.integers(1, 80)), mix))
    _, whole = fold_all(spec, values, MemoryStore(), dice)
    same(run(spec, values, dice, MemoryStore, 0.5), whole, spec)


def test_rocks_gives_the_same_as_memory(tmp_path: Path) -> None:
    """The same fold over a store on disk, lost and taken up again."""
    dice, spec = Random(3), make()
    values = as_bytes(journal(spec, dice, 300))
    _, whole = fold_all(spec, values, MemoryStore(), dice)
    folders = iter(range(10**6))
    opened: list[RocksStore] = []

    def fresh() -> RocksStore:
        opened.append(RocksStore(tmp_path / str(next(folders))))
        return opened[-1]

    same(run(spec, values, dice, fresh, 0.2), whole, spec)
    for one in opened:
        one.close()


def test_what_is_over_is_forgotten() -> None:
    """Long after the last record nothing is kept, in memory or in the store."""
    dice, spec, store = Random(3), make(), MemoryStore()
    entries = journal(spec, dice, 300)
    fold, _ = fold_all(spec, as_bytes(entries), store, dice)
    assert len(list(store.scan(b"i"))) > 0
    last, far = len(entries), fold.mark + 800 * 24 * HOUR
    fold.take([b'{"type":"tick","time":%d,"v":1}' % far] * 200, range(last, last + 200))
    fold.settle()
    assert [] == list(store.scan(b"i")) == list(store.scan(b"c"))
    assert fold.low()[0] > last + 100


def test_entries_that_are_gone_make_the_open_windows_incomplete() -> None:
    """A replay that could not begin where it had to says so with every window that is open, and with no later one."""
    dice, spec = Random(3), make()
    values = as_bytes(journal(spec, dice, 300))
    middle = len(values) // 2
    fold, published = PartitionFold(0, rules_of(spec), MemoryStore()), Published()
    fold.begin(middle - 50, -1, complete=False)
    fold.take(values[middle - 50 : middle], range(middle - 50, middle))
    fold.settle()
    fold.tell_again()
    published.take(fold.take(values[middle : middle + 1], [middle]))
    gone = {key for key, card in published.cards.items() if not card.complete}
    assert gone
    fold.settle()
    published.take(fold.take(values[middle + 1 :], range(middle + 1, len(values))))
    later = {key for key, card in published.cards.items() if card.complete}
    assert len(later) > 10
    assert gone == {key for key, card in published.cards.items() if not card.complete}


def test_a_state_of_another_layout_is_not_read() -> None:
    """What an older observer kept is left alone: the journal is read instead."""
    spec, store = make(), MemoryStore()
    fold = PartitionFold(0, rules_of(spec), store)
    fold.begin(0, -1)
    values = as_bytes(journal(spec, Random(5), 20))
    fold.take(values, range(len(values)))
    fold.settle()
    assert PartitionFold(0, rules_of(spec), store).resume(0, len(values)) == len(values)
    (head,) = store.get_many([b"h"])
    assert head is not None
    stamp = json.loads(head)
    store.write({b"h": json.dumps([*stamp[:-1], FORMAT - 1]).encode()})
    assert PartitionFold(0, rules_of(spec), store).resume(0, len(values)) == -1
