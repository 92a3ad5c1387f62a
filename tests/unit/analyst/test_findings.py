"""From figures, detectors and features to findings: what is said, and that turned-over labels are no worse model."""

import numpy as np
import pytest

from services.monitor.analyst.alarms import add, watch
from services.monitor.analyst.calibration import Drift
from services.monitor.analyst.cusum import Terms
from services.monitor.analyst.estimate import Expected
from services.monitor.analyst.findings import of_estimate, of_features, of_quality
from services.monitor.analyst.panes import panes
from services.monitor.analyst.policy import step
from services.monitor.analyst.policy_state import Evidence, PolicyTerms, State
from services.monitor.analyst.quality import quality
from services.monitor.analyst.rises import of_errors
from shared.core.baseline import UNIT, baseline
from shared.core.monitor_records import ErrorBlock, RetrainRequest, Sums
from tests.support.cards import binary, card

HOUR, WINDOW = 3_600_000, (0, 86_400_000)


def _levels(n: int, goal: dict[str, float], reference: dict[str, float]) -> dict[str, str | None]:
    """Of n labels, three quarters of them right."""
    sums = binary([0.75] * n, [i % 4 != 0 for i in range(n)])
    found = of_quality(quality(panes([card(sums)]), "binary", 2), goal, reference)
    return {one.metric: one.level for one in found}


def test_no_labels_are_unknown_in_words() -> None:
    """Every figure of a window without labels is a finding without a level, and says why."""
    found = of_quality(quality(panes([card(Sums(n=900))]), "binary", 2), {"accuracy": 0.9}, {})
    assert {(one.level, one.value, one.words) for one in found} == {(None, None, "unknown: no label has come")}


def test_few_labels_are_unknown() -> None:
    """Of 100 labels nothing is said, however bad."""
    assert set(_levels(100, {"accuracy": 0.99}, {}).values()) == {None}


@pytest.mark.parametrize(
    ("aim", "by_goal", "by_holdout"), [(0.85, "alarm", "warn"), (0.755, "warn", "ok"), (0.7, "ok", "ok")]
)
def test_a_goal_alarms_and_a_holdout_warns(aim: float, by_goal: str, by_holdout: str) -> None:
    """An interval wholly below a goal alarms, a value below it warns; beside the holdout only the former, and warns."""
    assert _levels(2_000, {"accuracy": aim}, {})["accuracy"] == by_goal
    assert _levels(2_000, {}, {"accuracy": aim})["accuracy"] == by_holdout


def test_smaller_is_better_where_it_is() -> None:
    """A log-loss above its most alarms, one below is in order."""
    assert _levels(2_000, {"log_loss": 0.3}, {})["log_loss"] == "alarm"
    assert _levels(2_000, {"log_loss": 0.9}, {})["log_loss"] == "ok"


def test_an_estimate_warns_at_most() -> None:
    """Even wholly below the goal it only warns, with its condition; without an interval it is unknown."""
    found = of_estimate(Expected("accuracy", 5_000, 0.6, 0.55, 0.65, 0.02), WINDOW, 0.8)
    assert found.level == "warn"
    assert "if the concept has not changed" in found.words
    assert of_estimate(Expected("accuracy", 5_000, 0.6), WINDOW, 0.8).level is None


def test_features_name_the_most_moved() -> None:
    """Those beyond the threshold by name and size; in order again only well below it; unknown without any."""
    drifts = [Drift("temp", 5_000, 0.3, 0.2, 1.4), Drift("wind", 5_000, 0.2, 0.1, 1.1), Drift("hour", 5_000, 0, 0, 0.1)]
    found = of_features(drifts, WINDOW, before=False)
    assert (found.level, found.value) == ("alarm", 1.4)
    assert "temp" in found.words
    assert "hour" not in found.words
    assert [of_features([Drift("x", 9, 0, 0, 0.9)], WINDOW, before=b).level for b in (False, True)] == ["ok", "alarm"]
    assert of_features([], WINDOW, before=True).level is None


def _looked(shares: list[tuple[float, int]], seed: int, terms: Terms) -> list[RetrainRequest]:
    """Requests of an hourly look at blocks with these shares of errors; the change may be in the middle of a block."""
    rng = np.random.default_rng(seed)
    errors = np.concatenate([rng.random(n) < share for share, n in shares])
    known = rng.random((400, 25)) < shares[0][0]
    references = [
        baseline("errors", known.sum(axis=1).tolist(), 25),
        baseline("loss", ((known * 2 + rng.random(known.shape) / 2) * UNIT).sum(axis=1).astype(int).tolist(), 25),
    ]
    watched, state, requests = watch(terms, references), State(), list[RetrainRequest]()
    for i in range(len(errors) // 25):
        block = errors[i * 25 : i * 25 + 25]
        loss = int(((block * 2 + rng.random(25) / 2) * UNIT).sum())
        watched = add(watched, [ErrorBlock(
            version="v1", partition=0, number=i, opened=i * HOUR, closed=(i + 1) * HOUR, n=25,
            errors=int(block.sum()), loss=loss,
        )])  # fmt: skip
        now = (i + 1) * HOUR
        found = tuple(of_errors(watched, now, state.now, binary=True))
        look = Evidence(pipeline="p", version="v1", now=now, findings=found, labels=(i + 1) * 25)
        decided = step(state, look, PolicyTerms(every=None))
        requests += [decided.request] if decided.request is not None else []
        state = decided.state
    return requests


@pytest.mark.parametrize("wrong", [0.05, 0.12, 0.23])
@pytest.mark.parametrize("length", [300, 600])
def test_labels_turned_over_for_a_while_ask_for_nothing(wrong: float, length: int) -> None:
    """B35: labels that say the opposite, wherever in a block it begins: an alarm of labels, and no request."""
    print("seeds 0 to 9")
    for seed in range(10):
        shares = [(wrong, 1_000 + seed), (1 - wrong, length), (wrong, 2_000)]
        assert _looked(shares, seed, Terms()) == []


def test_a_short_burst_hardly_ever_asks() -> None:
    """Sixty wrong labels alarm, but those after them do not confirm it: at most one request in twenty bursts."""
    print("seeds 0 to 19")
    bursts = [(0.05, 1_000), (0.95, 60), (0.05, 2_000)]
    assert sum(len(_looked(bursts, seed, Terms())) for seed in range(20)) <= 1


def test_a_worse_model_asks() -> None:
    """A concept that changes (6 % of errors become 54 %, or 20 % become 36 %) asks within 1,000 labels of it."""
    print("seeds 0 to 9")
    for before, after in ((0.06, 0.54), (0.2, 0.36)):
        for seed in range(10):
            requests = _looked([(before, 1_000 + seed), (after, 1_500)], seed, Terms())
            assert [one.trigger in ("errors", "loss") for one in requests] == [True]
            assert 1_000 <= requests[0].at / HOUR * 25 <= 2_000


def test_adwin_asks_as_well() -> None:
    """The detector without a reference of its own alarms and asks like the other."""
    requests = _looked([(0.06, 2_000), (0.5, 1_500)], 1, Terms(detector="adwin"))
    assert [one.trigger for one in requests] == ["errors"]


def test_before_the_first_block_nothing_is_found() -> None:
    """No labels, no finding of a detector: not even that all is well."""
    assert of_errors(watch(Terms()), 5, 0, binary=True) == []
