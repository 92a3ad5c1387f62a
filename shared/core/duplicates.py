"""Keys that stand twice in a JSON object: found the slow, exact way, for the few records whose quotes do not add up."""

import json
from typing import Any

import msgspec

from shared.core import reasons
from shared.core.errors import Invalid


def exact_look(value: bytes) -> tuple[str, str] | None:
    """What the quotes may hide: an undeclared field that no reader could take apart, or a key that stands twice."""
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return reasons.NOT_JSON, f"an undeclared field: {error}"[:200]
    return (reasons.DUPLICATE_KEY, "a key stands twice in one object") if has_duplicate_keys(value) else None


def has_duplicate_keys(value: bytes) -> bool:
    """Whether any object in this JSON text names a key twice (the slow, exact way)."""

    def pairs(items: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in items}) != len(items):
            raise Invalid(reasons.DUPLICATE_KEY)

    try:
        json.loads(value, object_pairs_hook=pairs)
    except Invalid:
        return True
    except (ValueError, RecursionError):  # an undeclared field beyond Python's limits: not provably single
        return True
    return False
