"""Plays a table of bad input on a real broker, with a real worker and a Redis of its own that is spoilt as well."""

import os
import pickle
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import redis
from confluent_kafka import KafkaError, Message, Producer

from shared.adapters.redis_features import RedisAddress, RedisWriter
from shared.core.records import FeatureUpdate
from shared.core.versions import MAX_VALUE, encode_version, entity_key
from tailrace.proof.audit import Account
from tests.support.bundles import START
from tests.support.letters import Post
from tests.support.raw_header import send as send_raw
from tests.support.redis_server import RedisServer
from tests.support.spec import FEATURES, FIELDS
from tests.support.wait import until
from tests.support.world import World, make_world, record
from tests.system.bad_input_table import DEPOT, REFUSED, SCORED, TOPIC_BYTES, Row, body

HOUR = 3_600_000
WIND = {"wind": 11.0}
LOOKUPS = re.compile(r'^tailrace_lookups_total\{[^}]*result="(\w+)"[^}]*\} ([\d.e+]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cached:
    """A value in Redis: what the look-up is counted as, the prediction's flag, and what was used of it."""

    name: str
    stored: Callable[[str, Path], bytes]
    counted: str
    flag: str = "degraded"
    used: Mapping[str, Any] | None = None


class Payload:
    """Touches the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def line(entity: str, *, ago: int = 60_000, version: int = 1, values: Mapping[str, Any] = WIND) -> bytes:
    """A well-formed version of an entity, so many ms before the record."""
    return encode_version(FeatureUpdate("weather", entity, START - ago, dict(values)), version)


def framed(content: bytes) -> bytes:
    """Bytes where a version's JSON belongs."""
    return b"%013d %b\n" % (START - 60_000, content)


CACHED = (
    Cached("B41 another entity's value", lambda _, __: line("somebody-else"), "wrong_entity"),
    Cached("B41 another schema version", lambda e, _: line(e, version=2), "wrong_schema"),
    Cached("B41 truncated", lambda e, _: line(e)[:-5], "corrupt"),
    Cached("B41 pickled", lambda _, canary: pickle.dumps(Payload(canary)), "corrupt"),
    Cached(
        "B41 pickled, framed as a version", lambda _, c: b"%013d %b\n" % (START, pickle.dumps(Payload(c))), "corrupt"
    ),
    Cached("B41 value of 10 MB", lambda e, _: line(e) * (MAX_VALUE // 50), "corrupt"),
    Cached("B41 value of another type", lambda e, _: line(e, values={"wind": "11"}), "corrupt"),
    Cached("B41 clock ahead", lambda e, _: line(e, ago=-HOUR), "miss"),
    Cached("B41 expired", lambda e, _: line(e, ago=13 * HOUR), "stale", "stale", WIND),
    Cached("B41 no value", lambda _, __: b"", "corrupt"),
)


@dataclass(slots=True)
class Outcome:
    """What became of one record: `scored`, a reason, or that the broker refused it."""

    said: str
    prediction: dict[str, Any] = field(default_factory=dict)
    observation: dict[str, Any] = field(default_factory=dict)
    letter: tuple[dict[str, str], bytes | None, bytes | None] = ({}, None, None)


@dataclass(slots=True)
class Table:
    """The run, over."""

    name: str
    outcomes: dict[str, Outcome]
    account: Account
    sent: int
    restarts: int
    same_process: bool
    log: str
    lookups: Counter[str]
    keys: set[str]
    commands: set[str]
    canary: Path


class Sender:
    """Sends records one by one, and knows where each came to stand."""

    def __init__(self, w: World) -> None:
        self._topic = f"{w.spec.name}.records"
        self._producer = Producer(
            {**w.conf, "partitioner": "murmur2_random", "message.max.bytes": 2 * TOPIC_BYTES, "linger.ms": 0}
        )
        self.places: dict[tuple[int, int], str] = {}
        self.refused: dict[str, str] = {}

    def send(self, name: str, key: bytes | None, value: bytes | None, headers: Any = None) -> None:
        """Send one, alone in its batch."""

        def done(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.refused[name] = error.name()
            else:
                self.places[message.partition() or 0, message.offset() or 0] = name

        self._producer.produce(self._topic, value, key, headers=headers, on_delivery=done)
        assert self._producer.flush(30) == 0


class Spy(threading.Thread):
    """Hears all that is asked of a Redis."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._client = redis.Redis.from_url(url)
        self.commands: list[list[str]] = []

    def run(self) -> None:
        """Until the server goes."""
        with suppress(redis.RedisError, OSError, ValueError), self._client.monitor() as heard:  # type: ignore[no-untyped-call] # theirs
            for said in heard.listen():
                self.commands.append(str(said["command"]).split(" "))


def spoil(w: World, server: RedisServer, canary: Path) -> None:
    """Good features of the table's entities, and the bad ones of B41."""
    writer = RedisWriter(RedisAddress(server.url), w.spec.name, w.spec.lookups)
    writer.write([FeatureUpdate("weather", DEPOT, START - 60_000, WIND)])
    writer.close()
    client = redis.Redis.from_url(server.url)
    for i, row in enumerate(CACHED):
        entity = f"b41-{i}"
        client.set(entity_key(w.spec.name, "weather", entity), row.stored(entity, canary))
    client.close()


def pipeline() -> dict[str, Any]:
    """The sections of the table's pipeline."""
    optional: dict[str, Any] = {"required": False}
    fields: dict[str, Any] = {
        **FIELDS,
        "floors": {"type": "integer"} | optional,
        "age": {"type": "number", "minimum": 0, "maximum": 120, "out_of_range": "flag"} | optional,
        "volume": {"type": "number", "minimum": 0} | optional,
    }
    features = [f | ({"missing": "reject"} if f["name"] == "stops" else {}) for f in FEATURES]
    return {
        "privacy": {},
        "record": {"id": "id", "key": "depot", "event_time": "at", "fields": fields},
        "features": [*features, {"name": "floors", "missing": "default", "default": 1}],
        "topics": {"records": {"max_message_bytes": TOPIC_BYTES}},
        "delivery": {"dead_letters": {"in_a_row": 10_000, "share": 1.0}},
    }


def send_all(w: World, rows: Sequence[Row]) -> Sender:
    """The table, each row followed by a good record of the same entity, then what no row can say."""
    sender = Sender(w)

    def good(name: str) -> None:
        sender.send(f"after {name}", DEPOT.encode(), body(id=f"after {len(sender.places)}"))

    for row in rows:
        sender.send(row.name, row.key, row.value, row.headers)
        if row.like is not None:
            sender.send(f"like {row.name}", DEPOT.encode(), row.like)
        good(row.name)
    for i, cached in enumerate(CACHED):
        sender.send(cached.name, f"b41-{i}".encode(), body(depot=f"b41-{i}"))
    send_raw(w.kafka, f"{w.spec.name}.records", DEPOT.encode(), body(id="raw"), b"\xff\xfe\xe9")
    good("B31 header name of no UTF-8")
    return sender


@contextmanager
def played(kafka: str, folder: Path, name: str, rows: Sequence[Row]) -> Iterator[Table]:
    """Send everything to one worker and wait until everything has an outcome."""
    canary = folder / "canary"
    with RedisServer() as server:
        w = make_world(folder, name, kafka, redis=server.url, env={"TAILRACE_REDIS__TIMEOUT": "2"}, **pipeline())
        try:
            spoil(w, server, canary)
            w.start(1)
            w.send("records", [record(i) for i in range(10)])
            until(w.all_scored(10), "the worker to score", 60)
            pid, spy = w.pid(0), Spy(server.url)
            spy.start()
            until(lambda: bool(spy.commands) or spy.is_alive(), "the spy")
            sender = send_all(w, rows)
            sent = 10 + len(sender.places) + 1
            until(w.all_scored(sent), "every record to have an outcome", 120)
            yield gather(w, sender, spy, sent, same=w.pid(0) == pid, canary=canary)
        finally:
            w.supervisor.close()


def gather(w: World, sender: Sender, spy: Spy, sent: int, *, same: bool, canary: Path) -> Table:
    """All that is to be known of a run."""
    outcomes = {name: Outcome(REFUSED if why == "MSG_SIZE_TOO_LARGE" else why) for name, why in sender.refused.items()}
    names = dict(sender.places)
    for made in w.values("predictions"):
        if made["id"] == "raw":
            names[tuple(made["at"])] = "B31 header name of no UTF-8"
        if name := names.get(tuple(made["at"])):
            outcomes[name] = Outcome(SCORED, {"flags": [], **made})
    for seen in w.values("journal"):
        if name := names.get(tuple(seen["prediction"]["at"])):
            outcomes[name].observation = seen
    for letter in Post(w.spec, w.folder, w.kafka).read("records.dlq"):
        given: Any = letter.headers()
        headers = {key: value.decode() for key, value in given}
        partition, offset = headers["tailrace-source"].rpartition("[")[2].split("]@")
        key: Any = letter.key()
        value: Any = letter.value()
        outcomes[names[int(partition), int(offset)]] = Outcome(headers["tailrace-reason"], letter=(headers, key, value))
    asked = [words for words in spy.commands if words[0].upper() == "MGET"]
    return Table(
        name=w.spec.name,
        outcomes=outcomes,
        account=w.account(),
        sent=sent,
        restarts=w.restarts(),
        same_process=same,
        log="".join(path.read_text() for path in (w.folder / "state" / "logs").glob("scorer-*.log")),
        lookups=counted(w),
        keys={key for words in asked for key in words[1:]},
        commands={words[0].upper() for words in spy.commands},
        canary=canary,
    )


def counted(w: World) -> Counter[str]:
    """The worker's look-ups by result, as its metrics say."""
    (address,) = [status.address for status in w.supervisor.status()]
    deadline = time.monotonic() + 5
    found: Counter[str] = Counter()
    while not found and time.monotonic() < deadline:
        with urlopen(f"{address}/metrics", timeout=5) as answer:  # noqa: S310 - our own worker on loopback
            text = answer.read().decode()
        for result, n in re.findall(
            r'^tailrace_lookups_total\{[^}]*result="(\w+)"[^}]*\} ([\d.e+]+)$', text, re.MULTILINE
        ):
            found[result] += int(float(n))
    return found
