"""Metrics of the retrainer: trainings and how they ended, the gate's answers, requests that were none."""

from collections.abc import Mapping
from typing import Final, Literal

from shared.core.metric_rows import Metric, counter, gauge, histogram

RetrainingMetricName = Literal[
    "tailrace_trainings_total",
    "tailrace_training_seconds",
    "tailrace_training_running",
    "tailrace_gate_total",
    "tailrace_requests_refused_total",
    "tailrace_retrainer_active",
    "tailrace_retrainer_event_time_seconds",
]
_SECONDS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0)

RETRAINING_METRICS: Final[Mapping[RetrainingMetricName, Metric]] = {
    "tailrace_trainings_total": counter(
        "Trainings by how they ended; `declined` are requests that got none.", result="done refused failed declined"
    ),
    "tailrace_training_seconds": histogram("Time from the start of a training to its end.", _SECONDS),
    "tailrace_training_running": gauge("Whether a training is in hand (1) or not (0)."),
    "tailrace_gate_total": counter(
        "The gate's answers; `not_judged` passed without enough labels to compare.",
        decision="passed refused not_judged",
    ),
    "tailrace_requests_refused_total": counter("Values on `retrain` that were no requests, by reason.", "reason"),
    "tailrace_retrainer_active": gauge("Whether this retrainer works (1), or waits for another one to go (0)."),
    "tailrace_retrainer_event_time_seconds": gauge(
        "The largest event time that requests and verdicts have told, in seconds since 1970 UTC."
    ),
}  # fmt: skip
