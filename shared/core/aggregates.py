"""Entity aggregates: what the earlier records of an entity amount to, as of each event.

A record at event time t gives its entity a version stamped `s = (t // every + 1) * every`: strictly later, so that no
record sees itself. The version's values are over the distinct records of the entity with event time in `[s - over, s)`.
They are a function of that set and never of the order in which it came: sums are exact, records of one moment are
ordered by id. So a fold over a log in pieces, out of order, with repeats, and a training over a file agree to the bit.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from shared.core.pipeline import LookupSpec, PipelineSpec
from shared.core.records import FeatureUpdate

Row = tuple[Any, ...]
"""The values that aggregates need of one record, in the order of `Plan.fields`; None where it has none."""
Kind = Literal["number", "string", "boolean"]
_LARGEST = 2**63  # a whole number beyond has no place in JSON that every reader agrees on
_BITS = 1_074  # the smallest float is 2**-1074: shifted so far, every float is a whole number
_encode = msgspec.json.Encoder().encode


class Term(NamedTuple):
    """One aggregate: its name, what it takes, over how many ms, and of which column (-1: of none)."""

    name: str
    take: str
    over: int
    column: int


class Plan(msgspec.Struct, frozen=True):
    """The aggregates of one group, ready to be computed. Times in ms; `over` is the longest of the terms."""

    group: str
    key: str
    every: int
    late: int
    over: int
    fields: tuple[str, ...]
    kinds: tuple[Kind, ...]
    terms: tuple[Term, ...]

    def stamp(self, time: int) -> int:
        """The stamp of the version that a record at `time` gives its entity."""
        return (time // self.every + 1) * self.every

    def columns(self, take: str) -> tuple[int, ...]:
        """The columns that terms of this kind read."""
        return tuple(sorted({term.column for term in self.terms if term.take == take}))


def plans_of(spec: PipelineSpec) -> tuple[Plan, ...]:
    """One plan for each group of the pipeline that is kept from records; empty where there is none."""
    return tuple(_plan(spec, group, lookup) for group, lookup in spec.lookups.items() if lookup.aggregates)


def _plan(spec: PipelineSpec, group: str, lookup: LookupSpec) -> Plan:
    fields = tuple(dict.fromkeys(one.of for one in lookup.aggregates.values() if one.of))
    terms = tuple(
        Term(name, one.take, _ms(one.over), fields.index(one.of) if one.of else -1)
        for name, one in lookup.aggregates.items()
    )
    kinds = tuple(_kind(spec.record.fields[field].type) for field in fields)
    over = max(term.over for term in terms)
    return Plan(group, lookup.key, max(_ms(lookup.every), 1), _ms(lookup.late), over, fields, kinds, terms)


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _kind(field: str) -> Kind:
    return "string" if field == "string" else "boolean" if field == "boolean" else "number"


def usable(value: Any) -> Any:
    """A record's value as aggregates take it: None where it is absent, null, or a whole number beyond 64 bits."""
    if value is None or value is msgspec.UNSET or (type(value) is int and not -_LARGEST <= value < _LARGEST):
        return None
    return value


class Window:
    """The records of one entity in one group that may still count, in order of (time, id).

    Adding one at the end costs the same however many there are; a version costs a few bisections.
    """

    __slots__ = ("_base", "_counts", "_latest", "_plan", "_sums", "_valid", "keys", "marks", "rows")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.keys: list[tuple[int, str]] = []
        self.rows: list[Row] = []
        self.marks: list[int] = []
        """Where each record stands in the log."""
        self._base = 0  # records trimmed so far: positions in `_latest` count from the first ever
        self._valid = 0  # the running totals below are right for so many records
        self._counts: dict[int, list[int]] = {column: [0] for column in plan.columns("mean")}
        self._sums: dict[int, list[int]] = {column: [0] for column in plan.columns("mean")}
        self._latest: dict[int, list[int]] = {column: [-1] for column in plan.columns("last")}

    def add(self, time: int, name: str, row: Row, mark: int = 0) -> bool:
        """Take a record in; false where it is known already.

        Of two that share time and id but not their values, the one whose values sort later as JSON counts, whichever
        came first: the outcome may not depend on the order.
        """
        key, keys = (time, name), self.keys
        if not keys or key > keys[-1]:
            at = len(keys)
        else:
            at = bisect_left(keys, key)
            if keys[at] == key:
                return self._replace(at, row)
        keys.insert(at, key)
        self.rows.insert(at, row)
        self.marks.insert(at, mark)
        self._valid = min(self._valid, at)
        return True

    def _replace(self, at: int, row: Row) -> bool:
        known = self.rows[at]
        if known == row or _encode(row) <= _encode(known):
            return False
        self.rows[at] = row
        self._valid = min(self._valid, at)
        return True

    def stamps(self, times: Iterable[int]) -> list[int]:
        """The stamps, ascending, of the versions that records at these times (ms) belong to; the newest is always one.

        The newest is repeated since it must be the entity's last message in a compacted topic.
        """
        ordered, found, j = sorted(times), [], 0
        newest = stamp = self._plan.stamp(self.keys[-1][0])
        last = -1
        for i in range(bisect_left(self.keys, (ordered[0],)), len(self.keys)):
            stamp = self._plan.stamp(self.keys[i][0])
            if stamp == last:
                continue
            last = stamp
            while j + 1 < len(ordered) and ordered[j + 1] < stamp:
                j += 1
            if stamp - ordered[j] <= self._plan.over:
                found.append(stamp)
            elif j + 1 == len(ordered):
                break
        if not found or found[-1] != newest:
            found.append(newest)
        return found

    def values(self, stamp: int) -> dict[str, Any]:
        """The values of the version with this stamp, every aggregate by name; None where there is nothing to take."""
        if self._valid < len(self.rows):
            self._extend()
        high = bisect_left(self.keys, (stamp,))
        lows: dict[int, int] = {}
        made: dict[str, Any] = {}
        for name, take, over, column in self._plan.terms:
            low = lows.get(over)
            if low is None:
                low = lows[over] = bisect_left(self.keys, (stamp - over,), 0, high)
            made[name] = self._value(take, column, stamp, low, high)
        return made

    def _value(self, take: str, column: int, stamp: int, low: int, high: int) -> Any:
        if take == "count":
            return high - low
        if low == high:
            return None
        if take == "time_since":
            return (stamp - self.keys[high - 1][0]) / 1_000
        if take == "last":
            at = self._latest[column][high] - self._base
            return self.rows[at][column] if at >= low else None
        counts, sums = self._counts[column], self._sums[column]
        count = counts[high] - counts[low]
        # One rounding, of the exact quotient: no order of adding up can give another float.
        return (sums[high] - sums[low]) / (count << _BITS) if count else None

    def _extend(self) -> None:
        """Bring the running totals up to date from the first record that they do not know."""
        start, fresh = self._valid, self.rows[self._valid :]
        for column, sums in self._sums.items():
            counts = self._counts[column]
            del sums[start + 1 :], counts[start + 1 :]
            total, count = sums[start], counts[start]
            for row in fresh:
                if (value := row[column]) is not None:
                    total, count = total + _exact(value), count + 1
                sums.append(total)
                counts.append(count)
        for column, latest in self._latest.items():
            del latest[start + 1 :]
            newest = latest[start]
            for at, row in enumerate(fresh, self._base + start):
                newest = newest if row[column] is None else at
                latest.append(newest)
        self._valid = len(self.rows)

    def trim(self, before: int) -> None:
        """Forget the records of event times before this (ms); no version of later records may ask for them."""
        gone = bisect_left(self.keys, (before,))
        if not gone:
            return
        if self._valid < gone:
            self._extend()
        del self.keys[:gone], self.rows[:gone], self.marks[:gone]
        for totals in (*self._sums.values(), *self._counts.values(), *self._latest.values()):
            del totals[:gone]
        self._base += gone
        self._valid -= gone

    def __len__(self) -> int:
        return len(self.keys)


def _exact(value: float) -> int:
    """A number times 2**1074, which is whole."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (_BITS + 1 - denominator.bit_length())


class Event(NamedTuple):
    """One record as one group sees it: time in ms, and the values of `Plan.fields`."""

    entity: str
    time: int
    id: str
    row: Row


def events(plan: Plan, getter: Callable[[str], Callable[[Any], Any]]) -> Callable[[Any, str, int], Event | None]:
    """A function (row, id, time) -> event; None where the record names no entity of this group.

    Args:
        plan: the group.
        getter: gives the getter of a record's field, as `RecordCodec.getter`.
    """
    key, gets = getter(plan.key), tuple(getter(field) for field in plan.fields)

    def event(row: Any, name: str, time: int) -> Event | None:
        entity = key(row)
        if not entity or not isinstance(entity, str):  # null, absent or empty: there is nobody to keep it for
            return None
        return Event(entity, time, name, tuple(usable(get(row)) for get in gets))

    return event


def history(plan: Plan, known: Iterable[Event]) -> Iterator[FeatureUpdate]:
    """All versions that these records give their entities, as the fold over the log ends up with them."""
    entities: dict[str, list[Event]] = {}
    for event in known:
        entities.setdefault(event.entity, []).append(event)
    for entity, listed in entities.items():
        window = Window(plan)
        for _, time, name, row in sorted(listed, key=_order):
            window.add(time, name, row)
        for stamp in dict.fromkeys(plan.stamp(time) for time, _ in window.keys):
            yield FeatureUpdate(plan.group, entity, stamp, window.values(stamp))


def _order(event: Event) -> tuple[int, str]:
    return event.time, event.id


def aged(values: Mapping[str, Any], names: Sequence[str], age_ms: int) -> dict[str, Any]:
    """The values with `age_ms` added to those of `names`, in seconds: exact, as times are whole milliseconds."""
    grown = {name: (round(value * 1_000) + age_ms) / 1_000 for name in names if (value := values[name]) is not None}
    return {**values, **grown}
