"""Metrics of the rollout controller."""

from collections.abc import Mapping
from typing import Final, Literal

from shared.core.metric_rows import Metric, counter, gauge

RolloutMetricName = Literal[
    "tailrace_rollout_epoch", "tailrace_rollout_step", "tailrace_rollout_moves_total", "tailrace_rollbacks_total"
]

ROLLOUT_METRICS: Final[Mapping[RolloutMetricName, Metric]] = {
    "tailrace_rollout_epoch": gauge("Newest epoch that `models` has in force."),
    "tailrace_rollout_step": gauge("Step of the declared plan that a challenger is in, from 1; 0: no trial."),
    "tailrace_rollout_moves_total": counter(
        "What the rollout controller did.", move="announce activate cancel stamp refuse withdraw"
    ),
    "tailrace_rollbacks_total": counter(
        "Versions that were taken back without being told to, by what spoke against them.",
        reason="quality slice rejects stopped speed memory answers refused",
    ),
}
