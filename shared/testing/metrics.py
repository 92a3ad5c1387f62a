"""Metrics that a test reads back."""

import math

from shared.core.metric_rows import Kind
from shared.core.metrics import METRICS, MetricName, ordered

Series = tuple[MetricName, tuple[str, ...]]


class RecordingMetrics:
    """Keeps everything in dictionaries; as strict about labels as the real one (ValueError)."""

    def __init__(self) -> None:
        self.counts: dict[Series, float] = {}
        self.gauges: dict[Series, float] = {}
        self.observed: dict[Series, list[float]] = {}

    def count(self, name: MetricName, value: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        series = self._series(name, "counter", labels)
        self.counts[series] = self.counts.get(series, 0.0) + value

    def gauge(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge; NaN withdraws it."""
        series = self._series(name, "gauge", labels)
        if math.isnan(value):
            self.gauges.pop(series, None)
        else:
            self.gauges[series] = value

    def observe(self, name: MetricName, value: float, **labels: str) -> None:
        """Remember one value of a histogram."""
        self.observed.setdefault(self._series(name, "histogram", labels), []).append(value)

    def counted(self, name: MetricName, *values: str) -> float:
        """Sum of a counter over the series whose label values contain all of `values`."""
        return sum(n for (key, labels), n in self.counts.items() if key == name and set(values) <= set(labels))

    def value(self, name: MetricName, **labels: str) -> float | None:
        """A counter's or gauge's present value; None: there is no such series."""
        series = self._series(name, METRICS[name].kind, labels)
        return {**self.gauges, **self.counts}.get(series)

    @staticmethod
    def _series(name: MetricName, kind: Kind, labels: dict[str, str]) -> Series:
        return name, ordered(name, kind, labels)
