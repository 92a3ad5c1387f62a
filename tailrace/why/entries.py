"""What of `journal` a search looks at, decoded no further than it must be."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared.core.monitor_records import LabelEntry, Tick
from shared.core.ports import Message
from shared.core.records import Observation

Say = Callable[[str], None]
Entry = Observation | LabelEntry


class Blocks(Protocol):
    """A topic in pieces; `shared.adapters.kafka.blocks.BlockReader`."""

    def marks(self) -> dict[int, tuple[int, int]]:
        """The first offset of each partition, and the one after its last."""

    def block(self, partition: int, start: int, end: int) -> Sequence[Message]:
        """The records of a range of offsets, in order."""


class Seen(msgspec.Struct, frozen=True):
    """Of a prediction, its record's position and id."""

    id: str
    at: tuple[int, int]


class Head(msgspec.Struct, frozen=True):
    """Of an entry, what it is of."""

    type: str
    prediction: Seen | None = None
    shadow: bool = False


_head = msgspec.json.Decoder(Head).decode
_entry = msgspec.json.Decoder(Observation | LabelEntry | Tick).decode


def head_of(message: Message) -> Head | None:
    """The head of an observation that counts; None for whatever else stands in the journal."""
    value = message.value()
    try:
        head = _head(value) if value else None
    except msgspec.DecodeError:
        return None
    return head if head is not None and head.prediction is not None and not head.shadow else None


def entry_of(message: Message) -> Entry | None:
    """An observation or a label, whole; None for a tick, or what cannot be read."""
    value = message.value()
    try:
        entry = _entry(value) if value else None
    except msgspec.DecodeError:
        return None
    return entry if isinstance(entry, Observation | LabelEntry) else None


def words_of(name: str) -> bytes:
    """How an id stands in JSON: what does not hold these bytes is not about it, and need not be decoded."""
    return msgspec.json.encode(name)[1:-1]
