"""Alarms over error blocks: the same whatever the order and however often blocks come, kept and never dropped."""

from functools import reduce

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitor.analyst import alarms
from services.monitor.analyst.alarms import add, watch
from services.monitor.analyst.cusum import Terms
from services.monitor.analyst.fold import Entry, begin, fold
from shared.core.baseline import UNIT, baseline
from shared.core.monitor_records import ErrorBlock

HOUR = 3_600_000
TERMS = Terms(reference=500, minimum=50, cooldown=24 * HOUR)


def _block(i: int, errors: int, partition: int = 0, number: int | None = None) -> ErrorBlock:
    """One block an hour, whose loss goes with its errors."""
    number = i if number is None else number
    return ErrorBlock(
        version="v1", partition=partition, number=number, opened=i * HOUR, closed=(i + 1) * HOUR,
        n=25, errors=errors, loss=(5 + errors) * UNIT,
    )  # fmt: skip


def _stream(rng: np.random.Generator, shares: list[tuple[float, int]], partitions: int = 1) -> list[ErrorBlock]:
    numbers, blocks = [0] * partitions, list[ErrorBlock]()
    for share in (share for share, n in shares for _ in range(n)):
        partition = int(rng.integers(partitions))
        blocks.append(_block(len(blocks), int(rng.binomial(25, share)), partition, numbers[partition]))
        numbers[partition] += 1
    return blocks


RISE = _stream(np.random.default_rng(11), [(0.1, 60), (0.6, 30), (0.1, 120)], partitions=4)


def test_no_blocks_are_no_alarm() -> None:
    """Without labels nothing is known, and nothing is raised."""
    empty = watch(TERMS)
    assert add(empty, []) is empty
    assert (empty.state.labels, empty.state.alarms) == (0, ())


def test_a_repeat_changes_nothing() -> None:
    """All blocks again, at once or alone, leave the very same watch."""
    whole = add(watch(TERMS), RISE)
    assert add(whole, RISE) is whole
    assert add(whole, RISE[:1]) is whole


@given(st.randoms(use_true_random=False), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_order_and_repeats_do_not_matter(random: object, size: int) -> None:
    """Shuffled, doubled and in batches of any size, the blocks give the state that they give in order."""
    shuffled = [*RISE, *RISE[::3]]
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    batches = [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
    assert reduce(add, batches, watch(TERMS)) == add(watch(TERMS), RISE)


def test_blocks_count_in_the_order_of_their_closing_then_of_their_partition() -> None:
    """The state is that of a plain loop over the sorted blocks."""
    same_time = [msgspec.structs.replace(block, closed=block.closed // (3 * HOUR)) for block in RISE]
    entries = sorted(Entry(b.closed, b.partition, b.number, b.opened, b.n, b.errors, b.loss) for b in same_time)
    expected = reduce(lambda state, entry: fold(state, entry, TERMS), entries, begin(TERMS))
    assert expected == add(watch(TERMS), same_time[::-1]).state


def test_a_rise_alarms_and_says_since_when() -> None:
    """Sixty blocks at 10 %, then 60 %: one alarm, whose rise begins where it began, within a block or two."""
    alarm = add(watch(TERMS), RISE).state.alarms[0]
    assert alarm.kind in {"errors", "loss"}
    assert 60 * HOUR <= alarm.at <= 64 * HOUR
    assert abs(alarm.since - 60 * HOUR) <= 2 * HOUR
    assert alarm.rise > 0.3


def test_a_fall_is_no_alarm() -> None:
    """Only rises count."""
    blocks = _stream(np.random.default_rng(2), [(0.4, 60), (0.05, 100)])
    assert add(watch(TERMS), blocks).state.alarms == ()


def test_an_alarm_inside_a_cool_down_is_kept_until_its_end() -> None:
    """The second rise comes and goes within the day after the first alarm: it is raised when the day is over."""
    quiet = msgspec.structs.replace(TERMS, cooldown=200 * HOUR)
    shares = [(0.1, 60), (0.6, 4), (0.02, 60), (0.6, 4), (0.02, 300)]
    blocks = _stream(np.random.default_rng(5), shares)
    raised = add(watch(quiet), blocks).state
    assert raised.errors.crossed >= 2
    first, second = raised.alarms
    assert 120 * HOUR <= second.at <= 130 * HOUR
    before = add(watch(quiet), [block for block in blocks if block.closed < first.at + 200 * HOUR]).state
    assert (before.alarms, before.kept) == ((first,), second)


def test_what_stands_is_raised_again_after_each_cool_down() -> None:
    """A rise that lasts three days alarms each day, not each block; calm again, it does not."""
    blocks = _stream(np.random.default_rng(6), [(0.1, 60), (0.5, 72), (0.1, 200)])
    state = add(watch(TERMS), blocks).state
    assert len(state.alarms) in {3, 4}
    assert not state.errors.standing
    assert np.diff([alarm.at for alarm in state.alarms]).tolist() == [24 * HOUR] * (len(state.alarms) - 1)


def test_the_level_has_to_fall_well_below_the_threshold_before_it_is_calm() -> None:
    """A level that swings about the threshold is one crossing, not many."""
    blocks = _stream(np.random.default_rng(7), [(0.1, 60), (0.35, 8), (0.12, 6), (0.35, 8)])
    assert add(watch(TERMS), blocks).state.errors.crossed == 1


def test_too_few_labels_raise_nothing_yet_and_drop_nothing() -> None:
    """What crosses before the minimum is raised when the labels are there."""
    given = (
        baseline("errors", [2, 3] * 100, 25),
        baseline("loss", [7 * UNIT, 8 * UNIT] * 100, 25),
    )
    terms = msgspec.structs.replace(TERMS, minimum=200)
    blocks = [_block(i, 20 if i < 3 else 2) for i in range(9)]
    few = add(watch(terms, given), blocks[:7]).state
    assert (few.alarms, few.kept is not None) == ((), True)
    assert add(watch(terms, given), blocks).state.alarms == (few.kept,)


def test_a_long_stream_keeps_a_bounded_tail_and_the_same_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settling the older blocks changes nothing; one that comes after that still counts, and is told as late."""
    whole = add(watch(TERMS), RISE)
    monkeypatch.setattr(alarms, "SLACK", 20)
    parts = reduce(add, [[block] for block in RISE], watch(TERMS))
    assert len(parts.tail) < 40
    assert (whole.state, 0) == (parts.state, parts.late)
    assert add(parts, RISE) is parts
    stray = msgspec.structs.replace(RISE[0], partition=9, number=0)
    assert add(parts, [stray]).late == 1
    assert add(parts, [stray]).state.labels == parts.state.labels + 25


def test_a_watch_survives_being_stored() -> None:
    """Encoded and decoded it goes on as if nothing had happened: the analyst may be killed at any time."""
    half = add(watch(TERMS), RISE[:100])
    stored = msgspec.json.decode(msgspec.json.encode(half), type=alarms.Watch)
    assert add(half, RISE[100:]) == add(stored, RISE[100:])


def test_adwin_needs_no_reference() -> None:
    """The other detector: it has all labels from the first on, and its alarms are kept alike."""
    terms = Terms(detector="adwin", minimum=50, cooldown=24 * HOUR)
    state = add(watch(terms), RISE).state
    assert state.labels == 25 * len(RISE)
    assert 60 * HOUR <= state.alarms[0].at <= 64 * HOUR
    assert state.alarms[0].rise > 0.1
