"""Entries of `journal`, as their documents describe them: declared again here, so that nothing is taken on trust."""

from collections.abc import Callable
from typing import Any

import msgspec

from shared.core.aggregate_fields import fields_of
from shared.core.pipeline import PipelineSpec

LARGEST = 900_000
"""Bytes of an entry."""
EARLIEST, LATEST = 315_532_800_000, 253_402_300_799_999
"""ms: the years from 1980 to 9999."""
PSEUDONYM = 32
"""Characters of the longest id, where a record's own are shorter."""
LONGEST_VERSION = 64
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-"
OLDEST = 1e12
"""s: an age further from nothing is none."""
_TYPES: dict[str, Any] = {"number": float, "string": str, "boolean": bool}


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """What was answered; `event_time` in ms."""

    v: int
    id: str
    key: str
    event_time: int
    score: float
    label: str | float
    version: str
    probabilities: dict[str, float] | None = None
    flags: tuple[str, ...] = ()
    ages: dict[str, float | None] | None = None


class Observation(msgspec.Struct, frozen=True, gc=False, tag="observation", tag_field="type"):
    """An answer, its record and what was looked up for it, both as they stand there."""

    v: int
    prediction: Prediction
    record: msgspec.Raw
    lookups: msgspec.Raw
    shadow: bool = False

    @property
    def time(self) -> int:
        """Event time, ms."""
        return self.prediction.event_time


class Body(msgspec.Struct, frozen=True, gc=False):
    """What a label says; `at` is where its record stands, if that is known."""

    id: str
    value: str | float | bool
    time: int
    at: tuple[int, int] | None = None
    revision: int = 0
    v: int = 1


class Label(msgspec.Struct, frozen=True, gc=False, tag="label", tag_field="type"):
    """A label; `at` is its own place in `labels`."""

    label: Body
    at: tuple[int, int]
    sampled: bool = True
    v: int = 1

    @property
    def time(self) -> int:
        """Event time, ms."""
        return self.label.time


class Tick(msgspec.Struct, frozen=True, gc=False, tag="tick", tag_field="type"):
    """Event time of elsewhere, ms."""

    time: int
    v: int = 1


Entry = Observation | Label | Tick
_decode: Callable[[bytes], Any] = msgspec.json.Decoder(Entry).decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Reader:
    """Reads the entries of one pipeline, by the rules of docs/monitor.md.

    Args:
        spec: the pipeline.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        self._classes, self._numbers = spec.labels.classes, spec.task == "regression"
        self._longest = max(spec.record.fields[spec.record.id].max_length, PSEUDONYM)
        self._looked_up = looker(spec)

    def __call__(self, value: bytes | None) -> Entry | None:
        """One entry; None for what is none."""
        if value is None or len(value) > LARGEST:
            return None
        try:
            entry: Entry = _decode(value)
        except _BROKEN:
            return None
        if entry.v != 1 or not EARLIEST <= entry.time <= LATEST:
            return None
        if isinstance(entry, Observation):
            return entry if self._is_answer(entry.prediction) and self._looked_up(entry.lookups) is not None else None
        return entry if isinstance(entry, Tick) or self._is_truth(entry) else None

    def _is_answer(self, said: Prediction) -> bool:
        numbers = [*(said.probabilities or {}).values(), *([] if self._numbers else [said.score])]
        ages = [abs(age) for age in (said.ages or {}).values() if age is not None]
        return (
            said.v == 1
            and self._is_id(said.id)
            and 0 < len(said.version) <= LONGEST_VERSION
            and set(said.version) <= set(LETTERS)
            and isinstance(said.label, float if self._numbers else str)
            and all(0 <= number <= 1 for number in numbers)
            and max(ages, default=0) <= OLDEST
        )

    def _is_truth(self, entry: Label) -> bool:
        label, places = entry.label, [*entry.at, *(entry.label.at or ())]
        return (
            label.v == 1
            and self._is_id(label.id)
            and (type(label.value) is float if self._numbers else label.value in self._classes)
            and 0 <= label.revision < 2**31
            and all(0 <= place < 2**63 for place in places)
        )

    def _is_id(self, name: str) -> bool:
        return 0 < len(name) <= self._longest


def looker(spec: PipelineSpec) -> Callable[[msgspec.Raw], dict[str, dict[str, Any]] | None]:
    """Takes look-ups apart: the values of each group that has any; None where something is of another type."""
    groups = {group: list(fields_of(spec, group).items()) for group in spec.lookups}
    types = {
        f"g{i}": msgspec.defstruct(
            "Group", [(f"f{j}", _TYPES[kind] | None, None) for j, (_, kind) in enumerate(fields)],
            rename={f"f{j}": name for j, (name, _) in enumerate(fields)},
        ) | None
        for i, fields in enumerate(groups.values())
    }  # fmt: skip
    made = msgspec.defstruct("Groups", [(short, kind, None) for short, kind in types.items()],
                             rename=dict(zip(types, groups, strict=True)))  # fmt: skip
    decode = msgspec.json.Decoder(made).decode

    def take(raw: msgspec.Raw) -> dict[str, dict[str, Any]] | None:
        try:
            found = zip(groups.items(), msgspec.structs.astuple(decode(raw)), strict=True)
        except _BROKEN:
            return None
        return {
            group: dict(zip([name for name, _ in fields], msgspec.structs.astuple(values), strict=True))
            for (group, fields), values in found
            if values is not None
        }

    return take
