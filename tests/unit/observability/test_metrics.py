"""The table of metrics and its two implementations."""

import re
import sys
from types import FrameType
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from shared.adapters.prometheus import PrometheusMetrics, render
from shared.core.metrics import MAX_CODES, MAX_SERIES, METRICS, MetricName, NullMetrics
from shared.testing.metrics import RecordingMetrics


def rendered() -> tuple[PrometheusMetrics, CollectorRegistry]:
    """A fresh adapter and its registry."""
    registry = CollectorRegistry()
    return PrometheusMetrics(registry), registry


def series_of(registry: CollectorRegistry, name: str) -> list[str]:
    """The lines of one metric, comments left out."""
    lines = render(registry).decode().splitlines()
    return [line for line in lines if re.match(rf"{name}(_bucket|_sum|_count)?[{{ ]", line)]


def test_every_name_has_a_row() -> None:
    """A name that mypy accepts exists at run time, and the reverse."""
    assert set(get_args(MetricName)) == set(METRICS)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_names_follow_the_conventions(name: MetricName) -> None:
    """Prefix, snake case, `_total` on counters and only there, histograms with rising buckets."""
    metric = METRICS[name]
    assert re.fullmatch(r"tailrace_[a-z0-9]+(_[a-z0-9]+)*", name)
    assert name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))


@pytest.mark.parametrize("wrong", [{}, {"pipeline": "p"}, {"pipeline": "p", "outcome": "prediction", "x": "y"}])
@pytest.mark.parametrize("make", [RecordingMetrics, lambda: rendered()[0]])
def test_wrong_labels_are_a_bug(make: type[RecordingMetrics], wrong: dict[str, str]) -> None:
    """Missing and surplus labels raise, in the test's metrics as in the real ones."""
    with pytest.raises(ValueError, match="has the labels"):
        make().count("tailrace_records_total", 1.0, **wrong)


def test_wrong_kind_is_a_bug() -> None:
    """A counter cannot be set like a gauge."""
    with pytest.raises(ValueError, match="is a counter, not a gauge"):
        rendered()[0].gauge("tailrace_batches_total", 1.0)


def test_label_values_from_outside_become_other() -> None:
    """Text of a user in a closed label, in a reason or in a partition shows as `other`."""
    metrics, registry = rendered()
    metrics.count("tailrace_dead_letters_total", pipeline="flights", reason='x"} 1\nforged 2')
    metrics.count("tailrace_records_total", pipeline="flights", outcome="surprise")
    metrics.gauge("tailrace_committed_offset", 1.0, partition="-1")
    assert series_of(registry, "tailrace_dead_letters_total") == [
        'tailrace_dead_letters_total{pipeline="flights",reason="other"} 1.0'
    ]
    assert series_of(registry, "tailrace_records_total") == [
        'tailrace_records_total{outcome="other",pipeline="flights"} 1.0'
    ]
    assert series_of(registry, "tailrace_committed_offset") == ['tailrace_committed_offset{partition="other"} 1.0']


def test_series_stay_bounded_under_a_flood_of_values() -> None:
    """B46: 50,000 distinct values leave at most the declared number of series, and none is lost from the sum."""
    metrics, registry = rendered()
    for number in range(50_000):
        metrics.count("tailrace_predictions_total", version=f"v{number}")
        metrics.count("tailrace_model_refusals_total", reason=f"reason_{number}")
    versions = series_of(registry, "tailrace_predictions_total")
    reasons = series_of(registry, "tailrace_model_refusals_total")
    assert len(versions) <= MAX_SERIES + 1
    assert len(reasons) <= MAX_CODES + 1
    assert sum(float(line.split()[-1]) for line in versions) == 50_000
    assert sum(float(line.split()[-1]) for line in reasons) == 50_000
    assert len(metrics._calls) <= 10_000


def test_nan_withdraws_a_series() -> None:
    """A lost partition disappears from the exposition, and comes back when it is set again."""
    metrics, registry = rendered()
    metrics.gauge("tailrace_committed_offset", 7.0, partition="3")
    metrics.gauge("tailrace_committed_offset", float("nan"), partition="3")
    metrics.gauge("tailrace_committed_offset", float("nan"), partition="4")
    assert series_of(registry, "tailrace_committed_offset") == []
    metrics.gauge("tailrace_committed_offset", 9.0, partition="3")
    assert series_of(registry, "tailrace_committed_offset") == ['tailrace_committed_offset{partition="3"} 9.0']


def test_label_order_does_not_matter() -> None:
    """The same labels in another order are the same series."""
    metrics, registry = rendered()
    metrics.count("tailrace_records_total", 2.0, pipeline="f", outcome="skipped")
    metrics.count("tailrace_records_total", 3.0, outcome="skipped", pipeline="f")
    assert series_of(registry, "tailrace_records_total") == [
        'tailrace_records_total{outcome="skipped",pipeline="f"} 5.0'
    ]


def test_no_created_series() -> None:
    """Counters and histograms bring no `_created` twin."""
    metrics, registry = rendered()
    metrics.count("tailrace_batches_total")
    assert b"_created" not in render(registry)


def test_recording_metrics_read_back() -> None:
    """What a step counts can be asked for by label value."""
    metrics = RecordingMetrics()
    metrics.count("tailrace_records_total", 2.0, pipeline="f", outcome="prediction")
    metrics.observe("tailrace_batch_records", 12.0)
    metrics.gauge("tailrace_partitions_assigned", 4.0)
    assert metrics.counted("tailrace_records_total", "prediction") == 2.0
    assert metrics.observed["tailrace_batch_records", ()] == [12.0]
    assert metrics.gauges["tailrace_partitions_assigned", ()] == 4.0


def test_hot_path_makes_no_new_series() -> None:
    """A counter's series is looked up once: counting again makes no object of the client's."""
    metrics, _ = rendered()
    labels = {"pipeline": "flights", "outcome": "prediction"}
    metrics.count("tailrace_records_total", 1.0, **labels)
    made: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name in {"labels", "__init__"}:
            made.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        metrics.count("tailrace_records_total", 1.0, **labels)
    finally:
        sys.setprofile(None)
    assert made == []


def test_null_metrics_take_everything() -> None:
    """Without a reader nothing happens, and nothing fails."""
    NullMetrics().count("tailrace_batches_total")
    NullMetrics().gauge("tailrace_partitions_assigned", 1.0)
    NullMetrics().observe("tailrace_batch_records", 1.0)
