"""What a training leaves for the monitor: panes, what came true, and how often the model erred on unseen records."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from services.monitor.observer.blocks import Blocks
from services.monitor.observer.items import Known
from services.retrainer.reference import LEAST, baselines_of
from services.retrainer.scores import figures
from shared.core.answering import Curve, Post, probabilities
from shared.core.baseline import baseline
from shared.core.bundle import REFERENCE
from shared.core.judging import judge_of
from shared.core.monitor_records import BLOCK
from shared.core.reference import Reference
from tests.support.bundles import Kit, make_kit
from tests.support.spec import make_spec

DAY = 86_400_000
CALIBRATED = Post(calibration=(Curve(a=0.7, b=0.2),))


def reference(kit: Kit) -> Reference:
    """Of a bundle."""
    return msgspec.json.decode((kit.folder / REFERENCE).read_bytes(), type=Reference)


def test_a_short_holdout_gives_no_baseline() -> None:
    """With fewer labels the detectors would often be wrong: then the first labels that come are learned from."""
    raw = np.tile([0.3, 0.7], (LEAST - 1, 1))
    assert baselines_of(make_spec(), Post(), raw, np.ones(LEAST - 1)) == ()


def test_a_profile_of_before_is_read() -> None:
    """A bundle that was made before there were panes has none, and says so by defaults."""
    old = b'{"n":3,"features":{"x":{"edges":[1.0],"counts":[1,2]}},"scores":{"counts":[3]},"base_rate":[0.5,0.5],"v":1}'
    found = msgspec.json.decode(old, type=Reference)
    assert (found.pane_ms, found.baselines, found.features["x"].panes, found.labels.counts) == (0, (), (), ())


@pytest.mark.parametrize("post", [Post(), CALIBRATED])
def test_errors_and_losses_are_judged_as_the_observer_does(post: Post) -> None:
    """The same predictions and labels through the observer's blocks give the same baselines; threshold included."""
    spec = make_spec(labels={"horizon": "6h", "classes": ["on_time", "late"], "positive": "late", "threshold": 0.3})
    rng = np.random.default_rng(11)
    late = rng.random(1_260)
    raw, y = np.stack([1 - late, late], axis=1), (rng.random(1_260) < late).astype(np.float64)
    scores = probabilities(post, raw)[:, 1].tolist()
    blocks, judge = Blocks(0, DAY), judge_of(spec)
    told = []
    for i, (score, came) in enumerate(zip(scores, y.tolist(), strict=True)):
        known = Known("v1", i, score, "late" if score >= 0.3 else "on_time")
        told.append(blocks.add(("v1", False), judge(known, ("on_time", "late")[int(came)]), i, i))
    full = [block for block in told if block is not None]
    expected = [baseline("errors", [b.errors for b in full], BLOCK), baseline("loss", [b.loss for b in full], BLOCK)]
    assert list(baselines_of(spec, post, raw, y)) == expected
    assert expected[0].labels == 1_250


def test_several_classes_and_numbers() -> None:
    """The mean error and loss are those of the holdout's figures: likeliest class, log-loss; tolerance, absolute."""
    rng = np.random.default_rng(12)
    raw = rng.dirichlet([1, 2, 3], size=2_000)
    y = np.array([rng.choice(3, p=row) for row in raw], dtype=np.float64)
    spec = make_spec("multiclass")
    errors, loss = baselines_of(spec, Post(), raw, y)
    said = figures(spec, y, raw)
    assert errors.mean == pytest.approx(1 - said["accuracy"])
    assert loss.mean == pytest.approx(said["log_loss"], abs=1e-5)

    numbers = make_spec("regression", monitoring={"within": 0.2})
    truth = rng.normal(10, 2, 2_000)
    values = truth * rng.normal(1, 0.2, 2_000)
    errors, loss = baselines_of(numbers, Post(), values, truth)
    assert errors.mean == pytest.approx(float(np.mean(np.abs(values - truth) > 0.2 * np.abs(truth))))
    assert loss.mean == pytest.approx(float(np.mean(np.abs(values - truth))), abs=1e-5)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_bundle_has_panes_of_all_that_is_watched(tmp_path: Path, task: str) -> None:
    """25 days of features and labels, and the holdout's days of scores, each over the bins that scorecards count."""
    found = reference(make_kit(tmp_path, task))
    assert DAY % found.pane_ms == 0
    panes = {name: one.panes for name, one in found.features.items()}
    assert {len(one) for one in panes.values()} == {len(found.labels.panes)}
    assert 40 <= len(found.labels.panes) <= 64
    assert 5 <= len(found.scores.panes) < len(found.labels.panes)
    for one in (*found.features.values(), found.scores, found.labels):
        assert {len(pane) for pane in one.panes} == {len(one.counts)}
        assert (np.sum(one.panes, axis=0) <= np.array(one.counts)).all()
    assert sum(found.labels.counts) == found.n
    if task == "regression":
        assert found.labels.edges == found.scores.edges
    else:
        assert found.labels.words == make_spec(task).labels.classes
        assert np.divide(found.labels.counts, found.n).tolist() == pytest.approx(found.base_rate)
    assert found.baselines == ()  # 120 labels in the holdout
