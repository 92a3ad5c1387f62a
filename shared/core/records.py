"""Every type that crosses a service border: the vocabulary of Tailrace. It imports nothing of ours.

Values on topics are JSON, typed by `msgspec`, each with a schema version `v`; an unknown major is a
dead letter. Times are integers, milliseconds since 1970 UTC, and are *event* times unless named otherwise.
"""

from typing import Any, Literal, NamedTuple

import msgspec

SCHEMA_VERSION = 1
CONTROL_HEADER = "tailrace-control"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

Headers = list[tuple[str, bytes | None]]


class Position(NamedTuple):
    """Where a record stands in the log: the unit of every promise about delivery."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a committed offset remembers beside its number, in the offset's metadata (JSON, < 4,096 bytes).

    `epoch` is the newest barrier seen in the partition, `acting` the epoch whose version scores (lower than
    `epoch` only after a revocation), `low` the oldest offset that an open window still needs. The observer adds the
    watermark (ms) before `low` (`mark`), and as of offset `at` the watermark and the error blocks being filled.
    """

    epoch: int = 0
    acting: int = 0
    low: int = -1
    mark: int = -1
    at: int = -1
    passed: int = -1
    blocks: tuple[tuple[Any, ...], ...] = ()


class Committed(NamedTuple):
    """An offset to go on from, and its note, from one answer of the broker. `offset` is -1 where none exists."""

    offset: int
    note: Note


class Prediction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One answer, public and lean, on `<pipeline>.predictions`, keyed by entity.

    `at` is the locator: (partition, offset) of the record in `<pipeline>.records`. `score` is the probability of the
    positive class (binary), of the chosen class (multiclass), or the value (regression). `ages` has the age of
    each looked-up feature group in seconds of event time, null where it was missing.
    """

    v: int
    id: str
    key: str
    at: tuple[int, int]
    event_time: int
    score: float
    label: str | float
    version: str
    digest: str
    epoch: int
    probabilities: dict[str, float] | None = None
    interval: tuple[float, float] | None = None
    flags: tuple[str, ...] = ()
    ages: dict[str, float | None] | None = None


class Observation(msgspec.Struct, frozen=True, gc=False, tag="observation", tag_field="type"):
    """A prediction with its inputs, internal, on `<pipeline>.journal`: it explains itself.

    `record` is the record as it was scored (personal fields dropped or hashed), `lookups` the looked-up
    values by group, null where missing; `logged` is the log-append time of the record in ms.
    """

    v: int
    prediction: Prediction
    record: msgspec.Raw
    lookups: dict[str, dict[str, Any] | None]
    digest: str
    logged: int
    shadow: bool = False


class Label(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came true, late, on `<pipeline>.labels`, keyed like its record."""

    id: str
    value: str | float | bool
    time: int
    at: tuple[int, int] | None = None
    revision: int = 0
    v: int = SCHEMA_VERSION


class FeatureUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """New values of one entity in one lookup group, on `<pipeline>.features`, keyed `<group>:<entity>`."""

    group: str
    entity: str
    time: int
    values: dict[str, Any]
    v: int = SCHEMA_VERSION


class EntityEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A record as one group of aggregates sees it, internal, on `<pipeline>.entities`, keyed `<group>:<entity>`.

    `values` has the fields that the group's aggregates are of, where the record has them; `id` is a pseudonym where
    ids are personal.
    """

    group: str
    entity: str
    time: int
    id: str
    values: dict[str, Any] = {}
    v: int = SCHEMA_VERSION


class BundleRef(msgspec.Struct, frozen=True):
    """Where a model bundle is and what it must hash to: `digest` is the sha256 of its manifest."""

    version: str
    uri: str
    digest: str


RolloutState = Literal["announced", "active", "revoked"]


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """The meaning of one epoch, on `<pipeline>.models`, keyed `<pipeline>/<epoch>`; producers cannot write it.

    *announced*: a bundle is ready to be tried; *active*: its barriers may stand in `records`; *revoked*: withdrawn,
    the highest active epoch below it acts instead. Of the controller's own epochs, `plan` says whether they belong to
    the `trial` of a challenger or to a `swap`, `step` is the place in the declared plan, `since` the event time (ms) at
    which the step began, `seen` how many of the challenger's records the monitor had counted by then.
    """

    pipeline: str
    epoch: int
    champion: BundleRef
    state: RolloutState
    reason: str = ""
    changed_at: int = 0
    challenger: BundleRef | None = None
    mode: Literal["champion", "canary", "shadow"] = "champion"
    share: float = 0.0
    plan: Literal["", "trial", "swap"] = ""
    step: int = 0
    since: int = 0
    seen: int = 0
    v: int = SCHEMA_VERSION


class Barrier(msgspec.Struct, frozen=True):
    """The control record in every partition of `records` (header `tailrace-control`): from here on, this epoch."""

    epoch: int
    v: int = SCHEMA_VERSION


class Application(msgspec.Struct, frozen=True):
    """Where an epoch began to act in one partition, on `<pipeline>.rollouts`, keyed `<partition>/<offset>`.

    `offset` is the first input offset that `epoch` scores; `barrier` the newest barrier's epoch at that point. Of a
    canary `version` is the champion's, and `challenger` the version that scores the `share` of keys.
    """

    partition: int
    epoch: int
    offset: int
    cause: Literal["first", "barrier", "revoked", "local"]
    version: str
    barrier: int
    v: int = SCHEMA_VERSION
    challenger: str = ""
    share: float = 0.0


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a live worker says of itself, on `<pipeline>.workers`, keyed by worker, every few seconds.

    `shadow`: it scores what is in the journal, not records. By version, since the worker's start: the records that were
    `scored`, and those that became `rejects` though they could be read. `speeds` has the microseconds a record of a
    version's model over the last minute or so. `rss_mb` is the process's memory.
    """

    worker: str
    time: int
    partitions: tuple[int, ...] = ()
    epochs: dict[str, int] = {}
    ready: tuple[str, ...] = ()
    refused: dict[str, str] = {}
    lag: int = 0
    rate: float = 0.0
    stopped: dict[str, str] = {}
    shadow: bool = False
    scored: dict[str, int] = {}
    rejects: dict[str, int] = {}
    speeds: dict[str, float] = {}
    rss_mb: float = 0.0
    v: int = SCHEMA_VERSION
