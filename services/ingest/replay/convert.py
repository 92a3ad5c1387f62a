"""Rows of a file as records: the declared fields, strictly typed where the file has only text."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from shared.core.history import to_milliseconds
from shared.core.pipeline import FieldSpec, RecordSpec

Row = Mapping[str, Any]
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class BadValueError(ValueError):
    """A value that is not what its field declares: `column`, and why."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(f"{column}: {why}")
        self.column = column
        self.why = why


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ValueError("no integer")
        return int(value)
    # A column of integers with nulls comes out of many writers as floats; that loses nothing.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
        raise ValueError("no number")
    return float(value)


def _boolean(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in {"true", "false"}:
        raise ValueError("neither true nor false")
    return value == "true"


def _timestamp(value: Any) -> Any:
    return to_milliseconds(value)


def _string(value: Any) -> Any:
    return value


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
}


class Converter:
    """Makes records of rows: text cells are converted by the declared type, other values are sent as they are.

    An empty cell is null where the field is nullable, left out where it is not required, and else bad. Columns
    that are no field of the record (the target, say) are left out.
    """

    def __init__(self, spec: RecordSpec) -> None:
        self._fields = [(name, field, _CONVERTERS[field.type]) for name, field in spec.fields.items()]
        self._key = spec.key
        self._time = spec.event_time

    def record(self, row: Row) -> dict[str, Any]:
        """The record of a row.

        Raises:
            BadValueError: a value is missing or does not convert; the first one is named.
        """
        record: dict[str, Any] = {}
        for name, field, convert in self._fields:
            value = row.get(name)
            if value is None:
                if _is_sent_as_null(name, field, row):
                    record[name] = None
                continue
            try:
                record[name] = convert(value)
            except ValueError as error:
                raise BadValueError(name, f"{value!r} is {error}") from None
        return record

    def as_it_is(self, row: Row) -> dict[str, Any]:
        """The declared fields of a bad row, unconverted, for whoever wants it sent to become a dead letter."""
        return {name: row[name] for name, _, _ in self._fields if row.get(name) is not None}

    def time(self, row: Row) -> int:
        """The event time of a row, ms since 1970 UTC.

        Raises:
            BadValueError: it has none.
        """
        if row.get(self._time) is None:
            raise BadValueError(self._time, "is empty" if self._time in row else "is not in the file")
        try:
            return to_milliseconds(row[self._time])
        except ValueError as error:
            raise BadValueError(self._time, str(error)) from None

    def key(self, row: Row) -> bytes | None:
        """The Kafka key of a row: its entity; None where it has none."""
        entity = row.get(self._key)
        return None if entity is None else str(entity).encode()


def _is_sent_as_null(name: str, field: FieldSpec, row: Row) -> bool:
    if field.nullable:
        return field.required or name in row
    if field.required:
        raise BadValueError(name, "is empty" if name in row else "is not in the file")
    return False
