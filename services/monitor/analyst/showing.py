"""What the analyst shows on `/metrics`. What is unknown is absent, never 0; what is over is withdrawn."""

import math
from collections.abc import Iterable, Iterator, Mapping

from services.monitor.analyst.look import Look
from services.monitor.analyst.memory import Memory, Turn
from services.monitor.analyst.policy_state import RANK
from services.monitor.analyst.quality import Quality
from shared.core.metrics import MetricName, Metrics
from shared.core.monitor_records import AccountSums, Verdict

STATUSES = ("matched", "corrected", "late", "held", "orphaned", "duplicate", "conflicting", "unsampled")
Series = tuple[MetricName, tuple[tuple[str, str], ...]]


class Showing:
    """Counts and gauges of one analyst.

    Args:
        metrics: where they go.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._shown: set[Series] = set()
        self._levels: dict[tuple[str, str], str] = {}

    def show(self, turn: Turn) -> None:
        """A turn: all its figures, and none that are no longer said."""
        series = {(name, tuple(labels.items())): value for name, value, labels in _gauges(turn)}
        for name, labels in self._shown - series.keys():
            self._metrics.gauge(name, math.nan, **dict(labels))
        for (name, labels), value in series.items():
            self._metrics.gauge(name, value, **dict(labels))
        self._shown = set(series)
        self._alarms(turn.verdicts)
        if turn.request is not None:
            self._metrics.count("tailrace_retrain_requests_total", trigger=turn.request.trigger)

    def owns(self, *, owns: bool) -> None:
        """Whether this analyst works, or waits for another one to go; who waits shows no figures."""
        self._metrics.gauge("tailrace_analyst_active", float(owns))
        if not owns and self._shown:
            self.show(Turn(memory=Memory()))

    def lags(self, lags: Mapping[str, int]) -> None:
        """Records that were not read when this turn began, by the topic's full name."""
        for name, lag in lags.items():
            self._metrics.gauge("tailrace_analyst_lag_records", lag, topic=name.rpartition(".")[2])

    def turned(self, result: str, seconds: float) -> None:
        """A turn is over."""
        self._metrics.count("tailrace_analyst_turns_total", result=result)
        self._metrics.observe("tailrace_analyst_turn_seconds", seconds)

    def ignored(self, topic: str) -> None:
        """A value that cannot be read."""
        self._metrics.count("tailrace_analyst_ignored_total", topic=topic)

    def _alarms(self, verdicts: Iterable[Verdict]) -> None:
        levels = {(verdict.version, verdict.metric): verdict for verdict in verdicts}
        for key, verdict in levels.items():
            if verdict.verdict == "alarm" and self._levels.get(key) not in (None, "alarm"):
                self._metrics.count("tailrace_alarms_total", trigger=verdict.trigger)
        self._levels = {key: verdict.verdict for key, verdict in levels.items()}


def _gauges(turn: Turn) -> Iterator[tuple[MetricName, float, dict[str, str]]]:
    for look in turn.looks:
        yield from _of_look(look)
    for verdict in turn.verdicts:
        where = {"version": verdict.version, "metric": verdict.metric}
        yield "tailrace_verdict_level", RANK[verdict.verdict], where
    last = turn.memory.policy.asked
    if last is not None:
        yield "tailrace_retrain_last_request_seconds", last / 1_000, {}


def _of_look(look: Look) -> Iterator[tuple[MetricName, float, dict[str, str]]]:
    who = {"version": look.version, "role": "shadow" if look.shadow else "champion"}
    yield "tailrace_analyst_event_time_seconds", look.now / 1_000, who
    yield "tailrace_labels_seen", look.labels, who
    if look.quality is not None:
        yield from _of_quality(look.quality, who)
    if (estimate := look.estimate) is not None and estimate.value is not None:
        yield from _interval("tailrace_estimate", estimate.figure, estimate.value, estimate.low, estimate.high, who)
    if look.shadow:
        return  # a shadow's features are the champion's
    for drift in look.drifts:
        where = {"version": look.version, "feature": drift.feature}
        yield "tailrace_drift_psi", drift.psi, where
        yield "tailrace_drift_distance", drift.distance, where
        yield "tailrace_drift_score", drift.score, where
    yield from _of_accounts(look.accounts)
    counts: dict[tuple[str, str], int] = {}
    for finding in look.findings:
        key = (finding.trigger, finding.level or "unknown")
        counts[key] = counts.get(key, 0) + 1
    for (trigger, level), count in counts.items():
        yield "tailrace_findings", count, {"version": look.version, "trigger": trigger, "level": level}


def _of_quality(quality: Quality, who: dict[str, str]) -> Iterator[tuple[MetricName, float, dict[str, str]]]:
    if quality.coverage is not None:
        yield "tailrace_label_coverage_ratio", quality.coverage, who
    for delay in quality.delays:
        yield "tailrace_label_delay_seconds", delay.seconds, {**who, "share": f"{delay.share:g}"}
    for one in quality.figures.values():
        if one.value is not None:
            yield from _interval("tailrace_quality", one.figure, one.value, one.low, one.high, who)


def _interval(
    name: MetricName, figure: str, value: float, low: float | None, high: float | None, who: dict[str, str]
) -> Iterator[tuple[MetricName, float, dict[str, str]]]:
    for bound, at in (("value", value), ("low", low), ("high", high)):
        if at is not None:
            yield name, at, {**who, "figure": figure, "bound": bound}


def _of_accounts(sums: AccountSums) -> Iterator[tuple[MetricName, float, dict[str, str]]]:
    for status in STATUSES:
        yield "tailrace_account_labels", getattr(sums, status), {"status": status}
