"""Metrics of the analyst: how good predictions are, what moved, what is said of it, and how it works itself."""

from collections.abc import Mapping
from typing import Final, Literal

from shared.core.metric_rows import Metric, counter, gauge, histogram

MonitorMetricName = Literal[
    "tailrace_quality",
    "tailrace_estimate",
    "tailrace_label_coverage_ratio",
    "tailrace_label_delay_seconds",
    "tailrace_labels_seen",
    "tailrace_account_labels",
    "tailrace_drift_psi",
    "tailrace_drift_distance",
    "tailrace_drift_score",
    "tailrace_findings",
    "tailrace_verdict_level",
    "tailrace_alarms_total",
    "tailrace_retrain_requests_total",
    "tailrace_retrain_last_request_seconds",
    "tailrace_analyst_active",
    "tailrace_analyst_event_time_seconds",
    "tailrace_analyst_lag_records",
    "tailrace_analyst_turns_total",
    "tailrace_analyst_turn_seconds",
    "tailrace_analyst_ignored_total",
]
_ROLES = "champion shadow"
_TRIGGERS = (
    "quality errors loss features estimate missing unseen out_of_range label_outage schema unit_jump conflicts flipped "
    "clock schedule labels manual"
)
_TURNS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

MONITOR_METRICS: Final[Mapping[MonitorMetricName, Metric]] = {
    "tailrace_quality": gauge(
        "Rolling quality as known now, with the limits of its 95 % interval; what is unknown is absent.",
        "version", "figure", role=_ROLES, bound="value low high",
    ),
    "tailrace_estimate": gauge(
        "Quality that is expected without labels, if the concept has not changed, with its 95 % interval.",
        "version", "figure", role=_ROLES, bound="value low high",
    ),
    "tailrace_label_coverage_ratio": gauge(
        "Share of rolling quality's observations that have a label.", "version", role=_ROLES
    ),
    "tailrace_label_delay_seconds": gauge(
        "Quantiles of the delay of the labels that came.", "version", role=_ROLES, share="0.5 0.9 0.99"
    ),
    "tailrace_labels_seen": gauge("Labels that a version has had.", "version", role=_ROLES),
    "tailrace_account_labels": gauge(
        "Labels by what became of them, over the accounts that are kept; their sum is the labels read.",
        status="matched corrected late held orphaned duplicate conflicting unsampled",
    ),
    "tailrace_drift_psi": gauge(
        "Population stability index to the reference, by feature; `score` and `label` too.", "version", "feature"
    ),
    "tailrace_drift_distance": gauge(
        "Kolmogorov-Smirnov distance to the reference (words: total variation), by feature.", "version", "feature"
    ),
    "tailrace_drift_score": gauge(
        "How far a feature has moved, in units of the threshold that is usual for it.", "version", "feature"
    ),
    "tailrace_findings": gauge(
        "Figures and faults of the last turn, by level.", "version", trigger=_TRIGGERS, level="ok warn alarm unknown"
    ),
    "tailrace_verdict_level": gauge(
        "What is said of a figure or fault: 0 ok, 1 warn, 2 alarm.", "version", "metric"
    ),
    "tailrace_alarms_total": counter("Verdicts that rose to an alarm.", trigger=_TRIGGERS),
    "tailrace_retrain_requests_total": counter("Requests to train anew, by what asked first.", trigger=_TRIGGERS),
    "tailrace_retrain_last_request_seconds": gauge(
        "Event time of the last request to train anew, in seconds since 1970 UTC."
    ),
    "tailrace_analyst_active": gauge("Whether this analyst works (1), or waits for another one to go (0)."),
    "tailrace_analyst_event_time_seconds": gauge(
        "How far event time has come in every partition, in seconds since 1970 UTC.", "version", role=_ROLES
    ),
    "tailrace_analyst_lag_records": gauge("Records unread as the last turn began.", topic="scorecards errors asks"),
    "tailrace_analyst_turns_total": counter("Turns: looks at all versions, and a decision.", result="ok failed"),
    "tailrace_analyst_turn_seconds": histogram("Time that a turn took.", _TURNS),
    "tailrace_analyst_ignored_total": counter("Values that could not be read.", topic="scorecards errors asks"),
}  # fmt: skip
