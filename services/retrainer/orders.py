"""What the service and the process of a training say to each other; light, for the service imports no estimator."""

import msgspec

from shared.core.gate import GateFigures
from shared.core.records import BundleRef
from shared.core.retraining import Span, State, Training

WAITING = "waiting"
"""The stage in which a training waits for something outside: its time does not count, and it is not ready."""


class Order(msgspec.Struct, frozen=True):
    """What the process of a training is told. `champion` is the version in force."""

    training: Training
    pipeline: str
    champion: BundleRef
    spoiled: tuple[Span, ...] = ()


class Outcome(msgspec.Struct, frozen=True):
    """What it answers: `passed`, `refused` or `failed`, and why."""

    state: State
    reason: str = ""
    champion: str = ""
    gate: GateFigures | None = None
    challenger: BundleRef | None = None
    run_id: str = ""
    figures: dict[str, float] = {}


class Line(msgspec.Struct, frozen=True):
    """What the process is doing."""

    stage: str
    text: str
