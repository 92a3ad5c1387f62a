"""Mutations of what is around a record: its Kafka key and its headers."""

import random
from collections.abc import Callable

from shared.core.deadletter import ATTEMPT, ORIGIN, REASON, SOURCE
from shared.core.records import CONTROL_HEADER, TRACEPARENT, TRACESTATE, Headers

LONG_KEY, LONG_HEADER = 100_000, 50_000  # bytes
NO_EPOCH = 2**31  # of forged barriers: no rollout ever gets there
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def other_key(key: bytes, dice: random.Random) -> bytes | None:
    """No key, an empty one, another entity's, one that is no text, a very long one."""
    return dice.choice((None, None, b"", b"other", key.lower(), key.upper(), key + b"\n", key[:-1], b"\xff\xfe", b"\0"))


def long_key(key: bytes, dice: random.Random) -> bytes:
    """A key far longer than any entity."""
    return key + b"x" * dice.choice((300, LONG_KEY))


def _trace(dice: random.Random) -> Headers:
    odd = (
        TRACE,
        TRACE,
        b"",
        b"junk",
        TRACE + b"-",
        b"ff" + TRACE[2:],
        b"01" + TRACE[2:] + b"-more",
        b"\xff" * 55,
        None,
    )
    return [(TRACEPARENT, dice.choice(odd))]


def _repeated(dice: random.Random) -> Headers:
    return [*_trace(dice), *_trace(dice), (TRACESTATE, b"a=1"), (TRACESTATE, dice.choice((b"b=2", b"", None)))]


def _long(dice: random.Random) -> Headers:
    return [(TRACEPARENT, TRACE), (TRACESTATE, b"s" * dice.choice((513, LONG_HEADER)))]


def _ours(dice: random.Random) -> Headers:
    names = (ORIGIN, SOURCE, ATTEMPT, REASON, "tailrace-body", "tailrace-detail")
    return [(name, dice.choice((b"x", b"\xff\n", b"3", b"", None))) for name in dice.sample(names, 3)]


def _barrier(dice: random.Random) -> Headers:
    return [(CONTROL_HEADER, dice.choice((b"1", b"", None, b"\xff")))]


def _many(dice: random.Random) -> Headers:
    return [(dice.choice(("", "x", "\u00e9\n", "a" * 500)), dice.choice((b"\0", b"\xff\xfe", None))) for _ in range(50)]


HEADER_MUTATIONS: tuple[Callable[[random.Random], Headers], ...] = (
    _trace, _trace, _repeated, _long, _ours, _barrier, _many,
)  # fmt: skip


def name_of(mutation: Callable[[random.Random], Headers]) -> str:
    """What a report calls it."""
    return f"header{mutation.__name__}"
