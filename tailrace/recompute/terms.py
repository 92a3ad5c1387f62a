"""The pipeline's file as numbers: how event time is measured, and how wrong a prediction was. Written anew here."""

import math
from dataclasses import dataclass
from typing import Any

from shared.core.pipeline import PipelineSpec

UNIT = 2**20
"""Losses and scores are counted in units of 2^-20, rounded half to even."""
MOST = 2.0**42
"""What lies beyond it counts as that much."""
GRAINS, STEPS = 64, 8


@dataclass(frozen=True, slots=True)
class Times:
    """Of `monitoring` and `labels`, in ms; `grain` is what the ends of lives are rounded up to."""

    span: int
    horizon: int
    hold: int
    step: int
    grain: int

    def window(self, time: int) -> int:
        """The start of the window that a moment lies in."""
        return time // self.span * self.span

    def up(self, time: int) -> int:
        """The next multiple of the grain."""
        return -(-time // self.grain) * self.grain

    def over(self, time: int) -> int:
        """Beyond this watermark nothing counts any more in the window of an observation of this time."""
        return self.window(time) + self.span + self.horizon

    def life(self, time: int) -> int:
        """Beyond this watermark an observation of this time is forgotten."""
        return self.up(max(time + self.horizon + self.hold, self.over(time)))


def times_of(spec: PipelineSpec) -> Times:
    """The times of a pipeline."""
    monitoring = spec.monitoring
    span, horizon, hold = (round(s * 1_000) for s in (monitoring.window, spec.labels.horizon, monitoring.hold))
    step = monitoring.window / STEPS if monitoring.max_step is None else monitoring.max_step
    return Times(span, horizon, hold, max(round(step * 1_000), 1), max((span + horizon + hold) // GRAINS, 1))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a label is held against; `within` is the share by which a number may be off, `groups` those of look-ups."""

    task: str
    classes: tuple[str, ...]
    positive: str
    within: float
    groups: tuple[str, ...] = ()

    def verdict(self, prediction: Any, value: Any) -> tuple[int, int]:
        """1 where it was wrong, else 0; and its loss in units: log-loss, or the absolute error."""
        if self.task == "regression":
            off = abs(prediction.score - value)
            return int(off > self.within * abs(value)), units(off)
        return int(prediction.label != value), units(-math.log(max(1 / UNIT, self._share(prediction, value))))

    def _share(self, prediction: Any, value: Any) -> float:
        """The probability that was given to what came true."""
        if self.task == "binary":
            score: float = prediction.score
            return score if value == self.positive else 1.0 - score
        if prediction.probabilities:
            return float(prediction.probabilities.get(value, 0.0))
        return float(prediction.score) if prediction.label == value else 0.0


def terms_of(spec: PipelineSpec) -> Terms:
    """The terms of a pipeline."""
    labels = spec.labels
    return Terms(spec.task, tuple(labels.classes), labels.positive, spec.monitoring.within, tuple(spec.lookups))


def units(value: float) -> int:
    """A number in units, cut at `MOST`."""
    return round(min(max(value, -MOST), MOST) * UNIT)
