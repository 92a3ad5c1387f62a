"""How much a batch may hold: small while the lag is small, all there is while it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.pacing import Bounds, Pacer


def pacer(**changes: float) -> Pacer:
    """A pacer with the usual settings."""
    settings = {"latency_target": 0.1, "gather": 0.003} | changes
    return Pacer(max_batch=10_000, **settings)


def test_small_lag_gathers_briefly_and_bounds_the_batch_by_the_latency_target() -> None:
    """A batch takes at most half the target: 46 ms at 20 microseconds a record."""
    assert pacer().bounds(0) == Bounds(limit=2_300, gather=0.003, idle=0.1)


def test_large_lag_takes_all_there_is_up_to_the_maximum() -> None:
    """Beyond the target throughput decides."""
    bounds = [pacer().bounds(lag) for lag in (2_301, 5_000, 10**9)]
    assert [(b.limit, b.gather) for b in bounds] == [(2_301, 0.05), (5_000, 0.05), (10_000, 0.05)]


def test_worked_off_lag_brings_the_small_bounds_back() -> None:
    """Nothing of a backlog is remembered."""
    steady = pacer()
    before = steady.bounds(10)
    steady.bounds(1_000_000)
    assert steady.bounds(10) == before


def test_slow_records_make_smaller_batches_but_never_below_the_floor() -> None:
    """A model of 5 ms a record leaves 32 records a batch; a quick one fills the maximum again."""
    measured = pacer()
    for _ in range(100):
        measured.learn(1_000, 5.0)
    assert measured.bounds(0).limit == Pacer.FLOOR
    for _ in range(200):
        measured.learn(10_000, 0.01)
    assert measured.bounds(0).limit == 10_000


def test_small_batches_measure_what_a_transaction_costs() -> None:
    """A fixed cost above half the target leaves the floor."""
    measured = pacer()
    for _ in range(100):
        measured.learn(1, 0.08)
    assert measured.bounds(0).limit == Pacer.FLOOR


def test_gathering_never_uses_a_quarter_of_the_target_up() -> None:
    """However `gather` is set."""
    assert pacer(gather=9.0).bounds(0).gather == pytest.approx(0.025)


@given(st.lists(st.tuples(st.integers(0, 20_000), st.floats(0, 100)), max_size=30), st.integers(0, 10**7))
def test_bounds_stay_within_the_settings(learnt: list[tuple[int, float]], lag: int) -> None:
    """Whatever was measured, also by a clock that stands still."""
    measured = pacer()
    for records, seconds in learnt:
        measured.learn(records, seconds)
    bounds = measured.bounds(lag)
    assert Pacer.FLOOR <= bounds.limit <= 10_000
    assert 0 <= bounds.gather <= Pacer.FILL
