"""Entries of `journal`, as their documents describe them: declared again here, so that nothing is taken on trust."""

from collections.abc import Callable
from typing import Any

import msgspec


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
    logged: int
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


def entry_of(value: bytes | None) -> Entry | None:
    """One entry; None for what is none, or of another schema."""
    try:
        entry: Entry = _decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return entry if entry.v == 1 else None
