"""The pace, by a clock that is moved by hand."""

import pytest

from services.ingest.replay.pacing import Pacer
from shared.testing.clock import ManualClock


def test_a_rate_is_kept() -> None:
    """At 100 records/s, the 50th is due half a second after the first."""
    clock = ManualClock()
    pacer = Pacer(clock, rate=100)
    assert pacer.wait(0, 0) == 0
    assert pytest.approx(0.5) == pacer.wait(50, 0)
    clock.advance(0.5)
    assert pytest.approx(0.0, abs=1e-6) == pacer.wait(50, 0)


def test_a_speed_is_kept() -> None:
    """At 3,600 s/s an hour of event time takes a second, however many records it has."""
    clock = ManualClock()
    pacer = Pacer(clock, speed=3_600)
    assert pacer.wait(0, 1_000_000) == 0
    assert pytest.approx(1.0) == pacer.wait(9, 1_000_000 + 3_600_000)


def test_time_lost_is_not_made_up_for() -> None:
    """After a hold of a minute the pace goes on as before, without a burst."""
    clock = ManualClock()
    pacer = Pacer(clock, rate=100)
    pacer.wait(0, 0)
    clock.advance(60)
    assert pacer.wait(10, 0) == 0
    assert pytest.approx(0.1) == pacer.wait(20, 0)


def test_a_resumed_count_is_no_debt() -> None:
    """The schedule starts at the first chunk, whatever was counted before."""
    pacer = Pacer(ManualClock(), rate=100)
    assert pacer.wait(5_000, 0) == 0
    assert pytest.approx(0.01) == pacer.wait(5_001, 0)


def test_without_limits_nothing_waits() -> None:
    """No rate and no speed: as fast as it goes."""
    pacer = Pacer(ManualClock())
    assert [pacer.wait(n, n) for n in (0, 1_000_000)] == [0.0, 0.0]
    assert (500, float("inf")) == pacer.chunk
