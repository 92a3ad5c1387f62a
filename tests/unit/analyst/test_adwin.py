"""ADWIN over blocks, beside an exact window that is never compressed, and beside river's."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift

from services.monitor.analyst import adwin


def _naive_cut(blocks: list[tuple[int, int]], delta: float) -> bool:
    """Whether any two parts of an uncompressed window differ: the definition, written down as it stands."""
    n, wrong = (sum(column) for column in zip(*blocks, strict=True))
    for i in range(1, len(blocks)):
        old, errors = (sum(column) for column in zip(*blocks[:i], strict=True))
        differs = abs(errors / old - (wrong - errors) / (n - old))
        if differs > adwin.bound(old, n - old, wrong / n, delta, 1.0):
            return True
    return False


def _run(counts: list[int], n: int = 25) -> list[int]:
    window: adwin.Window = ()
    found = []
    for i, errors in enumerate(counts):
        window, rose = adwin.add(window, n, errors)
        if rose:
            found.append(i)
    return found


def test_an_empty_window_has_no_errors() -> None:
    """Nor does it divide by its length."""
    assert adwin.mean(()) == 0.0


def test_a_fall_is_no_alarm_but_is_forgotten() -> None:
    """Fewer errors shrink the window to the present without a word; the later rise is measured against them."""
    rng = np.random.default_rng(1)
    good = [*rng.binomial(25, 0.4, 200).tolist(), *rng.binomial(25, 0.1, 200).tolist()]
    assert _run(good) == []
    assert _run([*good, *rng.binomial(25, 0.4, 100).tolist()])[0] in range(400, 415)


@given(st.lists(st.integers(0, 25), min_size=1, max_size=120))
def test_the_buckets_are_the_window(counts: list[int]) -> None:
    """Sizes never grow towards the present, no size occurs more than five times, and the sums are those of the end."""
    window: adwin.Window = ()
    for errors in counts:
        window, _ = adwin.add(window, 25, errors)
    sizes = [bucket.n for bucket in window]
    assert sizes == sorted(sizes, reverse=True)
    assert all(sizes.count(size) <= adwin.ROW for size in sizes)
    kept = sum(sizes) // 25
    assert sum(counts[-kept:]) == sum(bucket.errors for bucket in window)


@given(st.lists(st.integers(0, 25), min_size=2, max_size=60))
def test_what_is_kept_does_not_differ_and_what_is_cut_did(counts: list[int]) -> None:
    """A window that was cut had two parts that differ by the exact definition; its bucket edges are some of theirs."""
    window: adwin.Window = ()
    blocks: list[tuple[int, int]] = []
    for errors in counts:
        blocks.append((25, errors))
        window, _ = adwin.add(window, 25, errors)
        kept = sum(bucket.n for bucket in window) // 25
        if kept < len(blocks):
            assert _naive_cut(blocks, adwin.DELTA)
            blocks = blocks[len(blocks) - kept :]


@pytest.mark.parametrize("seed", range(3))
def test_it_is_as_quick_and_as_quiet_as_rivers(seed: int) -> None:
    """Both see 16 points more within two blocks of each other (river looks every 32 records), and nothing before."""
    rng = np.random.default_rng(seed)
    print("seed", seed)
    errors = np.concatenate([rng.random(10_000) < 0.1, rng.random(2_000) < 0.26])
    theirs: Any = drift.ADWIN()  # type: ignore[no-untyped-call] # theirs
    first = 0
    for i, error in enumerate(errors.tolist()):
        theirs.update(int(error))
        if theirs.drift_detected:
            first = i
            break
    ours = _run(errors.reshape(-1, 25).sum(axis=1).tolist())[0] * 25
    assert ours >= 10_000
    assert abs(ours - first) <= 64


def test_bursts_that_are_known_are_no_rise() -> None:
    """Days that differ by chance alarm again and again, unless the spread of a reference says how much they do."""
    rng = np.random.default_rng(9)
    print("seed", 9)
    days = np.clip(rng.normal(0.2, 0.08, 60), 0.01, 0.9).repeat(40)
    counts = rng.binomial(25, days).tolist()
    window: adwin.Window = ()
    known = 0
    for errors in counts:
        window, rose = adwin.add(window, 25, errors, spread=40.0)
        known += rose
    assert known <= 1
    assert len(_run(counts)) > 10
