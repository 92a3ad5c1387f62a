"""What a good label is: strictly, and with its value as the class's own name."""

import math
from collections.abc import Callable

import msgspec
from msgspec import UNSET, UnsetType

from shared.core import reasons
from shared.core.codec import EARLIEST_MS
from shared.core.duplicates import has_duplicate_keys
from shared.core.errors import Invalid
from shared.core.pipeline import PipelineSpec
from shared.core.records import SCHEMA_VERSION, Label

MAX_BYTES = 8_192
MAX_REVISION = 2**31 - 1
Value = str | float


class _Given(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A label as producers write it; a misspelt key (`revison`) must not pass for a label without that key."""

    id: str
    value: str | float | bool
    time: int
    at: tuple[int, int] | UnsetType | None = UNSET
    revision: int | UnsetType = UNSET
    v: int | UnsetType = UNSET


_decode: Callable[[bytes], _Given] = msgspec.json.Decoder(_Given).decode


class LabelCheck:
    """Decodes and checks the labels of one pipeline.

    Args:
        spec: the pipeline; its task and classes say which values are good.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        labels = spec.labels
        self._numbers = spec.task == "regression"
        self._classes = {name: name for name in labels.classes}
        self._words = {True: "true", False: "false"}
        if spec.task == "binary":
            other = next((name for name in labels.classes if name != labels.positive), "")
            self._words = {
                value: word if word in self._classes else (labels.positive if value else other)
                for value, word in self._words.items()
            }
        self._partitions = spec.partitions
        self._max_future = int(spec.record.max_future * 1_000)
        self._max_id = spec.record.fields[spec.record.id].max_length

    def label(self, value: bytes | None, key: bytes | None, logged: int) -> Label:
        """A good label.

        Args:
            value: as it stands in `labels`.
            key: the message's key.
            logged: the log-append time in ms.

        Raises:
            Invalid: with the reason and what was wrong.
        """
        given = self._given(value)
        self._identity(given, key)
        if not EARLIEST_MS <= given.time <= logged + self._max_future:
            raise Invalid(reasons.BAD_EVENT_TIME, f"{given.time} ms is before 1980, or too far after arrival")
        revision = 0 if given.revision is UNSET else given.revision
        if not 0 <= revision <= MAX_REVISION:
            raise Invalid(reasons.OUT_OF_RANGE, f"revision {revision} is not in 0..{MAX_REVISION}")
        at = None if given.at is UNSET else given.at
        if at is not None and not (0 <= at[0] < self._partitions and at[1] >= 0):
            raise Invalid(reasons.OUT_OF_RANGE, f"at {list(at)} is no position in records")
        return Label(given.id, self._value(given.value), given.time, at, revision)

    def _given(self, value: bytes | None) -> _Given:
        if not value:
            raise Invalid(reasons.EMPTY, "the value is empty" if value is not None else "the value is null")
        if len(value) > MAX_BYTES:
            raise Invalid(reasons.TOO_LARGE, f"{len(value):,} bytes, at most {MAX_BYTES:,} are allowed")
        try:
            given = _decode(value)
        except msgspec.ValidationError as error:
            raise Invalid(_reason(str(error)), str(error).replace("`$.", "`")[:200]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(reasons.NOT_JSON, str(error)[:200]) from None
        optional = (given.at is not UNSET) + (given.revision is not UNSET) + (given.v is not UNSET)
        quotes = 8 + 2 * optional + 2 * isinstance(given.value, str)
        if value.count(b'"') != quotes and has_duplicate_keys(value):
            raise Invalid(reasons.DUPLICATE_KEY, "a key stands twice")
        if given.v is not UNSET and given.v != SCHEMA_VERSION:
            raise Invalid(reasons.UNKNOWN_SCHEMA, f"v is {given.v}, known is {SCHEMA_VERSION}")
        return given

    def _identity(self, given: _Given, key: bytes | None) -> None:
        if not given.id or not given.id.isprintable():
            raise Invalid(reasons.BAD_ID, "the id is empty or has control characters")
        if len(given.id) > self._max_id:
            raise Invalid(reasons.TOO_LONG, f"the id has {len(given.id)} characters, a record's has {self._max_id}")
        if not key and (given.at is UNSET or given.at is None):
            raise Invalid(reasons.BAD_KEY, "neither a key nor a locator (`at`): nobody knows where its record is")

    def _value(self, value: Value | bool) -> Value:  # noqa: FBT001 - true and false are values of labels
        if self._numbers:
            if isinstance(value, bool | str):
                raise Invalid(reasons.WRONG_TYPE, f"the value is a {type(value).__name__}, a number is expected")
            if not math.isfinite(value):
                raise Invalid(reasons.OUT_OF_RANGE, "the value is not finite")
            return float(value)
        if isinstance(value, bool):
            value = self._words[value]
        if not isinstance(value, str):
            raise Invalid(reasons.WRONG_TYPE, "the value is a number, the name of a class is expected")
        name = self._classes.get(value)
        if name is None:
            raise Invalid(reasons.UNKNOWN_CLASS, f"{value[:40]!r}; classes are {', '.join(self._classes)}"[:200])
        return name


def _reason(message: str) -> str:
    if "missing required field" in message:
        return reasons.MISSING_FIELD
    return reasons.UNKNOWN_FIELD if "unknown field" in message else reasons.WRONG_TYPE
