"""An operator's wish that a model be trained anew, on `<pipeline>.asks`: the analyst decides on it like on the rest."""

import msgspec

from shared.core.records import SCHEMA_VERSION

LONGEST = 200
"""Characters of a reason that are kept."""


class Ask(msgspec.Struct, frozen=True):
    """One wish. `at` is wall time in ms; whoever reads it twice knows it by its id."""

    id: str
    at: int
    reason: str
    v: int = SCHEMA_VERSION


def name_of(ask: Ask) -> str:
    """What a request is told to begin with that serves this wish: its id and, in words, its reason."""
    words = " ".join(ask.reason.split())[:LONGEST]
    return f"{ask.id}: {words}" if words else ask.id
