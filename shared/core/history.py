"""Rows of history files as the types of the wire: feature updates and labels.

A feature file has the columns `group`, `entity`, `time` and `values` (a struct or object), or a column
`values.<field>` for each value. A label file has `id`, `value`, `time`, and where it is known the record's `key`.
Times are milliseconds since 1970 UTC, or RFC 3339 text with an offset.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.core.records import FeatureUpdate, Label

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_milliseconds(value: object) -> int:
    """An instant as milliseconds since 1970 UTC.

    Args:
        value: an integer of milliseconds, its digits as text, or RFC 3339 text with an offset.

    Raises:
        ValueError: it is neither, or has no offset.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no time")  # noqa: TRY004 - one exception for every way to be no time
    if value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError(f"{value!r} has no offset from UTC")
    since = instant - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def to_update(row: Mapping[str, Any], fields: Mapping[str, str]) -> FeatureUpdate:
    """One row of a feature file.

    Args:
        row: as read; a null value is left out, since "not measured" is no value.
        fields: the group's fields and their types (`lookups.<group>.fields`); text cells are converted by them.

    Raises:
        KeyError: a column is missing.
        ValueError: a value does not convert.
    """
    values = row.get("values")
    if values is None:
        values = {name: row[f"values.{name}"] for name in fields if f"values.{name}" in row}
    if not isinstance(values, Mapping):
        raise ValueError(f"values is {type(values).__name__}, not an object")  # noqa: TRY004 - the row's fault, as above
    present = {name: _value(name, value, fields) for name, value in values.items() if value is not None}
    return FeatureUpdate(str(row["group"]), str(row["entity"]), to_milliseconds(row["time"]), present)


def to_label(row: Mapping[str, Any], *, numeric: bool) -> Label:
    """One row of a label file.

    Args:
        row: as read.
        numeric: the task is a regression, so a text cell is converted to a number.

    Raises:
        KeyError: a column is missing.
        ValueError: a value is null or does not convert.
    """
    value = row["value"]
    if value is None or row["id"] is None:
        raise ValueError("id or value is null")
    if numeric and isinstance(value, str):
        value = float(value)
    return Label(str(row["id"]), value, to_milliseconds(row["time"]), revision=int(row.get("revision") or 0))


def _value(name: str, value: object, fields: Mapping[str, str]) -> object:
    kind = fields.get(name, "")
    if not isinstance(value, str) or kind in {"", "string"}:
        return value
    if kind == "boolean" and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    try:
        number = float(value if kind == "number" else "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name}: {value!r} is no {kind}")
    return number
