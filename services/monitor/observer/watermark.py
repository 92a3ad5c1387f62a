"""Event time in one partition: how far it has come, and what is over. All times are integers in ms."""

from dataclasses import dataclass
from zlib import crc32

import msgspec

from shared.core.pipeline import PipelineSpec
from shared.core.watermark import max_step

GRAINS = 64
"""Lives end at multiples of a grain, so that what ends together can be thrown away together."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the fold measures event time by (ms); a function of the pipeline's file.

    Attributes:
        span: length of a window.
        horizon: a label of an observation counts for so long after it.
        hold: a label whose observation is not there is held for so long.
        max_step: how far one entry may advance the watermark.
        grain: lives end at multiples of it.
        judged: a digest of what else the sums depend on: they were made by these terms, and no others can go on.
    """

    span: int
    horizon: int
    hold: int
    max_step: int
    grain: int
    judged: int = 0

    def window(self, time: int) -> int:
        """The start of the window that a moment is in."""
        return time - time % self.span

    def over(self, window: int) -> int:
        """Beyond this watermark nothing can be added to a scorecard of this window: every label of it is late."""
        return window + self.span + self.horizon

    def settled(self, window: int) -> int:
        """Beyond this watermark every label that was folded in this window has its last status."""
        return window + self.span + self.hold

    def life(self, time: int) -> int:
        """Beyond this watermark an observation of this time is forgotten."""
        over = time - time % self.span + self.span
        held = time + self.hold
        last = (over if over > held else held) + self.horizon  # noqa: FURB136 - a call saved for every observation
        return -(-last // self.grain) * self.grain

    def rounded(self, time: int) -> int:
        """The next multiple of the grain, at or after a moment."""
        return -(-time // self.grain) * self.grain


def terms_of(spec: PipelineSpec) -> Terms:
    """The terms of a pipeline."""
    monitoring = spec.monitoring
    span, horizon, hold = (_ms(s) for s in (monitoring.window, spec.labels.horizon, monitoring.hold))
    return Terms(span, horizon, hold, max_step(spec), max((span + horizon + hold) // GRAINS, 1), _judged(spec))


def _judged(spec: PipelineSpec) -> int:
    """A correction takes back what a label had added: by the same classes, tolerance and slices."""
    labels, monitoring = spec.labels, spec.monitoring
    said = (spec.task, labels.classes, labels.positive, monitoring.within, monitoring.slices)
    return crc32(msgspec.json.encode(said))


def _ms(seconds: float) -> int:
    return max(round(seconds * 1_000), 0)
