"""Committed offsets as they are read back: where to begin, and the note that travels with each."""

import msgspec
from confluent_kafka import OFFSET_BEGINNING

from shared.core.records import Committed, Note

_decode = msgspec.json.Decoder(Note).decode


def start(committed: Committed) -> int:
    """The position to begin at, as the client takes it."""
    return committed.offset if committed.offset >= 0 else OFFSET_BEGINNING


def decode_note(metadata: str | None) -> Note:
    """The note of an offset; empty where an operator reset it without one, or with somebody else's metadata."""
    if not metadata:
        return Note()
    try:
        return _decode(metadata)
    except msgspec.DecodeError:
        return Note()
