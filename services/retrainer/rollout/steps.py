"""The declared plan as a list of steps: what a challenger goes through before it is the champion."""

from dataclasses import dataclass

from services.retrainer.rollout.decide import Mode
from shared.core.pipeline import PipelineSpec
from shared.core.pipeline_loop import RolloutSpec


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its mode, the share of keys of a canary, and how much event time (ms) and how many records it lasts."""

    mode: Mode
    share: float = 0.0
    time: int = 0
    records: int = 0

    @property
    def words(self) -> str:
        """The step as a person would name it."""
        return f"canary {self.share:.0%}" if self.mode == "canary" else self.mode


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan depends on: the declared section, its steps, how many partitions there are.

    `horizon` is how long (ms of event time) after its record a label may come.
    """

    pipeline: str
    partitions: int
    horizon: int
    spec: RolloutSpec
    steps: tuple[Step, ...]


def terms_of(spec: PipelineSpec) -> Terms:
    """The terms of a pipeline."""
    return Terms(spec.name, spec.partitions, round(spec.labels.horizon * 1_000), spec.rollout, steps_of(spec.rollout))


def steps_of(spec: RolloutSpec) -> tuple[Step, ...]:
    """Shadow where it is declared, the canary's shares, and the champion at the end."""
    shadow = () if spec.shadow is None else (Step("shadow", 0.0, round(spec.shadow.time * 1_000), spec.shadow.records),)
    canary = (Step("canary", one.share, round(one.time * 1_000), one.records) for one in spec.canary)
    return (*shadow, *canary, Step("champion"))
