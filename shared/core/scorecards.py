"""The arithmetic of scorecards: fixed point, and sums that merge in any order to the same bits."""

import math
from typing import Any, TypeVar

import msgspec

SCALE = 1 << 20
"""Units of a fixed-point number: 2^-20, about a millionth."""
LIMIT = float(1 << 42)
"""A value beyond +-2^42 (4.4e12) counts as that much: one wild value must not drown a window for ever."""
LEAST = 2.0**-20
"""The least probability of what came true: a log-loss is at most 13.87, however sure the model was."""
T = TypeVar("T")


def fixed(value: float) -> int:
    """A value in fixed point, rounded half to even; at most 2^62 in size. Sums are Python's integers: no overflow.

    Raises:
        ValueError: the value is NaN, which no sum may swallow.
    """
    if value != value:  # noqa: PLR0124 - the definition of NaN, at a fifth of the price of a call
        raise ValueError("NaN has no fixed-point value")
    return round(max(-LIMIT, min(value, LIMIT)) * SCALE)


def real(sum_: int) -> float:
    """A fixed-point sum as a number again."""
    return sum_ / SCALE


def log_loss(probability: float) -> int:
    """Log-loss of the probability that was given to what came true, in fixed point."""
    return round(-math.log(probability if probability > LEAST else LEAST) * SCALE)  # noqa: FURB136 - asked for every label: a call saved


def merge(a: T, b: T) -> T:
    """Two sums as one; associative and commutative, and an empty one changes nothing.

    Numbers are added; tuples by place, the shorter one as if it had zeros; mappings by key; structs by field.

    Raises:
        TypeError: the two are of different kinds.
    """
    result: Any = _merged(a, b)
    return result  # type: ignore[no-any-return] # of T, by the recursion


def _merged(a: Any, b: Any) -> Any:
    if type(a) is not type(b):
        raise TypeError(f"a {type(a).__name__} and a {type(b).__name__} do not add up")
    if isinstance(a, int):
        return a + b
    if isinstance(a, tuple):
        longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
        return tuple(map(int.__add__, longer, shorter)) + longer[len(shorter) :]
    if isinstance(a, dict):
        return {key: _either(a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys())}
    return type(a)(**{f: _merged(getattr(a, f), getattr(b, f)) for f in a.__struct_fields__})


def _either(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else _merged(a, b)


def negated(a: T) -> T:
    """What undoes a sum: merged with it, every number is 0 (keys and places stay)."""
    result: Any = _negated(a)
    return result  # type: ignore[no-any-return] # of T, by the recursion


def _negated(a: Any) -> Any:
    if isinstance(a, int):
        return -a
    if isinstance(a, tuple):
        return tuple(-x for x in a)
    if isinstance(a, dict):
        return {key: _negated(value) for key, value in a.items()}
    return type(a)(**{f: _negated(getattr(a, f)) for f in a.__struct_fields__})


encode = msgspec.json.Encoder(order="deterministic").encode
"""Equal sums have equal bytes: the keys of mappings are sorted."""
