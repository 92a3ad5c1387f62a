"""Everything that is known after the faults: what was sent, seen, attempted. The checkers need nothing else."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from shared.core.pipeline import PipelineSpec
from shared.core.records import Application, Barrier, BundleRef, Prediction, Rollout
from shared.core.rollout import version_for
from tailrace.proof.material import place_of
from tailrace.proof.tape import CONTROL, OUTCOMES, Position, Row
from tailrace.proof.trail import Told

FIRST_EPOCH = 1


@dataclass(slots=True)
class Attempt:
    """One attempt at a delivery. `ended` says what its worker knows of it; `counts` has messages by short topic."""

    began: float
    counts: dict[str, int]
    ended: str = ""  # committed, aborted (it never came to the commit), unsure; empty: the worker died in it


@dataclass(frozen=True, slots=True)
class Input:
    """A record: its key, its place in the key's order (None: malformed by design), its bytes."""

    key: str
    place: int | None
    value: bytes


@dataclass(frozen=True)
class Evidence:
    """All of it.

    `after`, `live` and `raw` are the outputs as seen by a read_committed reader afterwards, by one during the faults,
    and by a read_uncommitted one. `refs` has the champion of each epoch, `canaries` those epochs that have
    two versions. `offsets` has (Unix ms, committed offset by partition) as seen during the faults.
    """

    spec: PipelineSpec
    guarantee: str
    records: Sequence[Row]
    after: Sequence[Row]
    live: Sequence[Row]
    raw: Sequence[Row]
    attempts: Mapping[str, Attempt]
    offsets: Sequence[tuple[int, Mapping[int, int]]]
    refs: Mapping[int, BundleRef]
    applications: Sequence[Application] = field(default_factory=list)
    canaries: Mapping[int, Rollout] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> dict[Position, Input]:
        """Every record but barriers; a forged one is a record like any other, and must become a dead letter."""
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        found = {}
        for row in self.records:
            if row.topic != CONTROL:
                found[row.at] = _input(self.spec, decode, row.value or b"")
            elif _epoch(row) not in self.refs:
                found[row.at] = Input("", None, row.value or b"")
        return found

    @cached_property
    def barriers(self) -> dict[int, list[tuple[int, int]]]:
        """(offset, epoch) of the genuine barriers of each partition, in order."""
        found: dict[int, list[tuple[int, int]]] = {}
        for row in self.records:
            if row.topic == CONTROL and _epoch(row) in self.refs:
                found.setdefault(row.partition, []).append((row.offset, _epoch(row)))
        return {partition: sorted(at) for partition, at in found.items()}

    @cached_property
    def predictions(self) -> list[tuple[Row, Prediction]]:
        """Committed ones in the order of their topic."""
        decode = msgspec.json.Decoder(Prediction).decode
        rows = sorted((r for r in self.after if r.topic == "predictions"), key=lambda r: (r.partition, r.offset))
        return [(row, decode(row.value or b"")) for row in rows]

    @cached_property
    def outcomes(self) -> Counter[Position]:
        """How many different committed messages are the outcome of a position, whoever of the two readers saw them."""
        places = {row.place: row.at for row in (*self.after, *self.live) if row.topic in OUTCOMES}
        return Counter(places.values())

    def owed(self, epoch: int, key: str) -> BundleRef | None:
        """The version that an epoch means for a key, as predictions name it; None where it means none."""
        canary = self.canaries.get(epoch)
        return self.refs.get(epoch) if canary is None else version_for(canary, key)

    def epoch_at(self, at: Position) -> int:
        """The epoch that the barriers in `records` put into force at a position."""
        partition, offset = at
        passed = [epoch for place, epoch in self.barriers.get(partition, ()) if place <= offset]
        return max(passed, default=FIRST_EPOCH)


def _epoch(row: Row) -> int:
    return msgspec.json.decode(row.value or b"{}", type=Barrier).epoch


def _input(spec: PipelineSpec, decode: Any, value: bytes) -> Input:
    try:
        fields = decode(value)
    except msgspec.DecodeError:
        return Input("", None, value)
    key = str(fields.get(spec.record.key, ""))
    return Input(key, place_of(str(fields.get(spec.record.id, "")), key.encode()), value)


def attempts_of(told: Iterable[Told], pipeline: str) -> dict[str, Attempt]:
    """The attempts that workers told of."""
    found: dict[str, Attempt] = {}
    for one in told:
        if one.what == "began":
            counts = {topic.removeprefix(f"{pipeline}."): n for topic, n in one.counts.items() if n}
            found[one.attempt] = Attempt(one.at, counts)
        elif one.what == "committed":
            found[one.attempt].ended = "committed"
        elif one.what == "failed":
            found[one.attempt].ended = "aborted" if one.sure else "unsure"
    return found
