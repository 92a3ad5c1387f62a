"""The entries of `journal` as the fold reads them: no more of an observation is taken apart than is asked."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from shared.core.monitor_records import LabelEntry, Tick
from shared.core.records import SCHEMA_VERSION


class SeenPrediction(msgspec.Struct, frozen=True, gc=False):
    """The fields of `Prediction` that are counted."""

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


class Seen(msgspec.Struct, frozen=True, gc=False, tag="observation", tag_field="type"):
    """The fields of `Observation` that are counted; record and look-ups are taken apart later, by columns."""

    v: int
    prediction: SeenPrediction
    record: msgspec.Raw
    lookups: msgspec.Raw
    shadow: bool = False


Entry = Seen | LabelEntry | Tick
_decode: Callable[[bytes], Entry] = msgspec.json.Decoder(Entry).decode


def entries_of(values: Sequence[bytes | None]) -> list[Entry | None]:
    """Each value as an entry; None for what is none (the journal is internal: a bug, or mischief)."""
    try:
        found: list[Any] = list(map(_decode, values))  # type: ignore[arg-type] # a None raises, and goes the slow way
    except Exception:  # noqa: BLE001 - whatever is wrong with one entry, the slow way finds which
        found = list(map(_one, values))
    return [one if one is not None and one.v == SCHEMA_VERSION else None for one in found]


def _one(value: bytes | None) -> Entry | None:
    try:
        return _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
