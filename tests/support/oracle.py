"""What a pipeline must make of a record, by Python's own parser and every rule written down a second time.

It shares nothing with the codec and the matrix but the declaration, and it is as slow as it is plain.
"""

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from shared.core.pipeline import FieldSpec, PipelineSpec

EARLIEST = datetime(1980, 1, 1, tzinfo=UTC).timestamp() * 1000
MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
INT64 = (-(2**63), 2**63 - 1)


def scored(spec: PipelineSpec, key: bytes | None, value: bytes | None, logged: int) -> bool:
    """Whether a record must become a prediction; if not, it must become a dead letter.

    Args:
        spec: the pipeline.
        key: the Kafka key.
        value: of the record.
        logged: when it arrived, ms.
    """
    tree = _tree(spec, value)
    return tree is not None and _identified(spec, tree, key) and _timely(spec, tree, logged) and _fit(spec, tree)


def _tree(spec: PipelineSpec, value: bytes | None) -> dict[str, Any] | None:
    if not value or len(value) > spec.record.max_bytes:
        return None
    try:
        tree = json.loads(value.decode("utf-8"), object_pairs_hook=_single, parse_constant=_never, parse_float=_finite)
        json.dumps(tree, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return None
    fields = spec.record.fields
    if not isinstance(tree, dict) or (spec.record.extra == "refuse" and set(tree) - set(fields)):
        return None
    return tree if all(_declared(tree, name, field) for name, field in fields.items()) else None


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _never(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    if math.isinf(float(text)):
        raise ValueError(text)
    return float(text)


def _declared(tree: dict[str, Any], name: str, field: FieldSpec) -> bool:
    if name not in tree:
        return not field.required
    value = tree[name]
    return field.nullable if value is None else _typed(value, field)


def _typed(value: Any, field: FieldSpec) -> bool:
    if field.type == "string":
        return isinstance(value, str) and len(value) <= field.max_length
    if field.type == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if field.type == "timestamp":
        return isinstance(value, int) or _moment(value) is not None
    if field.type == "integer":
        return isinstance(value, int) and INT64[0] <= value <= INT64[1] and _within(value, field)
    return isinstance(value, int | float) and abs(value) <= 2**1023 * (2 - 2**-52) and _within(value, field)


def _within(value: float, field: FieldSpec) -> bool:
    if field.out_of_range == "flag":
        return True
    low, high = field.minimum, field.maximum
    return (low is None or value >= low) and (high is None or value <= high)


def _moment(value: Any) -> float | None:
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper()).timestamp() * 1000
    except (ValueError, OverflowError):
        return None


def _identified(spec: PipelineSpec, tree: dict[str, Any], key: bytes | None) -> bool:
    name, entity = tree[spec.record.id], tree[spec.record.key]
    clean = all(one and one.isprintable() for one in (name, entity))
    return clean and key in (None, entity.encode())


def _timely(spec: PipelineSpec, tree: dict[str, Any], logged: int) -> bool:
    given = tree[spec.record.event_time]
    at = given if isinstance(given, int) else _moment(given)
    return at is not None and EARLIEST <= at <= logged + spec.record.max_future * 1000


def _fit(spec: PipelineSpec, tree: dict[str, Any]) -> bool:
    """What the matrix refuses: a number beyond 32 bits, a value that is missing where it must not be."""
    for feature in spec.features:
        if feature.lookup:
            continue
        value = tree.get(feature.source)
        if value is None and feature.missing == "reject":
            return False
        if feature.kind == "numeric" and isinstance(value, int | float):
            with np.errstate(over="ignore"):
                if np.isinf(np.float32(value)):
                    return False
    return True
