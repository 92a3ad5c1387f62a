"""The keys of monitoring and retraining: what they mean together, and what the analyst makes of them."""

import copy
from pathlib import Path
from typing import Any

import pytest

from services.monitor.analyst.terms import terms_of
from shared.adapters.pipeline_yaml import read_tree
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_file import Mistakes, decode
from shared.core.pipeline_loop_checks import cautions

DATA, PIPELINES = Path(__file__).parents[2] / "data", Path(__file__).parents[3] / "pipelines"
DAY = 86_400_000


def _decoded(**sections: Any) -> PipelineSpec:
    return decode({**_tree(DATA / "parcels"), **sections}, "pipeline.yaml")


def _tree(folder: Path) -> dict[str, Any]:
    tree = copy.deepcopy(read_tree(folder / "pipeline.yaml"))
    assert isinstance(tree, dict)
    return tree


@pytest.mark.parametrize(
    ("section", "keys", "where", "what"),
    [
        ("monitoring", {"window": "1d", "rolling": "6h"}, "monitoring.rolling", "6h is shorter than a window (1d)"),
        ("monitoring", {"rises": []}, "monitoring.rises", "are not rising shares"),
        ("monitoring", {"rises": [0.2, 0.1]}, "monitoring.rises", "are not rising shares"),
        ("monitoring", {"rises": [0, 0.1]}, "monitoring.rises", "are not rising shares"),
        ("monitoring", {"detector": "adwin", "rises": [0.1]}, "monitoring.rises", "has no meaning with adwin"),
        ("monitoring", {"detector": "ddm"}, "monitoring.detector", "is none of adwin, cusum"),
        ("monitoring", {"minimum": 0}, "monitoring.minimum", "0 is too small"),
        ("monitoring", {"drift": {"action": "ask"}}, "monitoring.drift.action", "is none of retrain, show"),
        ("retraining", {"cooldown": "0s"}, "retraining.cooldown", "would let every look ask"),
        ("retraining", {"every": "0s"}, "retraining.every", "would ask at every look"),
        ("retraining", {"alarm_period": "0s"}, "retraining.alarm_period", "would act on every alarm"),
        ("retraining", {"window": "0s"}, "retraining.window", "leaves nothing to learn from"),
        ("retraining", {"short": 0}, "retraining.short", "leaves nothing to learn from"),
        ("retraining", {"follow_ups": ["7d", "3d"]}, "retraining.follow_ups", "do not rise"),
        ("retraining", {"follow_ups": ["0s", "3d"]}, "retraining.follow_ups", "are not all after the alarm"),
        ("retraining", {"gate": {"holdout": "1d"}}, "retraining.gate.holdout", "1d has fewer than two blocks of 1d"),
        ("retraining", {"gate": {"block": "0s"}}, "retraining.gate.block", "must be longer than nothing"),
        ("retraining", {"gate": {"errors": 0}}, "retraining.gate.errors", "must be above 0"),
        ("retraining", {"limits": {"time": "0s"}}, "retraining.limits.time", "leaves no time to train"),
        ("retraining", {"labels": 0}, "retraining.labels", "0 is too small"),
        ("retraining", {"often": True}, "retraining.often", "is no known key"),
    ],
)
def test_each_mistake_is_told_with_its_path(section: str, keys: dict[str, Any], where: str, what: str) -> None:
    """One wrong key is one mistake, at its path and in words."""
    with pytest.raises(Mistakes) as caught:
        _decoded(**{section: keys})
    (mistake,) = caught.value.mistakes
    assert mistake.path == where
    assert what in str(mistake)


def test_a_goal_is_of_the_share_that_is_counted() -> None:
    """A goal within 15 % where errors up to 10 % count as right could never be told: it is a mistake."""
    tree = _tree(PIPELINES / "heavy_equipment")
    tree["monitoring"]["within"] = 0.1
    with pytest.raises(Mistakes, match=r"within_15 +is not counted, within_10 is; add `within: 0.15`"):
        decode(tree, "pipeline.yaml")


def test_nothing_need_be_written() -> None:
    """Without any key: seven windows, a weekly clock, a day between requests, features shown, 200 labels at least."""
    terms = terms_of(_decoded(monitoring={}))
    assert (terms.window, terms.rolling) == (DAY, 7 * DAY)
    assert (terms.policy.every, terms.policy.alarm_period, terms.policy.labels) == (7 * DAY, 7 * DAY, None)
    assert (terms.policy.cooldown, terms.detectors.cooldown) == (DAY, 7 * DAY)
    assert (terms.policy.drift, terms.policy.minimum, terms.detectors.detector) == ("show", 200, "cusum")


def test_every_key_reaches_the_analyst() -> None:
    """What is written is what detectors, feature monitor, faults and policy go by, in ms of event time."""
    monitoring = {
        "window": "6h", "rolling": "2d", "detector": "adwin", "minimum": 50, "drift": {"action": "retrain"},
        "goal": {"accuracy": 0.9},
    }  # fmt: skip
    spec = _decoded(monitoring=monitoring, retraining={"cooldown": "3d", "every": None, "labels": 10_000})
    terms = terms_of(spec)
    assert (terms.window, terms.rolling, terms.goal) == (DAY // 4, 2 * DAY, {"accuracy": 0.9})
    assert (terms.detectors.detector, terms.detectors.cooldown, terms.detectors.minimum) == ("adwin", 3 * DAY, 50)
    assert (terms.drift.minimum, terms.faults.minimum, terms.policy.minimum) == (50, 50, 50)
    assert (terms.policy.every, terms.policy.labels, terms.policy.drift) == (None, 10_000, "retrain")
    assert (terms.policy.settle, terms.policy.delay) == (DAY // 4, round(spec.labels.horizon * 1_000))


def test_rises_are_those_that_are_written() -> None:
    """A rare class needs smaller rises than five points."""
    assert terms_of(_decoded(monitoring={"rises": [0.002, 0.01]})).detectors.rises == (0.002, 0.01)


def test_a_clock_that_is_slow_for_its_window_is_unwise() -> None:
    """Slower than a quarter of the window is no mistake but a warning, with an eighth as the remedy."""
    slow = _decoded(retraining={"window": "40d", "every": "11d"})
    words = "retraining.every: 11d is more than a quarter of the window (40d); an eighth is usual"
    assert cautions(slow) == [f"{words}: write 5d, or a longer window"]
    for fine in ({"window": "40d", "every": "10d"}, {"every": None}, {"window": None}, {"data": "all", "every": "90d"}):
        assert cautions(_decoded(retraining=fine)) == []
