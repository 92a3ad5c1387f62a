"""Metrics in the Prometheus text format."""

import math
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from shared.core.metric_rows import OTHER, Kind, Metric
from shared.core.metrics import MAX_CODES, MAX_SERIES, METRICS, MetricName, ordered

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_Parent = Counter | Gauge | Histogram
_Key = tuple[MetricName, tuple[tuple[str, str], ...]]
# Label values from outside reach the cache as they came, so that it has a bound of its own.
_CACHE_LIMIT: Final = 10_000


class PrometheusMetrics:
    """`Metrics` kept in a registry of its own; the registry holds exactly the table, whatever is called.

    Args:
        registry: where the metrics are registered; one registry takes one `PrometheusMetrics`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        # Else every counter and histogram gets a second series that nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot its annotation
        self._parents = {name: _register(name, metric, registry) for name, metric in METRICS.items()}
        self._series: dict[MetricName, set[tuple[str, ...]]] = {name: set() for name in METRICS}
        self._calls: dict[_Key, Callable[[float], None]] = {}

    def count(self, name: MetricName, value: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        key = (name, tuple(labels.items()))
        call = self._calls.get(key)
        (call or self._bind(key, "counter", labels))(value)

    def gauge(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge; NaN withdraws the series (one without labels shows NaN)."""
        if value != value and labels:  # noqa: PLR0124 - the quickest test for NaN
            self._withdraw(name, labels)
            return
        key = (name, tuple(labels.items()))
        call = self._calls.get(key)
        (call or self._bind(key, "gauge", labels))(value)

    def observe(self, name: MetricName, value: float, **labels: str) -> None:
        """Put one value into a histogram."""
        key = (name, tuple(labels.items()))
        call = self._calls.get(key)
        (call or self._bind(key, "histogram", labels))(value)

    def _bind(self, key: _Key, kind: Kind, labels: dict[str, str]) -> Callable[[float], None]:
        name = key[0]
        values = self._admit(name, ordered(name, kind, labels))
        parent = self._parents[name]
        child = parent.labels(*values) if values else parent
        call: Callable[[float], None]
        if isinstance(child, Counter):
            call = child.inc
        elif isinstance(child, Gauge):
            call = child.set
        else:
            call = child.observe
        if len(self._calls) < _CACHE_LIMIT:
            self._calls[key] = call
        return call

    def _admit(self, name: MetricName, values: tuple[str, ...]) -> tuple[str, ...]:
        known = self._series[name]
        if values in known:
            return values
        labels = METRICS[name].labels
        limit = MAX_CODES if "reason" in labels else MAX_SERIES
        if len(known) >= limit:
            closed = METRICS[name].values
            # The closed labels keep their values: they cannot grow.
            values = tuple(value if label in closed else OTHER for label, value in zip(labels, values, strict=True))
        known.add(values)
        return values

    def _withdraw(self, name: MetricName, labels: dict[str, str]) -> None:
        values = ordered(name, "gauge", labels)
        if values not in self._series[name]:
            return
        self._series[name].discard(values)
        self._parents[name].remove(*values)
        for key in list(self._calls):  # a copy: the endpoint's thread may add one meanwhile
            if key[0] == name:
                self._calls.pop(key, None)


def _register(name: MetricName, metric: Metric, registry: CollectorRegistry) -> _Parent:
    if metric.kind == "histogram":
        return Histogram(name, metric.help, metric.labels, registry=registry, buckets=(*metric.buckets, math.inf))
    family = Counter if metric.kind == "counter" else Gauge
    return family(name, metric.help, metric.labels, registry=registry)


def render(registry: CollectorRegistry) -> bytes:
    """What `/metrics` answers: the Prometheus text format 0.0.4, UTF-8."""
    return generate_latest(registry)
