"""The event time of a record before it is decoded whole, to read partitions side by side."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.core.codec import to_ms
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Message


def moment(spec: PipelineSpec) -> Callable[[Message], int | None]:
    """A function that gives a record's event time in ms; None for a barrier, and for what cannot be read."""
    row: Any = msgspec.defstruct(
        "Moment",
        [("at", int | Annotated[datetime, Meta(tz=True)])],
        rename={"at": spec.record.event_time},
        gc=False,
        frozen=True,
    )
    decode = msgspec.json.Decoder(row).decode

    def at(message: Message) -> int | None:
        try:
            return to_ms(decode(message.value() or b"").at)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
            return None

    return at
