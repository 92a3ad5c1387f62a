"""All parameters of the analyst, from the pipeline's file."""

import msgspec

from services.monitor.analyst import cusum
from services.monitor.analyst.calibration import DriftTerms
from services.monitor.analyst.faults import FaultTerms
from services.monitor.analyst.policy_state import PolicyTerms
from shared.core.pipeline import PipelineSpec
from shared.core.quality import Task
from shared.core.schedule import alarm_period

ROLLING = 7  # windows


class LookTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How one pipeline is looked at.

    `window`, `rolling`, `hold` and `horizon` are in ms of event time: of a scorecard, of rolling quality, how long a
    label waits for its observation, and how long after its record a label counts. `classes` is 0 for a regression,
    whose answers are right `within` this share of what came true; `threshold` is of a binary task.
    """

    pipeline: str
    task: Task
    classes: int
    threshold: float
    within: float
    goal: dict[str, float]
    window: int
    rolling: int
    horizon: int
    hold: int
    detectors: cusum.Terms = cusum.Terms()
    drift: DriftTerms = DriftTerms()
    faults: FaultTerms = FaultTerms()
    policy: PolicyTerms = PolicyTerms()


def terms_of(spec: PipelineSpec) -> LookTerms:
    """What the pipeline's file says, in the analyst's units."""
    watched, asked, minimum = spec.monitoring, spec.retraining, spec.monitoring.minimum
    window, horizon, period = _ms(watched.window), _ms(spec.labels.horizon), alarm_period(spec)
    return LookTerms(
        pipeline=spec.name, task=spec.task, classes=len(spec.labels.classes), threshold=spec.labels.threshold,
        within=watched.within, goal=dict(watched.goal), window=window, horizon=horizon, hold=_ms(watched.hold),
        rolling=ROLLING * window if watched.rolling is None else _ms(watched.rolling),
        detectors=cusum.Terms(
            detector=watched.detector, rises=watched.rises, minimum=minimum, cooldown=period
        ),
        drift=DriftTerms(minimum=minimum),
        faults=FaultTerms(minimum=minimum),
        # A verdict falls when a whole window has given no cause for it.
        policy=PolicyTerms(
            cooldown=_ms(asked.cooldown), alarm_period=period, every=None if asked.every is None else _ms(asked.every),
            labels=asked.labels, settle=window, delay=horizon, minimum=minimum, drift=watched.drift.action,
        ),
    )  # fmt: skip


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
