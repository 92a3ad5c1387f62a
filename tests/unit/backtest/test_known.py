"""What a backtest may know at a moment: what the running system would, and no more."""

from pathlib import Path

import pytest

from shared.core.schedule import Fit
from tailrace.backtest.models import Models, Trained
from tailrace.backtest.ours import challenged
from tailrace.backtest.stream import Stream, delayed, of_pipeline
from tests.support.changing import BEGIN, DAY, Plan, write

PLAN = Plan(learned=6, change=3, played=4, a_day=80)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """Ten days, the labels of which are known at the end of their day, with a horizon of a day."""
    return of_pipeline(str(write(tmp_path, "changing", PLAN)), tmp_path / "cache", lambda _: None)


def test_a_record_within_the_horizon_teaches_nothing(stream: Stream, tmp_path: Path) -> None:
    """Its label is known and yet no fair sample; where labels are played as late as they may come, it is one."""
    model = Trained(BEGIN, stream.first)
    found = Models(stream, tmp_path / "one").learned(model)
    assert int(stream.times[found].max()) == stream.first - DAY
    played = delayed(stream, DAY // 2)
    assert int(played.times[Models(played, tmp_path / "two").learned(model)].max()) == stream.first - DAY // 2
    assert played.fingerprint() != stream.fingerprint()


def test_a_training_that_its_data_refuse_is_no_challenger(stream: Stream, tmp_path: Path) -> None:
    """A window that leaves nothing beside the holdout and its gap: the running system refuses it, and so do we."""
    models = Models(stream, tmp_path / "models")
    now, champion = stream.first + 3 * DAY, Trained(BEGIN, stream.first)
    for window, words in ((2 * DAY, "0 records to fit"), (6 * DAY, "")):
        figures = challenged(models, Fit("alarm", now, window, "x"), champion, now)
        assert any(words in reason for reason in figures.reasons) == bool(words), figures.reasons
        assert not (words and figures.passed)
