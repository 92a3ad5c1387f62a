"""Every metric that Tailrace exports: its name, kind, meaning, and the values that its labels can take.

One table, so that mypy rejects a mistyped name, dashboards and alerts have one place to look, and no text
from outside can become a label: a closed label takes the listed values, an open one a bounded shape.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol

from shared.core import reasons
from shared.core.metric_rows import Kind, Metric, counter, gauge, histogram
from shared.core.monitor_metrics import MONITOR_METRICS, MonitorMetricName
from shared.core.retraining_metrics import RETRAINING_METRICS, RetrainingMetricName
from shared.core.rollout_metrics import ROLLOUT_METRICS, RolloutMetricName

Outcome = Literal["prediction", "feature", "routed", "folded", "shadowed", "archived"]
MetricName = Literal[
    MonitorMetricName,
    RetrainingMetricName,
    RolloutMetricName,
    "tailrace_records_total",
    "tailrace_dead_letters_total",
    "tailrace_batches_total",
    "tailrace_batch_records",
    "tailrace_batch_seconds",
    "tailrace_batch_limit_records",
    "tailrace_transactions_total",
    "tailrace_rebalances_total",
    "tailrace_controls_total",
    "tailrace_partitions_assigned",
    "tailrace_partitions_stopped",
    "tailrace_high_watermark",
    "tailrace_last_stable_offset",
    "tailrace_committed_offset",
    "tailrace_event_time_seconds",
    "tailrace_latency_seconds",
    "tailrace_loop_turn_age_seconds",
    "tailrace_worker_restarts_total",
    "tailrace_lookups_total",
    "tailrace_lookup_seconds",
    "tailrace_breaker_state",
    "tailrace_feature_updates_total",
    "tailrace_aggregate_events_total",
    "tailrace_aggregate_records",
    "tailrace_labels_total",
    "tailrace_journal_entries_total",
    "tailrace_archive_writes_total",
    "tailrace_monitor_watermark_seconds",
    "tailrace_monitor_ids",
    "tailrace_predictions_total",
    "tailrace_version_rejects_total",
    "tailrace_shadow_observations_total",
    "tailrace_flagged_total",
    "tailrace_epoch_in_force",
    "tailrace_model_info",
    "tailrace_model_loads_total",
    "tailrace_model_refusals_total",
    "tailrace_trace_spans_total",
    "tailrace_trace_contexts_malformed_total",
    "tailrace_build_info",
]

MAX_SERIES: Final = 1_000
"""Series that one metric may have; whatever comes after is counted under `other`."""
MAX_CODES: Final = 64
"""Distinct values of a `reason` label that one metric may have."""


class Metrics(Protocol):
    """Where figures go. Calls are cheap, and never wait or fail for want of a reader.

    `labels` are exactly those of the table, in any order; anything else is a bug and raises ValueError.
    """

    def count(self, name: MetricName, value: float = 1.0, **labels: str) -> None:
        """Add `value` (>= 0) to a counter."""

    def gauge(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge. NaN withdraws the series: a lost partition is unknown, not at its last value."""

    def observe(self, name: MetricName, value: float, **labels: str) -> None:
        """Put one value into a histogram."""


class NullMetrics:
    """Metrics that nobody reads."""

    def count(self, name: MetricName, value: float = 1.0, **labels: str) -> None:
        """Do nothing."""

    def gauge(self, name: MetricName, value: float, **labels: str) -> None:
        """Do nothing."""

    def observe(self, name: MetricName, value: float, **labels: str) -> None:
        """Do nothing."""


def ordered(name: MetricName, kind: Kind, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The cleaned label values in the table's order.

    Raises:
        ValueError: the metric is of another kind, or the labels are not those of the table.
    """
    metric = METRICS[name]
    if metric.kind != kind:
        raise ValueError(f"{name} is a {metric.kind}, not a {kind}")
    if len(labels) != len(metric.labels) or any(label not in labels for label in metric.labels):
        raise ValueError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
    return tuple(metric.clean(label, labels[label]) for label in metric.labels)


_SIZES = (1.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0)
_STEPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Finer between 5 and 50 ms, where the promise on latency lies; up to 10 minutes, where recovery shows.
_LATENCIES = (
    *(0.002, 0.004, 0.006, 0.008, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0),
)
_LOOKUPS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)

METRICS: Final[Mapping[MetricName, Metric]] = MappingProxyType(
    {
        **MONITOR_METRICS,  # type: ignore[dict-item] # keys of mappings are invariant; a test holds names and rows together
        **RETRAINING_METRICS,  # type: ignore[dict-item] # the same
        **ROLLOUT_METRICS,  # type: ignore[dict-item] # the same
        "tailrace_records_total": counter(
            "Records whose outcome was committed.",
            "pipeline",
            outcome="prediction feature routed folded shadowed archived dead_letter control skipped",
        ),
        "tailrace_dead_letters_total": counter(
            "Dead letters committed, by reason.", "pipeline", reason=" ".join(sorted(reasons.ALL))
        ),
        "tailrace_batches_total": counter("Batches that were read and not empty."),
        "tailrace_batch_records": histogram("Records in a batch.", _SIZES),
        "tailrace_batch_seconds": histogram("Time that each stage of a batch took.", _STEPS, stage="step transaction"),
        "tailrace_batch_limit_records": gauge("Largest batch that the pacer allows now."),
        "tailrace_transactions_total": counter("How transactions ended.", result="committed aborted fenced indefinite"),
        "tailrace_rebalances_total": counter("Changes of the assignment.", event="assigned revoked lost"),
        "tailrace_controls_total": counter(
            "Control records met in the input.", result="applied ignored forged revoked"
        ),
        "tailrace_partitions_assigned": gauge("Partitions that this worker owns."),
        "tailrace_partitions_stopped": gauge("Owned partitions that are stopped and need an operator."),
        "tailrace_high_watermark": gauge("Offset after the last record of the partition.", "partition"),
        "tailrace_last_stable_offset": gauge(
            "Offset up to which read_committed readers see; below the high watermark while a transaction is open.",
            "partition",
        ),
        "tailrace_committed_offset": gauge("Offset that this worker committed last.", "partition"),
        "tailrace_event_time_seconds": gauge(
            "Event time of the partition's last scored record, in seconds since 1970 UTC.", "partition"
        ),
        "tailrace_latency_seconds": histogram("Time from a record's append to the commit of its outcome.", _LATENCIES),
        "tailrace_loop_turn_age_seconds": gauge("Time since the loop last turned."),
        "tailrace_worker_restarts_total": counter(
            "Workers that the supervisor started again.", reason="exit signal watchdog fenced memory unhealthy"
        ),
        "tailrace_lookups_total": counter(
            "Feature look-ups, one a record and group.",
            result="hit local_hit miss stale wrong_entity wrong_schema corrupt timeout down",
        ),
        "tailrace_lookup_seconds": histogram("Round trips to the feature cache.", _LOOKUPS),
        "tailrace_breaker_state": gauge("Breaker before the feature cache: 0 closed, 1 half open, 2 open."),
        "tailrace_feature_updates_total": counter(
            "Updates that the feature writer met.", result="newer older duplicate invalid"
        ),
        "tailrace_aggregate_events_total": counter(
            "What became of records in entity aggregates, one a record and group; `gone`: needed, but deleted.",
            result="added repeated late unknown no_entity gone",
        ),
        "tailrace_aggregate_records": gauge("Records that aggregates hold in memory."),
        "tailrace_labels_total": counter(
            "Labels by their last status; one that waits for its observation has none yet.",
            status="matched corrected late orphaned duplicate conflicting unsampled",
        ),
        "tailrace_archive_writes_total": counter(
            "Files of the archive: ranges and tails written, entries that were no outcomes, writes that failed.",
            what="range tail invalid failed",
        ),
        "tailrace_journal_entries_total": counter(
            "Entries of the journal that are no labels, and what was peculiar about observations.",
            entry="observations shadows stray repeated expired ticks invalid",
        ),
        "tailrace_monitor_watermark_seconds": gauge(
            "How far event time has come in a partition of the journal, in seconds since 1970 UTC.", "partition"
        ),
        "tailrace_monitor_ids": gauge("Records that the observer remembers.", "partition"),
        "tailrace_predictions_total": counter("Predictions committed, by model version.", "version"),
        "tailrace_version_rejects_total": counter(
            "Records that could be read, and of which a model version made a dead letter, or a shadow nothing.",
            "version",
        ),
        "tailrace_shadow_observations_total": counter(
            "What shadows wrote beside the champion's observations, by model version.", "version"
        ),
        "tailrace_flagged_total": counter(
            "Predictions committed with a flag.", flag="degraded stale out_of_range unseen first canary"
        ),
        "tailrace_epoch_in_force": gauge("Rollout epoch that scores the partition.", "partition"),
        "tailrace_model_info": gauge("Models that are loaded; always 1.", "version", "digest", "runtime"),
        "tailrace_model_loads_total": counter("Attempts to load a model.", result="loaded refused failed"),
        "tailrace_model_refusals_total": counter("Models that were refused, by the check that failed.", "reason"),
        "tailrace_trace_spans_total": counter("Spans handed to the exporter.", result="exported failed"),
        "tailrace_trace_contexts_malformed_total": counter("Trace contexts of records that were not W3C."),
        "tailrace_build_info": gauge(
            "What runs here; always 1. Join on it for the pipeline of the other series.",
            *("service", "pipeline", "version", "python"),
        ),
    }
)
