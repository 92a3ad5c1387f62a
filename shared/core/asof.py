"""Features as of the event: which version of an entity's values a record may use.

One code path serves scoring, training and replay. `shared/core/versions.py` has how versions are written down.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from shared.core.aggregates import aged
from shared.core.errors import Invalid
from shared.core.pipeline import LookupSpec
from shared.core.ports import Found
from shared.core.records import FeatureUpdate
from shared.core.versions import DIGITS, Stored, misfit, validate_update

_SHAPE = re.compile(rb"[0-9]{13} ")


class Picked(NamedTuple):
    """What a record gets: values and their age (s of event time, negative: newer), both None where nothing is usable.

    `cause` is "" where all is well, `first` for an entity without earlier records in a group of aggregates (then with
    counts of 0), else missing, stale (with values where the spec says `use`), wrong_entity, wrong_schema or corrupt; a
    cache adds timeout and down.
    """

    values: Mapping[str, Any] | None
    age_s: float | None
    cause: str


Answer = tuple[Mapping[str, Any] | None, float | None, str]
"""A `Picked` without its names: making a named tuple would cost a record as much as all the rest."""


class AsOf(Protocol):
    """Whatever can be asked for the values at an event time (ms)."""

    def at(self, at_ms: int) -> Answer:
        """Values, age and cause, as in `Picked`."""


class Nothing:
    """The same cause for every time; no values, or those that an entity has before its first record."""

    __slots__ = ("_answer",)

    def __init__(self, cause: str, values: Mapping[str, Any] | None = None) -> None:
        self._answer: Answer = (values, None, cause)

    def at(self, at_ms: int) -> Answer:
        """The same, whatever the time."""
        del at_ms
        return self._answer


class _Version(NamedTuple):
    """A parsed version, and the span of event times [since, until) in ms that it answers for.

    `growing` names the values that grow with the version's age: the time since an entity's last record.
    """

    since: float
    until: float
    time: int
    values: Mapping[str, Any] | None
    cause: str
    growing: tuple[str, ...] = ()


FIRST = "first"
MISSING = Nothing("missing")
CORRUPT = Nothing("corrupt")
_NEVER = _Version(0, 0, 0, None, "missing")
_DECODER = msgspec.json.Decoder(Stored)


class Versions:
    """The versions of one entity. Nothing is split or parsed before a record asks for it: most ask for the newest.

    Args:
        value: the stored text; its first line is well formed.
        group: the group that the versions must name.
        entity: the entity that they must name.
        spec: the group's declaration.
        whole: nothing was ever dropped from the value, as a cache drops what is older than `keep`.
    """

    __slots__ = (
        *("_entity", "_group", "_head", "_last", "_lines", "_max_age", "_parsed", "_spec", "_value", "_whole"),
        "newest",
    )

    def __init__(self, value: bytes, *, group: str, entity: str, spec: LookupSpec, whole: bool = False) -> None:
        self._whole = whole
        self._value = value
        self._group, self._entity, self._spec = group, entity, spec
        self._max_age = float(spec.max_age)
        self._lines: list[bytes] | None = None
        self._parsed: dict[int, _Version] | None = None
        self._head: _Version | None = None
        self._last = _NEVER
        self.newest = int(value[:DIGITS])
        """Event time (ms) of the newest version."""

    def at(self, at_ms: int) -> Answer:
        """The newest version at or before `at_ms`; with `allow_newer` the nearest later one where there is none."""
        since, until, time, values, cause, growing = self._last
        if not since <= at_ms < until:  # records come nearly in order, so most meet the version of the one before
            self._last = _, _, time, values, cause, growing = self._find(at_ms)
        if values is None or cause:
            return values, None, cause
        if growing:
            values = aged(values, growing, at_ms - time)
        age = (at_ms - time) / 1_000
        if age <= self._max_age:
            return values, age, ""
        return (values, age, "stale") if self._spec.on_stale == "use" else (None, None, "stale")

    def _find(self, at_ms: int) -> _Version:
        if at_ms >= self.newest:
            if self._head is None:
                self._head = self._parse(self._value[: self._value.index(b"\n")], self.newest, float("inf"))
            return self._head
        if self._lines is None or self._parsed is None:
            self._lines, self._parsed = self._value.split(b"\n"), {}
            self._lines.pop()
            self._lines.sort()  # linear: they stand newest first
        lines = self._lines
        i = bisect_right(lines, b"%013d~" % at_ms) - 1
        if i < 0 and not self._spec.allow_newer:
            return self._before(at_ms, len(lines))
        found = self._parsed.get(i)
        if found is None:
            line = lines[max(i, 0)]
            since = _time(line) if i >= 0 else float("-inf")
            found = self._parsed[i] = self._parse(line, since, _time(lines[i + 1]) if i + 1 < len(lines) else since)
        return found

    def _before(self, at_ms: int, versions: int) -> _Version:
        """What holds before the oldest version: there was none, unless the cache may have dropped it."""
        oldest_kept = self.newest - float(self._spec.keep) * 1_000
        known = self._whole or (at_ms >= oldest_kept and versions < self._spec.max_versions)
        before = before_first(self._spec) if known else None
        return _NEVER if before is None else _NEVER._replace(values=before, cause=FIRST)

    def _parse(self, line: bytes, since: float, until: float) -> _Version:
        if not _SHAPE.match(line):
            return _Version(0, 0, 0, None, "corrupt")
        try:
            stored = _DECODER.decode(line[DIGITS + 1 :])
        except (msgspec.DecodeError, RecursionError):
            return _Version(since, until, 0, None, "corrupt")
        cause = self._fault(stored)
        values = {name: stored.v.get(name) for name in self._spec.fields} if not cause else None
        kept = self._spec.aggregates
        growing = tuple(name for name, one in kept.items() if one.take == "time_since") if kept else ()
        return _Version(since, until, int(line[:DIGITS]), values, cause, growing)

    def _fault(self, stored: Stored) -> str:
        if stored.e != self._entity or stored.g != self._group:
            return "wrong_entity"
        if stored.s != self._spec.schema_version:
            return "wrong_schema"
        return "corrupt" if misfit(stored.v, self._spec) else ""


def _time(line: bytes) -> int:
    return int(line[:DIGITS]) if _SHAPE.match(line) else -1


def before_first(spec: LookupSpec) -> Mapping[str, Any] | None:
    """The values of an entity that no record named yet, in a group of aggregates; None for a group of producers'."""
    if not spec.aggregates:
        return None
    return {name: 0 if one.take == "count" else None for name, one in spec.aggregates.items()}


def absent(spec: LookupSpec) -> Nothing:
    """What is known of an entity without any version."""
    before = before_first(spec)
    return MISSING if before is None else Nothing(FIRST, before)


def open_value(
    value: bytes | None, *, group: str, entity: str, spec: LookupSpec, whole: bool = False
) -> Versions | Nothing:
    """Make a stored value answer questions; a truncated or foreign one is corrupt as a whole."""
    if value is None:
        return absent(spec)
    if not value.endswith(b"\n") or not _SHAPE.match(value):
        return CORRUPT
    return Versions(value, group=group, entity=entity, spec=spec, whole=whole)


def pick(value: bytes | None, *, group: str, entity: str, at_ms: int, spec: LookupSpec) -> Picked:
    """The version of a stored value that a record of event time `at_ms` may use. Never raises."""
    return Picked(*open_value(value, group=group, entity=entity, spec=spec).at(at_ms))


Tables = Mapping[str, Mapping[str | None, AsOf]]


def join(entities: Mapping[str, Sequence[str | None]], times: Sequence[int], tables: Tables) -> Found:
    """Give each record its own version. `tables[group]` answers for every entity that stands in `entities[group]`."""
    values: dict[str, Sequence[Mapping[str, Any] | None]] = {}
    ages: dict[str, Sequence[float | None]] = {}
    causes: dict[str, Sequence[str]] = {}
    for group, column in entities.items():
        ask = {entity: table.at for entity, table in tables[group].items()}
        picked = [ask[entity](at) for entity, at in zip(column, times, strict=True)]
        values[group], ages[group], causes[group] = zip(*picked, strict=True) if picked else ((), (), ())
    return Found(values, ages, causes)


class HistoryLookups:
    """The `Lookups` port over a full history in memory: training and replay see what a scorer would have seen.

    Of two updates of an entity with equal time the later of `updates` counts, as in the log. Updates that the feature
    writer would refuse are left out and counted in `rejected` by reason.
    """

    def __init__(self, updates: Iterable[FeatureUpdate], specs: Mapping[str, LookupSpec]) -> None:
        self.rejected: Counter[str] = Counter()
        self._specs = specs
        lines: dict[tuple[str, str], dict[int, bytes]] = {}
        for update in updates:
            try:
                line = validate_update(update, specs)
            except Invalid as error:
                self.rejected[error.reason] += 1
                continue
            lines.setdefault((update.group, update.entity), {})[update.time] = line
        self._tables: dict[tuple[str, str | None], AsOf] = {}
        for (group, entity), versions in lines.items():
            value = b"".join(sorted(versions.values(), reverse=True))
            self._tables[group, entity] = open_value(value, group=group, entity=entity, spec=specs[group], whole=True)
        self._absent = {group: absent(spec) for group, spec in specs.items()}

    def get_many(self, entities: Mapping[str, Sequence[str | None]], times: Sequence[int]) -> Found:
        """As `Lookups.get_many`; an undeclared group is a bug (KeyError)."""
        for group in entities:
            self._specs[group]
        tables = {group: {e: self._table(group, e) for e in set(column)} for group, column in entities.items()}
        return join(entities, times, tables)

    def _table(self, group: str, entity: str | None) -> AsOf:
        return self._tables.get((group, entity), self._absent[group] if entity else MISSING)
