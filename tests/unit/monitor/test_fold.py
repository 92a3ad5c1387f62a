"""The observer's fold against an oracle that shares no code with it: every status, every figure, every block."""

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.monitor.observer.fold import PartitionFold
from shared.core.monitor_records import Outcome
from shared.testing.store import MemoryStore
from tests.support.journals import (
    HOUR,
    T0,
    Mix,
    Published,
    account_picture,
    as_bytes,
    block_picture,
    expected,
    fold_all,
    journal,
    label,
    make,
    observation,
    picture,
    rules_of,
    settings_of,
)
from tests.support.monitor_oracle import Answer, recompute

TASKS = ("binary", "multiclass", "regression")


def told(published: Published, spec: Any) -> dict[str, Any]:
    """All that was published, in the oracle's form. A version without a profile has no counts over bins."""
    return {
        "cards": {key: picture(card.sums, spec.labels.classes) for key, card in published.cards.items()},
        "accounts": {window: account_picture(sums) for window, sums in published.accounts.items()},
        "outcomes": [(status, one.id, one.revision, one.value) for _, status, _, one, _ in published.outcomes],
        "blocks": sorted(map(block_picture, published.blocks), key=lambda b: (b["number"], b["who"])),
    }


def compare(spec: Any, entries: list[dict[str, Any]], dice: Random) -> tuple[Published, Answer]:
    """Fold and recompute; both must say the same of everything."""
    _, published = fold_all(spec, as_bytes(entries), MemoryStore(), dice)
    answer = recompute(list(enumerate(entries)), settings_of(spec))
    mine, theirs = told(published, spec), expected(answer)
    for what in theirs:
        assert theirs[what] == mine[what], what
    return published, answer


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(4))
def test_everything_is_as_the_oracle_says(task: str, seed: int) -> None:
    """Delays up to 30 days, never, early, corrected, repeated, contradicting; shadows; ids that come twice."""
    print(f"seed {seed}")
    dice, spec = Random(seed), make(task)
    published, answer = compare(spec, journal(spec, dice, 600), dice)
    statuses = {status.split()[0] for status in answer.status.values()}
    assert {"matched", "corrected", "late", "held", "orphaned", "duplicate", "conflicting", "unsampled"} == statuses
    assert len(published.blocks) > 3
    assert len(published.closed) == len(set(published.closed)) > 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_mix_is_as_the_oracle_says(data: st.DataObject) -> None:
    """Whatever the shares of late, early and repeated labels, the lengths of window and hold, and the batches."""
    chance = st.floats(0, 1)
    names = ("never", "before", "corrected", "repeated", "conflicting", "twice", "shadowed", "foreign", "far")
    chances: dict[str, Any] = {name: data.draw(chance) for name in names}
    mix = Mix(
        **chances,
        longest=data.draw(st.sampled_from([1_000, HOUR, 9 * HOUR, 40 * HOUR])),
        every=data.draw(st.sampled_from([1_000, 60_000, HOUR])),
    )
    window, hold = data.draw(st.sampled_from(["10m", "2h", "2d"])), data.draw(st.sampled_from(["0s", "5m", "3h", "3d"]))
    steps = {"max_step": data.draw(st.sampled_from(["1s", "20m", "5d"]))}
    spec = make(data.draw(st.sampled_from(TASKS)), window=window, hold=hold, **steps)
    dice = Random(data.draw(st.integers(0, 2**32)))
    compare(spec, journal(spec, dice, data.draw(st.integers(1, 60)), mix), dice)


def test_the_accounts_add_up_to_the_labels_read() -> None:
    """The eight statuses are all labels that were read, window by window."""
    spec, dice = make(), Random(5)
    entries = journal(spec, dice, 400)
    _, published = fold_all(spec, as_bytes(entries), MemoryStore(), dice)
    for sums in published.accounts.values():
        parts = (sums.matched, sums.corrected, sums.late, sums.held, sums.orphaned, sums.duplicate, sums.conflicting)
        assert sums.labels == sum(parts) + sums.unsampled
    assert sum(one["type"] == "label" for one in entries) == sum(s.labels for s in published.accounts.values())


def test_the_size_of_batches_changes_nothing() -> None:
    """One entry at a time or all at once: the same last values, outcomes and blocks."""
    spec = make()
    values = as_bytes(journal(spec, Random(6), 300))
    pictures = []
    for largest in (1, 7, 10_000):
        _, published = fold_all(spec, values, MemoryStore(), Random(largest), largest)
        pictures.append(told(published, spec))
    assert pictures[0] == pictures[1] == pictures[2]


def test_what_is_no_entry_is_counted_and_passed_over() -> None:
    """Rubbish, nothing, an unknown kind and a future schema: invalid, and the others count."""
    spec, dice = make(), Random(1)
    good = observation(spec, "r1", T0, dice)
    bad = [b"{", None, b'{"type":"else"}', json.dumps(good | {"v": 2}).encode(), b'{"type":"tick","time":"x","v":1}']
    fold, published = PartitionFold(0, rules_of(spec), MemoryStore()), Published()
    fold.begin(0, -1)
    published.take(fold.take([json.dumps(good).encode(), *bad], range(6)))
    (sums,) = published.accounts.values()
    assert (1, 5) == (sums.observations, sums.invalid)


def test_an_outcome_is_the_observation_and_its_label() -> None:
    """The bytes on `outcomes` decode to the whole observation, the label, its position and its status."""
    spec, dice = make(), Random(1)
    entries = [observation(spec, "r1", T0, dice), label("r1", "late", T0 + HOUR), label("r1", "on_time", T0 + HOUR, 1)]
    _, published = fold_all(spec, as_bytes(entries), MemoryStore(), dice)
    made = [
        msgspec.json.decode(
            b'{"v":1,"status":"%s","observation":%s,"label":%s,"at":[0,7]}'
            % (status.encode(), raw, msgspec.json.encode(one)),
            type=Outcome,
        )
        for _, status, raw, one, _ in published.outcomes
    ]
    assert [("matched", "late", 0), ("corrected", "on_time", 1)] == [
        (m.status, m.label.value, m.label.revision) for m in made
    ]
    assert all(m.observation.prediction.id == "r1" for m in made)


def test_a_clock_that_jumps_moves_the_watermark_by_one_step() -> None:
    """One label from the year 2100 makes nobody late."""
    spec, dice = make(max_step="15m"), Random(1)
    entries = [
        observation(spec, "r1", T0, dice),
        label("r9", "late", T0 + 10**12),
        observation(spec, "r2", T0 + 1_000, dice),
        label("r1", "late", T0 + HOUR),
        label("r2", "late", T0 + HOUR),
    ]
    _, answer = compare(spec, entries, dice)
    assert ["held", "matched", "matched"] == [answer.status[i] for i in (1, 3, 4)]


def test_a_label_before_its_observation_waits_for_it() -> None:
    """Held, then matched when the observation comes in time; orphaned once it has waited for longer than `hold`."""
    spec, dice = make(max_step="10d"), Random(1)
    early = [label("r1", "late", T0), observation(spec, "r1", T0 + HOUR, dice)]
    assert "matched" == compare(spec, early, dice)[1].status[0]
    waited = [label("r1", "late", T0), observation(spec, "r1", T0 + 4 * HOUR, dice)]
    assert "orphaned" == compare(spec, waited, dice)[1].status[0]


def test_a_version_that_nobody_knows_has_no_counts_over_bins() -> None:
    """Its quality is told all the same."""
    spec, dice = make(), Random(1)
    entries = [observation(spec, "r1", T0, dice, version="x9"), label("r1", "late", T0 + HOUR)]
    published, _ = compare(spec, entries, dice)
    (card,) = published.cards.values()
    assert (1, 1, {}) == (card.sums.n, card.sums.labelled, card.sums.features)


def test_b33_each_odd_label_has_its_own_status() -> None:
    """Unknown, before its prediction, after the horizon, twice, contradicting, corrected, left out by the sample."""
    spec, dice = make(max_step="10d"), Random(1)
    entries = [
        label("before", "late", T0),  # 0
        *(observation(spec, name, T0, dice) for name in ("before", "twice", "after")),
        label("unknown", "late", T0 + HOUR, located=False),  # 4
        *(label("twice", value, T0 + HOUR, revision) for value, revision in (("late", 1), ("late", 1), ("on_time", 1))),
        label("twice", "on_time", T0 + HOUR, 2),  # 8
        label("twice", "late", T0 + HOUR, 0),
        label("left out", "late", T0 + HOUR, sampled=False),  # 10
        label("after", "late", T0 + 7 * HOUR),
        {"type": "tick", "time": T0 + 8 * HOUR, "v": 1},
    ]
    published, answer = compare(spec, entries, dice)
    first, then = ["matched", "orphaned astray", "matched"], ["duplicate", "conflicting", "corrected", "duplicate"]
    statuses = [*first, *then, "unsampled", "late"]
    assert statuses == [answer.status[i] for i in (0, *range(4, 12))]
    assert sum(sums.astray for sums in published.accounts.values()) == 1


def test_b35_a_flood_of_labels_is_one_match_and_costs_no_memory() -> None:
    """A thousand labels for each of ten predictions: ten count, the others repeat or contradict them."""
    spec, dice, store = make(), Random(1), MemoryStore()
    entries = [observation(spec, f"r{i}", T0 + i, dice) for i in range(10)]
    entries += [label(f"r{i % 10}", dice.choice(["late", "on_time"]), T0 + HOUR) for i in range(10_000)]
    fold, published = fold_all(spec, as_bytes(entries), store, dice, 500)
    sums = [sums for sums in published.accounts.values() if sums.labels]
    assert 10 == sum(one.matched for one in sums) == len(published.outcomes) == fold.remembered
    assert 9_990 == sum(one.duplicate + one.conflicting for one in sums)
    assert 10 == len(list(store.scan(b"i")))
    assert 9_990 == sum(card.sums.duplicate + card.sums.conflicting for card in published.cards.values())


def test_a_window_without_labels_has_no_figures_of_them() -> None:
    """Unknown is not nothing: the sums of labels are not there at all."""
    spec, dice = make(), Random(1)
    published, _ = compare(spec, [observation(spec, "r1", T0, dice)], dice)
    (card,) = published.cards.values()
    assert (1, 0, (), ()) == (card.sums.n, card.sums.labelled, card.sums.confusion, card.sums.delays)
