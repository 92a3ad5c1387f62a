"""The borders of the data plane: what the loop and the steps ask of the world, and in which shape data passes.

Data passes as columns, not as one object a record: a wrapper a record would cost more than the
whole of Kafka's own Python binding. A `Message` is therefore whatever the client gives, by shape.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.core.metrics import MetricName
from shared.core.records import Committed, Headers


class Message(Protocol):
    """One record as the log gives it; `confluent_kafka.Message` has this shape."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...
    def timestamp(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll gave. `token` is the group's metadata taken right after the poll: it travels with the batch.

    A token taken fresh at the commit lets a batch that outlived a loss of its partition be committed twice.
    `generation` is the source's count of revocations and losses at that moment.
    """

    messages: Sequence[Message]
    token: object
    generation: int


@dataclass(frozen=True, slots=True)
class Part:
    """Records of a batch that one epoch scores, in input order a partition; `headers[i]` belongs to `messages[i]`.

    `traced`: it is known that each record has one header, named `traceparent`. `partitions[i]` is that of
    `messages[i]`, which costs a call to ask for, so it is asked once; empty: not asked yet.
    """

    messages: Sequence[Message]
    headers: Sequence[Headers | None]
    epoch: int
    traced: bool = False
    partitions: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """Messages for one topic, as columns of equal length. Without `partitions` the key decides (murmur2)."""

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers | None] | None = None
    partitions: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that cannot be scored: it becomes one dead letter. `reason` is a short stable code."""

    message: Message
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """What a counter gains once the batch is committed; a batch that is tried again is not counted twice."""

    metric: MetricName
    value: int
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """What a step made of a part: outputs, rejects in input order, and what then is to be counted."""

    blocks: Sequence[Block] = ()
    rejects: Sequence[Reject] = ()
    counts: Sequence[Count] = ()


def merged(results: Sequence[Result]) -> Result:
    """The results of a part's pieces, in their order, as one."""
    return Result(
        [block for one in results for block in one.blocks],
        [reject for one in results for reject in one.rejects],
        [count for one in results for count in one.counts],
    )


class Step(Protocol):
    """A service's own logic: the same part gives the same result, and nothing is written."""

    def __call__(self, part: Part) -> Result: ...


class Listener(Protocol):
    """Told of every change of the assignment, from inside `Source.poll`, before any record of it is given.

    `revoked` is told before the partitions are let go of: no other member has them until it returns.
    """

    def assigned(self, positions: Mapping[int, Committed]) -> None: ...
    def revoked(self, partitions: Sequence[int]) -> None: ...
    def lost(self, partitions: Sequence[int]) -> None: ...


class Source(Protocol):
    """The input topic, as one member of a consumer group.

    Duties: positions and notes come from ONE answer of the broker and are handed over together;
    records of partitions that are not owned are never given; `generation` rises on revoke and on loss.
    """

    @property
    def generation(self) -> int: ...
    def poll(self, limit: int, gather: float, idle: float) -> Batch:
        """At most `limit` records: wait `idle` s for the first, then gather for at most `gather` s."""

    def rewind(self) -> None:
        """Go back to the committed offsets of all owned partitions; the listener is told them as `assigned`."""

    def commit(self, offsets: Mapping[int, Committed]) -> None:
        """At-least-once only: commit offsets with their notes, outside any transaction."""

    def lag(self) -> int:
        """Records that wait in the owned partitions, as last known (no round trip)."""

    def stop(self, partition: int) -> None:
        """Give no more records of this partition until it is assigned anew."""

    def close(self) -> None: ...


class Sink(Protocol):
    """The output topics. Raises the `LogError` family and nothing else."""

    def begin(self) -> None: ...
    def produce(self, block: Block) -> None: ...
    def flush(self) -> None:
        """Wait until all is acknowledged; always before `send_offsets`, or a small transaction takes 100 ms."""

    def send_offsets(self, offsets: Mapping[int, Committed], token: object) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...
    def renew(self) -> None:
        """A new producer with the same transactional id; fences the old one and ends its transaction."""

    def close(self) -> None: ...


class Clock(Protocol):
    """Deadlines use `monotonic` (s); `time` (s since 1970 UTC) is for people."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Feature groups looked up for the records of a part, one entry a record, as of each record's event time.

    `values[group][i]` is a mapping field -> value, or None where nothing usable was there; `ages[group][i]` its age
    in seconds of event time; `causes[group][i]` why it is None or stale: missing, stale, down, timeout, wrong_entity,
    wrong_schema, corrupt; `first` before an entity's first aggregate; empty where all is well.
    """

    values: Mapping[str, Sequence[Mapping[str, Any] | None]] = field(default_factory=dict)
    ages: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    causes: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Lookups(Protocol):
    """The feature cache as a scorer sees it. Never raises: down means `causes`, not an exception."""

    def get_many(self, entities: Mapping[str, Sequence[str | None]], times: Sequence[int]) -> Found:
        """`entities[group][i]` is the entity of record i, `times[i]` its event time in ms."""


class Runtime(Protocol):
    """A loaded model. `matrix` is float32 (n, d) in the bundle's feature order.

    Returns float64: (n,) for regression, (n, k) class probabilities in the bundle's class order otherwise.
    """

    def predict(self, matrix: Any) -> Any: ...


class Tracer(Protocol):
    """Thin tracing: one span a batch, linked to a sample of the records it holds."""

    def batch(
        self, name: str, *, destination: str, links: Sequence[str], attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[None]: ...
    def passes(self, traceparent: bytes) -> object:
        """Whether `carry` would give this context back as it is: true for nearly all, and asked for every record."""

    def pass_all(self, traceparents: Sequence[bytes | None]) -> bool:
        """Whether `carry` would give all of these back as they are; may say no where that would take time to find."""

    def carry(self, traceparent: str | None) -> str | None:
        """The context that the prediction of a record with this context carries."""
