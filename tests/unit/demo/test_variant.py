"""The pipeline of the whole story: the same one, but for what is said to be otherwise."""

from pathlib import Path

import msgspec
import pytest

from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.mistakes import Mistakes
from shared.core.pipeline_base import Duration
from tailrace.demo.variant import STORY, story_of, told_as


def test_a_change_that_no_pipeline_may_have_is_a_mistake(tmp_path: Path) -> None:
    """It is said as of any pipeline's file."""
    with pytest.raises(Mistakes, match="clock"):
        told_as(load_pipeline("flights"), {"retraining": {"clock": "7d"}}, tmp_path)


def test_only_what_is_named_is_otherwise(tmp_path: Path) -> None:
    """Its plan has a shadow and a canary, its hook is there, and the rest is as it was."""
    flights = load_pipeline("flights")
    found = told_as(flights, story_of(flights), tmp_path)
    assert found.folder == tmp_path / "flights"
    assert (found.folder / flights.spec.history.hook).is_file()
    assert found.spec.rollout.shadow is not None
    assert [step.share for step in found.spec.rollout.canary] == [0.25]
    assert found.spec.monitoring.goal == {"auc": 0.62}
    kept = msgspec.structs.replace(
        found.spec, rollout=flights.spec.rollout, monitoring=flights.spec.monitoring,
        retraining=msgspec.structs.replace(
            found.spec.retraining, every=flights.spec.retraining.every, follow_ups=flights.spec.retraining.follow_ups
        ),
    )  # fmt: skip
    assert kept == flights.spec


@pytest.mark.parametrize("name", ["obesity", "churn", "taxi", "heavy_equipment"])
def test_every_pipeline_has_a_story(tmp_path: Path, name: str) -> None:
    """Where nothing is known of its history, the clock asks, and its own goals stay."""
    pipeline = load_pipeline(name)
    assert story_of(pipeline) == STORY
    found = told_as(pipeline, story_of(pipeline), tmp_path)
    assert found.spec.monitoring == pipeline.spec.monitoring
    assert found.spec.retraining.every == Duration(14 * 86_400)
