"""What the controller looks at, and what it may do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from services.retrainer.rollout.evidence import Evidence, SignalName
from services.retrainer.rollout.wishes import Wish
from shared.core.plans import PlanState
from shared.core.records import Heartbeat, Rollout
from shared.core.rollout import RolloutTable

Kind = Literal["rest", "hold", "announce", "activate", "cancel", "stamp", "refuse", "withdraw"]


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is looked at. `wish` is None as long as MLflow never answered; `late` partitions are not settled.

    `found` is the evidence of the trial under way, or of a champion that the controller brought into force.
    """

    table: RolloutTable
    state: PlanState
    wish: Wish | None
    heartbeats: Sequence[Heartbeat]
    late: Sequence[int]
    found: Evidence | None
    now: int


@dataclass(frozen=True, slots=True)
class Move:
    """What to do. `rollouts` and `state` are written at once, `version` is whom it is about.

    `signal` says what took a version back.
    """

    kind: Kind
    reason: str = ""
    version: str = ""
    rollouts: tuple[Rollout, ...] = ()
    state: PlanState | None = None
    signal: SignalName | Literal["refused", ""] = ""
    figures: Mapping[str, float] = field(default_factory=dict)


REST = Move("rest")
