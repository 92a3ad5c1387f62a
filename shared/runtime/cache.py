"""The feature cache of a scorer: one round trip a batch, a small local cache, and an answer whatever happens.

Redis may be down, hang, be slow or hold rubbish: each record then gets a cause instead of values, never an exception,
never another entity's values, and never later than the deadline. It recovers by itself.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.core.asof import FIRST, MISSING, Answer, AsOf, Nothing, Versions, join, open_value
from shared.core.errors import Unavailable
from shared.core.metrics import Metrics
from shared.core.pipeline import LookupSpec
from shared.core.ports import Clock, Found
from shared.core.versions import entity_key
from shared.runtime.breaker import Breaker

CERTAIN_MAX_AGE = 30.0
"""Seconds for which an entry that reaches beyond a record is believed: a correction or a late update may still come."""
CHUNK = 1_000
"""Entities of one MGET. A batch with more asks again, with as much more time: what comes in time is not lost."""
_OVERHEAD = 1_000
"""Bytes that an entry takes besides its value, roughly."""
_Key = tuple[str, str]


class Reader(Protocol):
    """Reads values by key; `shared.adapters.redis_features.RedisReader`."""

    def mget(self, keys: Sequence[str], timeout: float) -> list[bytes | None]:
        """Values in key order, b"" for one that is too large. Raises TimeoutError or Unavailable, nothing else."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was read of one entity, and when (monotonic s)."""

    table: Versions | Nothing
    newest: int
    loaded: float
    size: int


class _Outdated:
    """An entry that could not be renewed: its versions are as good as their age says, their absence proves nothing."""

    __slots__ = ("_cause", "_table")

    def __init__(self, table: AsOf, cause: str) -> None:
        self._table, self._cause = table, cause

    def at(self, at_ms: int) -> Answer:
        answer = self._table.at(at_ms)
        return (None, None, self._cause) if answer[2] in ("missing", FIRST) else answer


class FeatureCache:
    """Implements `Lookups` over a `Reader`. For one thread.

    A local entry answers without a round trip while it is younger than `local_max_age`, or, for up to
    `CERTAIN_MAX_AGE`, where its newest version is not older than the records: what is in force for them is known then.
    While Redis is away the local entries go on to serve, as of the event; only their age says so.

    Args:
        reader: reads from Redis.
        specs: the pipeline's lookup groups.
        pipeline: its name, part of every key.
        clock: for the local cache's ages; monotonic.
        metrics: where look-ups are counted.
        local_max_age: seconds.
        local_size: entries kept, least recently used out first.
        local_bytes: bytes of values kept, likewise.
        timeout: seconds that each `CHUNK` of a batch waits at most for Redis; one that was quick leaves its rest over.
        breaker: keeps batches from waiting when Redis has just failed several of them.
    """

    def __init__(
        self,
        reader: Reader,
        specs: Mapping[str, LookupSpec],
        pipeline: str,
        clock: Clock,
        metrics: Metrics,
        *,
        local_max_age: float,
        timeout: float,
        breaker: Breaker,
        local_size: int = 20_000,
        local_bytes: int = 33_554_432,
    ) -> None:
        self._reader, self._specs, self._pipeline = reader, specs, pipeline
        self._clock, self._metrics, self._breaker = clock, metrics, breaker
        self._max_age, self._timeout = local_max_age, timeout
        self._most, self._room, self._bytes = local_size, local_bytes, 0
        self._local: OrderedDict[_Key, _Entry] = OrderedDict()

    def get_many(self, entities: Mapping[str, Sequence[str | None]], times: Sequence[int]) -> Found:
        """As `Lookups.get_many`: one MGET (for each `CHUNK`) for all that the local cache cannot answer for."""
        tables: dict[str, dict[str | None, AsOf]] = {}
        absent: list[_Key] = []
        now = self._clock.monotonic()
        for group, column in entities.items():
            table = tables[group] = {None: MISSING, "": MISSING}
            for entity, latest in _latest(column, times).items():
                entry = self._local.get((group, entity))
                if entry is not None and self._answers(entry, latest, now):
                    self._local.move_to_end((group, entity))
                    table[entity] = entry.table
                else:
                    absent.append((group, entity))
        for (group, entity), answer in zip(absent, self._fetch(absent) if absent else (), strict=True):
            tables[group][entity] = answer
        found = join(entities, times, tables)
        self._count(entities, found, frozenset(absent))
        return found

    def _answers(self, entry: _Entry, latest: int, now: float) -> bool:
        age = now - entry.loaded
        return age < self._max_age or (entry.newest >= latest and age < CERTAIN_MAX_AGE)

    def _fetch(self, wanted: Sequence[_Key]) -> list[AsOf]:
        if not self._breaker.allows():
            return self._outdated(wanted, "down")
        answers: list[AsOf] = []
        begin = self._clock.monotonic()
        try:
            for turn, start in enumerate(range(0, len(wanted), CHUNK), 1):
                answers += self._ask(wanted[start : start + CHUNK], begin, turn * self._timeout)
        except TimeoutError:
            return self._cut_short(answers, wanted, "timeout")
        except Unavailable:
            return self._cut_short(answers, wanted, "down")
        finally:
            self._evict()
            self._metrics.observe("tailrace_lookup_seconds", self._clock.monotonic() - begin)
        self._breaker.succeeded()
        return answers

    def _ask(self, wanted: Sequence[_Key], begin: float, budget: float) -> list[AsOf]:
        asked = self._clock.monotonic()
        left = budget - (asked - begin)
        if left <= 0:
            raise TimeoutError
        keys = [entity_key(self._pipeline, group, entity) for group, entity in wanted]
        values = self._reader.mget(keys, left)
        # Dated to the question, not to the answer: what was written in between is not in it.
        return [self._open(key, value, asked) for key, value in zip(wanted, values, strict=True)]

    def _cut_short(self, answers: list[AsOf], wanted: Sequence[_Key], cause: str) -> list[AsOf]:
        if answers and cause == "timeout":
            self._breaker.succeeded()  # it answers: the batch is too large for the deadline
        else:
            self._breaker.failed()
        return [*answers, *self._outdated(wanted[len(answers) :], cause)]

    def _open(self, key: _Key, value: bytes | None, loaded: float) -> AsOf:
        group, entity = key
        table = open_value(value, group=group, entity=entity, spec=self._specs[group])
        newest = table.newest if isinstance(table, Versions) else -1
        self._drop(key)
        entry = self._local[key] = _Entry(table, newest, loaded, len(value or b"") + _OVERHEAD)
        self._bytes += entry.size
        return table

    def _outdated(self, wanted: Iterable[_Key], cause: str) -> list[AsOf]:
        entries = (self._local.get(key) for key in wanted)
        nothing = Nothing(cause)
        return [nothing if entry is None else _Outdated(entry.table, cause) for entry in entries]

    def _evict(self) -> None:
        while len(self._local) > self._most or (self._bytes > self._room and self._local):
            self._drop(next(iter(self._local)))

    def _drop(self, key: _Key) -> None:
        entry = self._local.pop(key, None)
        self._bytes -= 0 if entry is None else entry.size

    def _count(self, entities: Mapping[str, Sequence[str | None]], found: Found, asked: frozenset[_Key]) -> None:
        results: Counter[str] = Counter()
        for group, column in entities.items():
            causes = Counter(found.causes[group])
            good = causes.pop("", 0)
            remote = {entity for kind, entity in asked if kind == group} if good else frozenset()
            hits = 0
            if remote:
                hits = sum(1 for e, cause in zip(column, found.causes[group], strict=True) if not cause and e in remote)
            results.update(causes)
            results.update({"hit": hits, "local_hit": good - hits})
        for cause, n in results.items():
            if n:
                self._metrics.count("tailrace_lookups_total", n, result="miss" if cause == "missing" else cause)


def _latest(column: Sequence[str | None], times: Sequence[int]) -> dict[str, int]:
    """The latest event time (ms) that each entity is asked for."""
    latest: dict[str, int] = {}
    for entity, at in zip(column, times, strict=True):
        if entity and latest.get(entity, at - 1) < at:
            latest[entity] = at
    return latest
