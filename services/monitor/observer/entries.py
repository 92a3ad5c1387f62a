"""The entries of `journal` as the fold reads them: strictly, so that nothing that is folded later can break it.

The journal is internal, but not beyond doubt: what breaks one of the rules in docs/monitor.md is no entry. All rules
but one are types, which the decoder holds against each entry at no cost. Record and look-ups of an observation are
taken apart no further than they are counted, and all in one go.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import msgspec
from msgspec import Meta

from shared.core.aggregate_fields import fields_of
from shared.core.bundle_checks import VERSION
from shared.core.codec import EARLIEST_MS, Row
from shared.core.pipeline import PipelineSpec
from shared.core.privacy import HASH_BYTES

LATEST_MS = 253_402_300_799_999
"""The last moment of the year 9999: no time lies beyond it."""
LARGEST = 900_000
"""Bytes of an entry: its outcome must fit into a message of a megabyte."""
LONGEST_AGE = 1e12
"""Seconds; beyond it in either direction is no age of a look-up."""
MAX_REVISION = 2**31 - 1

Moment = Annotated[int, Meta(ge=EARLIEST_MS, le=LATEST_MS)]
Place = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Age = Annotated[float, Meta(ge=-LONGEST_AGE, le=LONGEST_AGE)]
Schema = Literal[1]
Looked = Mapping[str, Mapping[str, Any] | None]
"""Looked-up values by group and field."""

I = TypeVar("I", bound=str)  # noqa: E741 - an id; what stands for what differs from pipeline to pipeline
S = TypeVar("S", bound=float)  # a score
A = TypeVar("A", bound=str | float)  # an answer
L = TypeVar("L")  # look-ups
W = TypeVar("W", bound=str | float)  # what came true
R = TypeVar("R")  # a record


class SeenPrediction(msgspec.Struct, Generic[I, S, A], frozen=True, gc=False):
    """The fields of `Prediction` that are counted."""

    v: Schema
    id: I
    key: str
    event_time: Moment
    score: S
    label: A
    version: str
    probabilities: dict[str, Share] | None = None
    flags: tuple[str, ...] = ()
    ages: dict[str, Age | None] | None = None


class Seen(msgspec.Struct, Generic[I, S, A, L, R], frozen=True, gc=False, tag="observation", tag_field="type"):
    """The fields of `Observation` that are counted."""

    v: Schema
    prediction: SeenPrediction[I, S, A]
    record: R
    lookups: L
    shadow: bool = False


class Truth(msgspec.Struct, Generic[I, W], frozen=True, gc=False, omit_defaults=True):
    """A `Label`, the value being one that its pipeline has."""

    id: I
    value: W
    time: Moment
    at: tuple[Place, Place] | None = None
    revision: Annotated[int, Meta(ge=0, le=MAX_REVISION)] = 0
    v: Schema = 1


class SeenLabel(msgspec.Struct, Generic[I, W], frozen=True, gc=False, tag="label", tag_field="type"):
    """The fields of `LabelEntry` that are counted."""

    label: Truth[I, W]
    at: tuple[Place, Place]
    sampled: bool = True
    v: Schema = 1


class SeenTick(msgspec.Struct, frozen=True, gc=False, tag="tick", tag_field="type"):
    """A `Tick`."""

    time: Moment
    v: Schema = 1


AnySeen = Seen[str, float, str | float, Looked, Row | None]
AnyTruth = Truth[str, str | float]
AnyLabel = SeenLabel[str, str | float]
Entry = AnySeen | AnyLabel | SeenTick


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries in order, None for what is none; of the observations among them the records, and who made them.

    A record has the fields that are counted; it is None where it cannot be read.
    """

    entries: Sequence[Entry | None]
    rows: Sequence[Row | None]
    versions: set[str]


class Reader:
    """Reads the entries of one pipeline.

    Args:
        spec: says what values there are.
        row: the type of a record, with the fields that are counted.
    """

    def __init__(self, spec: PipelineSpec, row: type[Any]) -> None:
        self._decode: Callable[[bytes], Entry] = msgspec.json.Decoder(_entry_type(spec, row)).decode
        # An observation counts, whatever its record is: what cannot be read at once is read without.
        self._without: Callable[[bytes], Entry] = msgspec.json.Decoder(_entry_type(spec, msgspec.Raw)).decode

    def __call__(self, values: Sequence[bytes | None]) -> Batch:
        """Each value as an entry. Nothing is raised, whatever they are."""
        found: list[Entry | None]
        try:
            found = list(map(self._decode, values))  # type: ignore[arg-type] # a None raises, and goes the slow way
            fine = max(map(len, values), default=0) <= LARGEST  # type: ignore[arg-type] # none of them is None here
        except Exception:  # noqa: BLE001 - whatever is wrong with one entry, the slow way finds which
            fine = False
        if not fine:
            found = list(map(self._one, values))
        seen = [entry for entry in found if type(entry) is Seen]
        versions = {entry.prediction.version for entry in seen}
        strange = {version for version in versions if not VERSION.fullmatch(version)}
        if strange:
            found = [None if type(one) is Seen and one.prediction.version in strange else one for one in found]
            seen = [entry for entry in seen if entry.prediction.version not in strange]
        return Batch(found, [None if type(e.record) is msgspec.Raw else e.record for e in seen], versions - strange)

    def _one(self, value: bytes | None) -> Entry | None:
        if value is None or len(value) > LARGEST:
            return None
        for decode in (self._decode, self._without):
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return decode(value)
        return None


def _entry_type(spec: PipelineSpec, row: Any) -> Any:
    """The entries of a pipeline as a type. An id is a record's, or its pseudonym; a value one of the label's."""
    kind: Any = Literal
    longest = max(spec.record.fields[spec.record.id].max_length, 2 * HASH_BYTES)
    identity: Any = Annotated[str, Meta(min_length=1, max_length=longest)]
    numbers = spec.task == "regression"
    score: Any = float if numbers else Share
    answer: Any = float if numbers else str
    value: Any = float if numbers else kind[spec.labels.classes]
    looked: Any = _lookups_type(spec)
    seen: Any = Seen[identity, score, answer, looked, row]
    return seen | SeenLabel[identity, value] | SeenTick


def _lookups_type(spec: PipelineSpec) -> Any:
    """An object; of each group that the pipeline has an object or null, with values of their types or null."""
    types: dict[str, Any] = {"number": float | None, "string": str | None, "boolean": bool | None}
    make: Any = TypedDict  # its checker wants names that stand in the source
    groups = {
        group: make(group, {name: types[kind] for name, kind in fields_of(spec, group).items()}, total=False) | None
        for group in spec.lookups
    }
    return make("Lookups", groups, total=False)
