"""The fold's own logic: events of entities in, new versions of their features out. It writes nothing.

Its memory is ahead of the log while a batch is in hand. If that batch is not committed, the memory is thrown away and
read again from the log (`shared.runtime.rebuild`), never mended.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from services.ingest.aggregates.fold.state import PartitionState
from shared.core import reasons
from shared.core.aggregates import Kind, Plan, Row, plans_of
from shared.core.codec import EARLIEST_MS
from shared.core.errors import Abortable, Invalid
from shared.core.metrics import Metrics
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Block, Count, Message, Part, Reject, Result
from shared.core.records import SCHEMA_VERSION, EntityEvent
from shared.core.versions import MAX_MS

_encode = msgspec.json.Encoder().encode
_TYPES: dict[Kind, frozenset[type]] = {
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
}
Taken = tuple[Message, tuple[str, str, int, str, Row] | None]


class FoldStep:
    """Folds events into versions; implements `Step` and `shared.runtime.rebuild.Memory`.

    Args:
        spec: the pipeline.
        topic: `<pipeline>.features`.
        metrics: told how much is held in memory.
    """

    def __init__(self, spec: PipelineSpec, topic: str, metrics: Metrics) -> None:
        self._plans: dict[str, Plan] = {plan.group: plan for plan in plans_of(spec)}
        self._topic, self._metrics = topic, metrics
        self._states: dict[int, PartitionState] = {}
        self._decode = msgspec.json.Decoder(EntityEvent).decode

    def __call__(self, part: Part) -> Result:
        """See `Step`.

        Raises:
            Abortable: a bug; the memory no longer agrees with the log and is read again.
        """
        rejects: list[Reject] = []
        taken = list(self._read(part.messages, rejects))
        try:
            fates = self._fold(taken)
            self._reach(part.messages)
            updates = [update for p in sorted({m.partition() for m, _ in taken}) for update in self._states[p].due()]
        except Exception as error:
            self.forget({m.partition() for m in part.messages})
            raise Abortable(f"the aggregates could not be folded: {type(error).__name__}: {error}") from error
        counts = [Count("tailrace_aggregate_events_total", n, {"result": fate}) for fate, n in fates.items()]
        keys = [f"{update.group}:{update.entity}".encode() for update in updates]
        blocks = [Block(self._topic, keys, list(map(_encode, updates)))] if updates else []
        return Result(blocks, rejects, counts)

    def next(self, partition: int) -> int:
        """See `Memory.next`."""
        state = self._states.get(partition)
        return -1 if state is None else state.next

    def low(self, partition: int) -> int:
        """See `Memory.low`. Every batch before the one that begins is committed: now is the time to let go."""
        state = self._states[partition]
        state.settle()
        self._metrics.gauge("tailrace_aggregate_records", sum(one.held for one in self._states.values()))
        return state.low

    def begin(self, partition: int, offset: int) -> None:
        """See `Memory.begin`."""
        state = self._states[partition] = PartitionState(self._plans)
        state.next = offset

    def refill(self, messages: Sequence[Message]) -> None:
        """See `Memory.refill`. What was a dead letter then is one still: it is passed over without a word."""
        self._fold(self._read(messages, []))
        self._reach(messages)
        for partition in {m.partition() for m in messages}:
            self._states[partition].nothing_is_due()
            self._states[partition].settle()

    def forget(self, partitions: Iterable[int]) -> None:
        """See `Memory.forget`."""
        for partition in partitions:
            self._states.pop(partition, None)

    def _fold(self, taken: Iterable[Taken]) -> Counter[str]:
        fates: Counter[str] = Counter()
        for message, event in taken:
            state = self._states[message.partition()]
            fates["unknown" if event is None else state.take(event, message.offset())] += 1
        return fates

    def _reach(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._states[message.partition()].next = message.offset() + 1

    def _read(self, messages: Sequence[Message], rejects: list[Reject]) -> Iterable[Taken]:
        for message in messages:
            try:
                yield message, self._event(message)
            except Invalid as error:
                rejects.append(Reject(message, error.reason, error.detail))

    def _event(self, message: Message) -> tuple[str, str, int, str, Row] | None:
        """The event of a message; None for a group that the pipeline no longer has, which is nobody's mistake."""
        try:
            event = self._decode(message.value() or b"")
        except msgspec.ValidationError as error:
            raise Invalid(reasons.WRONG_TYPE, str(error)[:200]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(reasons.NOT_JSON, str(error)[:200]) from None
        if event.v != SCHEMA_VERSION:
            raise Invalid(reasons.UNKNOWN_SCHEMA, f"v is {event.v}, known is {SCHEMA_VERSION}")
        if message.key() != f"{event.group}:{event.entity}".encode():
            raise Invalid(reasons.KEY_MISMATCH, "the key is not <group>:<entity> of its value")
        if not EARLIEST_MS <= event.time <= MAX_MS:
            raise Invalid(reasons.BAD_EVENT_TIME, f"{event.time} ms is not in {EARLIEST_MS}..{MAX_MS}")
        if not event.entity or not event.id:
            raise Invalid(reasons.BAD_ID, "the entity or the id is empty")
        plan = self._plans.get(event.group)
        return None if plan is None else (event.group, event.entity, event.time, event.id, _row(plan, event.values))


def _row(plan: Plan, values: dict[str, Any]) -> Row:
    row = tuple(map(values.get, plan.fields))
    for name, kind, value in zip(plan.fields, plan.kinds, row, strict=True):
        if value is not None and type(value) not in _TYPES[kind]:
            raise Invalid(reasons.WRONG_TYPE, repr(name[:64]))
    return row
