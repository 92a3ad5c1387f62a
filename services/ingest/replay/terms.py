"""What a replay is given, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from services.ingest.replay.gates import FeatureGate, Gate, LagGate
from services.ingest.replay.held import LabelGate
from services.ingest.replay.retraining import RetrainingGate
from shared.core.records import Headers

Acknowledged = Callable[[int, int], None]


class Publisher(Protocol):
    """The broker's side of a replay. Raises `Unavailable` once a message could not be delivered."""

    def send(
        self, topic: str, key: bytes | None, value: bytes, headers: Headers | None, done: Acknowledged | None
    ) -> None:
        """Hand over one message; `done` is told its partition and offset when it is acknowledged."""

    def flush(self, timeout: float) -> None:
        """Wait until all is acknowledged."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is: `event_time` in ms, `rate` in records/s, `share` in 0..1; `holding`: what it waits for."""

    event_time: int
    sent: int
    features: int
    labels: int
    rate: float
    lag: int
    share: float
    holding: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did; counts are of this run, `resumed_at` the records that earlier runs had sent."""

    pipeline: str
    ok: bool
    records: int
    features: int
    labels: int
    extras: int
    bad_rows: int
    resumed_at: int
    event_time: int
    interrupted: bool
    wall_s: float
    records_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What to wait for (None: nothing), and for how long (s).

    At `labels` labels wait for the scorer, and records for the router of labels; at `retraining` records wait for the
    monitor, trainings and their versions.
    """

    features: FeatureGate | None = None
    lag: LagGate | None = None
    labels: LabelGate | None = None
    lockstep: Gate | None = None
    retraining: RetrainingGate | None = None
    features_timeout: float = 60.0
    lockstep_timeout: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who listens in.

    `on_sent` is told the number of messages handed to `records` so far; `extra` may give one more message for
    `records`, to follow the n-th record (n counts from 1 in this run); `on_progress` is told twice a second.
    """

    on_sent: Callable[[int], None] | None = None
    extra: Callable[[int], bytes | None] | None = None
    on_progress: Callable[[Progress], None] | None = None


NO_GATES = Gates()
NO_HOOKS = Hooks()
