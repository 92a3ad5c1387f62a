"""From bytes to typed rows, strictly: what the pipeline's schema does not say is refused, never coerced.

`msgspec` already refuses NaN, Infinity, numbers as text, booleans as numbers, broken UTF-8, lone surrogates, byte
order marks and trailing text. It keeps the last of duplicate keys silently, so those are screened here: a JSON object
has at least two raw quotes a key and two a string value, whatever its white space and escapes, so a record
whose count of quotes is exactly what its decoded row needs cannot hold a duplicate, nor can a batch whose sum is what
its rows need. Only others pay for a full parse.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from shared.core import reasons
from shared.core.duplicates import exact_look
from shared.core.errors import Invalid
from shared.core.pipeline import FieldSpec, PipelineSpec

LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**63 - 1  # of an integer field
EARLIEST_MS = 315_532_800_000  # 1980-01-01: seconds sent as milliseconds land in 1970
Row = Any  # a msgspec.Struct made by `RecordCodec`, one attribute f0, f1 ... a declared field
Refusal = tuple[int, str, str]  # index in the input, reason, detail
Arrivals = Callable[[], Sequence[int]]  # log-append times in ms; a call a record, so asked for only where it matters


class Decoded(msgspec.Struct, frozen=True):
    """The good records of a batch as columns of equal length n, and the refused ones.

    `index[j]` is the place of row j in the input, `times` are event times in ms, `refused` is in input order.
    """

    rows: list[Row]
    index: Sequence[int]
    ids: list[str]
    keys: list[str]
    times: list[int]
    refused: list[Refusal]


class RecordCodec:
    """Decodes the records of one pipeline.

    Args:
        spec: the pipeline; its `record` section is the schema.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        self.fields = dict(spec.record.fields)
        self.attribute = {name: f"f{i}" for i, name in enumerate(self.fields)}
        self.row_type: type[Any] = _row_type(spec, self.attribute)
        self._decode: Callable[[bytes], Row] = msgspec.json.Decoder(self.row_type).decode
        self._max_bytes = spec.record.max_bytes
        self._max_future_ms = int(spec.record.max_future * 1000)
        self._id = self.getter(spec.record.id)
        self._key = self.getter(spec.record.key)
        self._time = self.getter(spec.record.event_time)
        fixed, variable = 0, []
        for name, field in self.fields.items():
            if not field.required or field.type == "timestamp" or (field.nullable and field.type == "string"):
                variable.append(self.getter(name))
            else:
                fixed += 4 if field.type == "string" else 2
        self._fixed_quotes, self._variable = fixed, variable

    def getter(self, name: str) -> Callable[[Row], Any]:
        """The value of a declared field of a row; UNSET where an optional field was absent."""
        return attrgetter(self.attribute[name])

    def decode(
        self,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None = None,
        logged_ms: Arrivals | None = None,
        begun_ms: int | None = None,
    ) -> Decoded:
        """Decode and check a batch.

        Args:
            values: n record values as they stand in the log.
            keys: n Kafka keys; one that is there must equal the record's key field. None: not checked.
            logged_ms: gives n log-append times, against which event times may not lie too far ahead. None: not checked.
            begun_ms: none of them is before this. Where no event time lies further ahead of it than half of what is
                allowed (which leaves the rest to a broker's clock that is set back), they are not asked for.

        Returns:
            The good rows as columns, and a refusal for each of the others.
        """
        try:
            index: Sequence[int] = range(len(values))
            rows = list(map(self._decode, values))  # type: ignore[arg-type] # a None raises, and goes the slow way
            refused: list[Refusal] = []
        except Exception:  # noqa: BLE001 - whatever is wrong with one record, the slow way finds which
            index, rows, refused = self._decode_slowly(values)
        ids, entities = list(map(self._id, rows)), list(map(self._key, rows))
        times = list(map(self._time, rows))
        if set(map(type, times)) != {int}:
            times = list(map(to_ms, times))
        if not self._all_fine(values, rows, refused, ids, entities, times, keys) or not (
            logged_ms is None or not times or self._timely(max(times), logged_ms, begun_ms)
        ):
            bad = self._check(values, rows, index, keys, None if logged_ms is None else logged_ms())
            refused = sorted(refused + [(index[j], reason, detail) for j, (reason, detail) in bad.items()])
            good = [j for j in range(len(rows)) if j not in bad]
            rows, index = [rows[j] for j in good], [index[j] for j in good]
            ids, entities, times = [ids[j] for j in good], [entities[j] for j in good], [times[j] for j in good]
        return Decoded(rows=rows, index=index, ids=ids, keys=entities, times=times, refused=refused)

    def _all_fine(
        self,
        values: Sequence[bytes | None],
        rows: list[Row],
        refused: list[Refusal],
        ids: list[str],
        entities: list[str],
        times: list[int],
        keys: Sequence[bytes | None] | None,
    ) -> bool:
        """Whether all checks but that of arrival hold, by columns: a fifth of the cost of asking record by record."""
        if refused or not rows:
            return not rows
        return (
            max(map(len, values)) <= self._max_bytes  # type: ignore[arg-type] # no value is None here
            and self._quotes_fit(values, rows)
            and all(ids)
            and all(entities)
            and "".join(ids).isprintable()
            and "".join(entities).isprintable()
            and min(times) >= EARLIEST_MS
            and (keys is None or list(keys) == list(map(str.encode, entities)))
        )

    def _timely(self, latest: int, logged_ms: Arrivals, begun_ms: int | None) -> bool:
        if begun_ms is not None and latest <= begun_ms + self._max_future_ms // 2:
            return True
        return latest <= min(logged_ms()) + self._max_future_ms

    def _quotes_fit(self, values: Sequence[bytes | None], rows: list[Row]) -> bool:
        """Whether no record has a quote too many: none can have too few, so their sum tells, at a third of the cost."""
        found = np.frombuffer(b"".join(values), np.uint8)  # type: ignore[arg-type] # no value is None here
        needed = sum(self._quotes(rows)) if self._variable else self._fixed_quotes * len(rows)
        return int(np.count_nonzero(found == _QUOTE)) == needed

    def _decode_slowly(self, values: Sequence[bytes | None]) -> tuple[list[int], list[Row], list[Refusal]]:
        index: list[int] = []
        rows: list[Row] = []
        refused: list[Refusal] = []
        for i, value in enumerate(values):
            try:
                rows.append(self.decode_one(value))
                index.append(i)
            except Invalid as error:
                refused.append((i, error.reason, error.detail))
        return index, rows, refused

    def decode_one(self, value: bytes | None) -> Row:
        """Decode one value without the checks across columns.

        Raises:
            Invalid: with the reason and what was wrong where.
        """
        if not value:
            raise Invalid(reasons.EMPTY, "the value is empty" if value is not None else "the value is null")
        if len(value) > self._max_bytes:
            raise Invalid(reasons.TOO_LARGE, f"{len(value):,} bytes, at most {self._max_bytes:,} are allowed")
        try:
            return self._decode(value)
        except msgspec.ValidationError as error:
            raise Invalid(_reason(str(error)), self._named(str(error))) from None
        except RecursionError:
            raise Invalid(reasons.NOT_JSON, "nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(reasons.NOT_JSON, str(error)[:200]) from None

    def _named(self, message: str) -> str:
        return message.replace("`$.", "`")[:200]

    def _check(
        self,
        values: Sequence[bytes | None],
        rows: list[Row],
        index: Sequence[int],
        keys: Sequence[bytes | None] | None,
        logged_ms: Sequence[int] | None,
    ) -> dict[int, tuple[str, str]]:
        bad: dict[int, tuple[str, str]] = {}
        expected = self._quotes(rows)
        for j, row in enumerate(rows):
            value = values[index[j]] or b""
            if value.count(b'"') != expected[j] and (problem := exact_look(value)):
                bad[j] = problem
            elif len(value) > self._max_bytes:
                bad[j] = (reasons.TOO_LARGE, f"{len(value):,} bytes, at most {self._max_bytes:,} are allowed")
            elif (problem := self._identity(row, None if keys is None else keys[index[j]])) or (
                problem := self._moment(row, None if logged_ms is None else logged_ms[index[j]])
            ):
                bad[j] = problem
        return bad

    def _quotes(self, rows: list[Row]) -> list[int]:
        expected = [self._fixed_quotes] * len(rows)
        for get in self._variable:
            needs = [0 if v is UNSET else 4 if type(v) in _QUOTED else 2 for v in map(get, rows)]
            expected = [a + b for a, b in zip(expected, needs, strict=True)]
        return expected

    def _identity(self, row: Row, kafka_key: bytes | None) -> tuple[str, str] | None:
        name, key = self._id(row), self._key(row)
        if not name or not name.isprintable():
            return reasons.BAD_ID, "the id is empty or has control characters"
        if not key or not key.isprintable():
            return reasons.BAD_KEY, "the entity is empty or has control characters"
        if kafka_key is not None and kafka_key != key.encode():
            return reasons.KEY_MISMATCH, "the Kafka key differs from the record's own entity"
        return None

    def _moment(self, row: Row, logged_ms: int | None) -> tuple[str, str] | None:
        at = to_ms(self._time(row))
        if at < EARLIEST_MS:
            return reasons.BAD_EVENT_TIME, f"{at} ms is before 1980; times are milliseconds or RFC 3339"
        if logged_ms is not None and at > logged_ms + self._max_future_ms:
            return reasons.BAD_EVENT_TIME, f"{at} ms lies too far after the record's arrival; are these microseconds?"
        return None


_QUOTE = ord('"')
_QUOTED = frozenset({str, datetime})


def to_ms(moment: int | datetime) -> int:
    """An event time in milliseconds since 1970 UTC."""
    if isinstance(moment, int):
        return moment
    return round((moment - _EPOCH).total_seconds() * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _row_type(spec: PipelineSpec, attribute: dict[str, str]) -> type[Any]:
    fields: list[Any] = []
    for name, field in spec.record.fields.items():
        kind = _type_of(field)
        if field.nullable:
            kind = kind | None
        fields.append((attribute[name], kind) if field.required else (attribute[name], kind | UnsetType, UNSET))
    fields.sort(key=len)  # optional ones last, as structs want it
    return msgspec.defstruct(
        "Row",
        fields,
        rename={short: name for name, short in attribute.items()},
        forbid_unknown_fields=spec.record.extra == "refuse",
        gc=False,
        frozen=True,
    )


def _type_of(field: FieldSpec) -> Any:
    low, high = field.minimum, field.maximum
    if field.out_of_range == "flag":
        low = high = None
    if field.type == "string":
        return Annotated[str, Meta(max_length=field.max_length)]
    if field.type == "integer":
        # Without bounds a number of 4,000 digits would pass here, and break the matrix.
        least = LEAST_INTEGER if low is None else max(int(low), LEAST_INTEGER)
        most = MOST_INTEGER if high is None else min(int(high), MOST_INTEGER)
        return Annotated[int, Meta(ge=least, le=most)]
    if field.type == "number":
        return Annotated[float, Meta(ge=low, le=high)]
    if field.type == "timestamp":
        return int | Annotated[datetime, Meta(tz=True)]
    return bool


def _reason(message: str) -> str:
    for part, reason in _REASONS:
        if part in message:
            return reason
    return reasons.WRONG_TYPE


_REASONS = (
    ("missing required field", reasons.MISSING_FIELD),
    ("contains unknown field", reasons.UNKNOWN_FIELD),
    ("out of range", reasons.OUT_OF_RANGE),
    (" of length <=", reasons.TOO_LONG),
    ("` >= ", reasons.OUT_OF_RANGE),
    ("` <= ", reasons.OUT_OF_RANGE),
)
