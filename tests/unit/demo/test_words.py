"""Predictions and figures in words that fit the task."""

from typing import Any

import msgspec
import pytest

from shared.core.pipeline import MonitoringSpec, PipelineSpec
from tailrace.demo.summary import Compared, Coverage, Monitored, Month, Summary, conclusion
from tailrace.demo.words import answer, last_line, shown, training
from tests.support.spec import make_spec


def minutes() -> PipelineSpec:
    """A regression with a unit."""
    spec = make_spec("regression")
    return msgspec.structs.replace(spec, labels=msgspec.structs.replace(spec.labels, unit="min"))


@pytest.mark.parametrize(
    ("spec", "made", "expected"),
    [
        (make_spec(), {}, "?"),
        (make_spec(), {"score": 0.234, "label": "on_time"}, "p(late) 0.23 -> on_time"),
        (make_spec("multiclass"), {"score": 0.871, "label": "early"}, "early (0.87)"),
        (make_spec("regression"), {"score": 12.345, "label": 12.345}, "12.35"),
        (minutes(), {"score": 12, "label": 12}, "12 min"),
        (minutes(), {"score": 1234.5, "interval": [8.1, 17]}, "1,234 min [8.1 to 17]"),
    ],
)
def test_answers(spec: PipelineSpec, made: dict[str, Any], expected: str) -> None:
    """A probability of the positive class, a class with its own, a value with unit and interval."""
    assert answer(spec, made) == expected


def test_the_last_line_says_ages_and_flags() -> None:
    """Which record, what was answered by which version, how old its features were, and what is odd about it."""
    ages = {"weather": 600.0, "market": 200_000.0, "usage": 20_000.0, "zone": None}
    made = {"id": "p1", "score": 0.5, "label": "late", "version": "3", "ages": ages, "flags": ["degraded"]}
    assert last_line(make_spec(), {}) == ""
    assert last_line(make_spec(), made) == (
        "  last: p1  p(late) 0.50 -> late  version 3  weather 10 min old, market 2 days old, usage 6 h old,"
        " zone unknown  degraded"
    )


def test_figures_are_those_that_are_aimed_at() -> None:
    """Goals first, else what is usual for the task; a training says the first one that is known."""
    aimed = msgspec.structs.replace(make_spec(), monitoring=MonitoringSpec(goal={"accuracy": 0.9}))
    assert [shown(aimed), shown(make_spec("multiclass"))] == [("accuracy",), ("macro_f1", "accuracy")]
    assert training(aimed, {"auc": 0.8, "accuracy": 0.91}) == "accuracy 0.910 on the last 25%"
    assert training(aimed, {"auc": 0.8}) == "AUC 0.800 on the last 25%"
    assert training(aimed, {}) == ""


def summary(**changes: Any) -> Summary:
    """What a demo found."""
    found = Summary(
        ok=True,
        pipeline="parcels",
        records=10,
        predictions=9,
        dead_letters={"empty": 1},
        lost=0,
        doubled=0,
        stray=0,
        degraded=0,
        latency_ms={"p50": 1.0, "p95": 2.0, "p99": 3.0},
        restarts=0,
        recovery_s=None,
        records_per_s=100.0,
        versions={"1": 9},
        model={},
        quality={},
        labelled=0,
        intervals=None,
        monitor=None,
        wall_s=1.0,
        seed=7,
    )
    return msgspec.structs.replace(found, **changes)


def test_a_history_without_labels_says_so() -> None:
    """Nothing is claimed of predictions that nothing came true of."""
    assert conclusion(summary()).splitlines()[-1] == "  quality: the history has no labels for these records"


def test_the_four_answers_stand_beside_each_other() -> None:
    """Linear, goal, ours, best possible; what is not known is left out."""
    found = {"rmse": Compared(linear=12.5, goal=8, ours=7.25, best=6), "within_15": Compared(ours=0.5)}
    said = summary(quality=found, labelled=9_000, intervals=Coverage(asked=0.9, held=0.912, mean_width=25))
    assert conclusion(said, "min").splitlines()[3:] == [
        "  quality on the 9,000 scored records that have a label:",
        "    RMSE       linear 12.50 · goal 8.00 · ours 7.25 · best possible 6.00  (lower is better)",
        "    within 15  ours 0.5000  (higher is better)",
        "    intervals of 90% held 91.2% of the truths, 25 min wide on average",
    ]


def test_the_monitor_is_told_by_month() -> None:
    """A figure with its interval, the share that has labels, what is not well, what was asked for; or unknown."""
    months = {
        "Feb 2013": Month(
            predictions=1_000, labelled=900, figures={"auc": (0.7, 0.65, 0.75), "log_loss": (0.5, None, None)}
        ),
        "Mar 2013": Month(predictions=10, labelled=0, figures={"auc": (None, None, None)}),
    }
    found = Monitored(
        months=months,
        standing={"rise_of_loss": ("alarm", "mean loss 0.6")},
        requests={"schedule": 2, "errors": 1},
        alarms=["04 Mar, errors: more of them"],
        report="report.html",
    )
    assert conclusion(summary(monitor=found)).splitlines()[-7:] == [
        "  the monitor, by month of event time:",
        "    Feb 2013  AUC 0.7 [0.65, 0.75]  log loss 0.5  of 1,000 predictions, 90% labelled",
        "    Mar 2013  AUC unknown  of 10 predictions, 0% labelled",
        "    rise of loss; alarm; mean loss 0.6",
        "    retraining was asked for 3 times: schedule 2, errors 1",
        "      04 Mar, errors: more of them",
        "    report: report.html",
    ]
