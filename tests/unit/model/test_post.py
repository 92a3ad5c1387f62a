"""Calibration and intervals as training learns them: refusals first, then their promises and plain formulas."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from services.retrainer.gate import DataRefused
from services.retrainer.post import conformal, learn_post
from services.retrainer.scores import calibration_error
from shared.core.answering import Post, bounds, logit, probabilities
from shared.core.answering_checks import flaw
from shared.core.pipeline import PipelineSpec
from tests.support.spec import make_spec, make_tree

SEED = 20_261


def spec_with(task: str, **model: object) -> PipelineSpec:
    """The parcels with some keys of the model changed."""
    return make_spec(task, model={**make_tree(task)["model"], **model})


def test_an_interval_on_ten_records_is_refused() -> None:
    """Ten errors cannot show what one in twenty exceeds; nineteen are the fewest for 90 %."""
    rng = np.random.default_rng(SEED)
    spec = spec_with("regression", interval={"coverage": 0.9})
    with pytest.raises(DataRefused, match=r"coverage 0\.9 needs 19 records that the model had not seen, there are 10"):
        learn_post(spec, rng.normal(size=10), rng.normal(size=10))
    with pytest.raises(DataRefused, match=r"needs 19 .* there are 18"):
        learn_post(spec, rng.normal(size=18), rng.normal(size=18))
    assert learn_post(spec, rng.normal(size=19), rng.normal(size=19)).interval is not None


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
@pytest.mark.parametrize(("task", "absent"), [("binary", "late"), ("multiclass", "early")])
def test_a_class_that_calibration_never_saw_is_refused(kind: str, task: str, absent: str) -> None:
    """A curve of a class without records would be made up: it is refused, and the class is named."""
    spec = spec_with(task, calibration=kind)
    k = len(spec.labels.classes)
    code = spec.labels.classes.index(absent)
    y = np.array([c for c in range(k) if c != code] * 40, dtype=float)
    with pytest.raises(DataRefused, match=f"calibration learns from {len(y)} records, 0 of them of class {absent}"):
        learn_post(spec, y, np.full((len(y), k), 1 / k))


@pytest.mark.parametrize(("n", "coverage"), [(19, 0.9), (100, 0.9), (57, 0.8), (200, 0.95)])
def test_the_errors_chosen_are_those_of_the_formula(n: int, coverage: float) -> None:
    """One bin: the ceil((n + 1)(1 - alpha / 2))-th smallest error, and as many from the other end, by counting."""
    print(f"seed {SEED}")
    errors = np.random.default_rng(SEED).permutation(n).astype(float)  # error i is the (i + 1)-th smallest
    found = conformal(np.zeros(n), errors, coverage, 1)
    rank = next(k for k in range(n + 1) if k >= (n + 1) * (1 - (1 - coverage) / 2) - 1e-9)
    assert (found.low, found.high, found.edges) == ((float(n - rank),), (float(rank - 1),), ())


@pytest.mark.parametrize("bins", [1, 5])
def test_coverage_is_what_was_asked_for(bins: int) -> None:
    """Over 400 draws of exchangeable errors whose spread grows with the value, truths are covered as often as promised.

    The promise is about the next record, over draws of the calibration as well; so one new record a draw is counted,
    and the count lies within a binomial's 99.99 %.
    """
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    coverage, inside, draws = 0.8, 0, 400
    for _ in range(draws):
        value = rng.uniform(0, 10, size=201)
        truth = value + rng.exponential(1 + value, size=201) - 1
        interval = conformal(value[:200], (truth - value)[:200], coverage, bins)
        band = bounds(Post(interval=interval), value[200:])
        assert band is not None
        inside += int(band[0][0] <= truth[200] <= band[1][0])
    low, high = binom.ppf(0.00005, draws, coverage), binom.ppf(0.99995, draws, coverage) + draws * 0.02
    assert low <= inside <= high


def test_bins_follow_the_spread_of_their_values() -> None:
    """Where errors grow with the value, intervals of high values are wider; all bins cover alike."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    value = rng.uniform(0, 10, size=20_000)
    truth = value + rng.normal(size=20_000) * (0.1 + value)
    interval = conformal(value[:10_000], (truth - value)[:10_000], 0.9, 5)
    widths = np.array(interval.high) - np.array(interval.low)
    assert (np.diff(widths) > 0).all()
    band = bounds(Post(interval=interval), value[10_000:])
    assert band is not None
    held = (band[0] <= truth[10_000:]) & (truth[10_000:] <= band[1])
    for i in range(5):
        part = (value[10_000:] >= 2 * i) & (value[10_000:] < 2 * i + 2)
        assert held[part].mean() == pytest.approx(0.9, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(st.integers(19, 120), st.integers(1, 30), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_no_bin_is_too_small(n: int, bins: int, distinct: int, seed: int) -> None:
    """However many bins are asked for and however few values there are, each bin has its 19 and the whole is sound."""
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, distinct, size=n).astype(float)
    interval = conformal(predicted, rng.normal(size=n), 0.9, bins)
    assert flaw(Post(interval=interval), 0) == ""
    counts = np.bincount(np.searchsorted(interval.edges, predicted, side="left"), minlength=len(interval.low))
    assert counts.min() >= 19
    assert counts.sum() == n


def test_the_interval_is_learned_in_the_models_scale() -> None:
    """With log1p the errors are of logarithms, so a factor between truth and value is the same factor everywhere."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    spec = spec_with("regression", target="log1p", interval={"coverage": 0.9})
    raw = rng.uniform(1, 10, size=2_000)
    y = np.expm1(raw + rng.normal(size=2_000) * 0.2)
    post = learn_post(spec, y, raw)
    assert post.interval is not None
    assert post.target == "log1p"
    assert post.interval.high[0] == pytest.approx(0.2 * 1.645, abs=0.03)
    band = bounds(post, np.array([8.0]))
    assert band is not None
    assert band[1][0] == pytest.approx(math.expm1(8.0 + post.interval.high[0]))


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_calibration_mends_probabilities_that_say_too_much(kind: str, task: str) -> None:
    """Of a model whose log odds are three times too large, new records' calibration error falls to less than half."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    spec = spec_with(task, calibration=kind)
    k = len(spec.labels.classes)
    truth = rng.dirichlet(np.ones(k), size=8_000)
    y = np.array([rng.choice(k, p=row) for row in truth], dtype=float)
    raw = truth**3 / (truth**3).sum(axis=1, keepdims=True)
    post = learn_post(spec, y[:4_000], raw[:4_000])
    assert flaw(post, k) == ""
    mended = probabilities(post, raw[4_000:])
    assert mended.sum(axis=1) == pytest.approx(np.ones(4_000))
    if task == "binary":
        before, after = (calibration_error(p[:, 1], y[4_000:] == 1) for p in (raw[4_000:], mended))
    else:
        before, after = (calibration_error(p.max(axis=1), p.argmax(axis=1) == y[4_000:]) for p in (raw[4_000:], mended))
    print(before, after)
    assert after < before / 2.5


def test_the_sigmoid_is_the_maximum_of_its_likelihood() -> None:
    """No other slope or offset near it has a higher likelihood of Platt's softened targets."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    p = rng.random(500)
    y = (rng.random(500) < p**2).astype(float)
    raw = np.stack([1 - p, p], axis=1)
    (curve,) = learn_post(spec_with("binary", calibration="sigmoid"), y, raw).calibration
    yes, no = y.sum(), len(y) - y.sum()
    aim = np.where(y == 1, (yes + 1) / (yes + 2), 1 / (no + 2))

    def loss(a: float, b: float) -> float:
        q = 1 / (1 + np.exp(-(a * logit(p) + b)))
        return float(-(aim * np.log(q) + (1 - aim) * np.log(1 - q)).sum())

    best = loss(curve.a, curve.b)
    assert all(loss(curve.a + da, curve.b + db) > best for da, db in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)))


def test_a_model_that_is_wrong_way_round_is_not_turned() -> None:
    """A falling sigmoid would change the order: the answer is then the share of all, and isotonic is flat."""
    p = np.linspace(0.05, 0.95, 200)
    y = (p < 0.5).astype(float)
    raw = np.stack([1 - p, p], axis=1)
    for kind in ("sigmoid", "isotonic"):
        post = learn_post(spec_with("binary", calibration=kind), y, raw)
        assert probabilities(post, raw)[:, 1] == pytest.approx(np.full(200, y.mean()), abs=0.01)
        assert msgspec.json.decode(msgspec.json.encode(post), type=Post) == post
