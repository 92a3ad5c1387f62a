"""What a training's two models learn from, out of a history that nobody has archived."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from services.retrainer.challenge import Material
from services.retrainer.dataset import Dataset
from services.retrainer.material import material_of
from shared.core.pipeline import PipelineSpec
from shared.core.retraining import Training
from shared.core.schedule import Kind, schedule_terms
from shared.runtime.settings import ArchiveSettings, Settings
from tests.support.bundles import HOUR, START, write_history
from tests.support.spec import make_spec

SPEC = make_spec(
    history={"records": "records.csv", "features": "features.jsonl", "labels": "labels.jsonl"},
    retraining={"window": "10d", "short": 0.3, "gate": {"holdout": "2d"}},
)
DAY, AT, YOUNG = 24, 500, 6  # hours; the training's hour, of a parcel an hour; those whose labels may still come


@dataclass(frozen=True, slots=True)
class Declared:
    """A pipeline and its folder."""

    spec: PipelineSpec
    folder: Path


def silent(_: str) -> None:
    """Nobody listens."""


def gathered(folder: Path, kind: Kind, window: int | None) -> Material:
    """The material of one training."""
    write_history(folder)
    training = Training(id="t", request="t", trigger="errors", state="running", at=START + AT * HOUR, kind=kind,
                        window=window)  # fmt: skip
    settings = Settings(archive=ArchiveSettings(url=f"memory://{folder}"))
    return material_of(Declared(SPEC, folder), settings, training, (), "v1", folder, silent)


def hours(data: Dataset) -> tuple[int, int]:
    """The first and the last hour that is learned from, every one between them too."""
    first, last = (int(data.times[i] - START) // HOUR for i in (0, -1))
    assert last - first + 1 == len(data)
    return first, last


def test_an_alarms_candidate_learns_the_whole_window_and_its_refit_the_short_one(tmp_path: Path) -> None:
    """Before the rise a short window is only less to learn from; after it, it is what knows the change."""
    found = gathered(tmp_path, "alarm", schedule_terms(SPEC).short)
    then = AT - 2 * DAY
    assert (then - 10 * DAY, then - YOUNG) == hours(found.candidate)
    assert (AT - 3 * DAY, AT - YOUNG) == hours(found.full)
    assert (0, AT - YOUNG) == hours(found.judged)


@pytest.mark.parametrize("kind", ["clock", "follow_up", "manual"])
def test_without_an_alarm_both_learn_the_window_of_the_training(tmp_path: Path, kind: Kind) -> None:
    """It is the one that the schedule gave, whatever is declared."""
    found = gathered(tmp_path, kind, 5 * DAY * HOUR)
    then = AT - 2 * DAY
    assert (then - 5 * DAY, then - YOUNG) == hours(found.candidate)
    assert (AT - 5 * DAY, AT - YOUNG) == hours(found.full)
