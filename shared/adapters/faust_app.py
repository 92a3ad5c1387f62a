"""A Faust application that reads topics of one partition each, keeps one of them in a table, and takes turns.

Of all members of the group one owns the partitions and works; the others wait for it to go. Faust's commits are not
used: where to read from is asked of the owner whenever the partitions are won (docs/adr/0020).
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError  # type: ignore[import-untyped] # it has no types
from faust.exceptions import ImproperlyConfigured
from faust.transport.base import Transport as AnyTransport
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, StreamT

from shared.core.errors import Unavailable, UserError
from shared.core.owning import Owner, Reading

_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_BUFFER = 2_000  # records that an agent has not taken yet
_REQUEST = 60.0  # s; above the session's time-out, as the client wants it, and above what `begin` may take
_PULSE = 1.0


class _Consumer(driver.Consumer):
    """Reads committed data only, and from where the owner says."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Faust calls this when streams go on after a rebalance, and when it has to read again."""
        starts = await cast("_App", self.app).desk.starts()
        for at in self.assignment():
            if at.topic in starts:
                earliest = (await self.earliest_offsets(at))[at]
                await self.seek(at, max(starts[at.topic], earliest or 0))


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: "driver.Transport") -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust sets it with its own transactions only
        return consumer


class _Transport(driver.Transport):
    Consumer = _Consumer


class _App(faust.App):
    desk: "Desk"

    def _new_transport(self) -> AnyTransport:
        return _Transport(self.conf.broker_consumer, self)


class Desk:
    """Between Faust and the owner: who may work, on what, and how far it was read."""

    def __init__(self, app: _App, reading: Reading, owner: Owner) -> None:
        self._app, self._reading, self._owner = app, reading, owner
        self._generation = -1
        self._next: dict[str, int] = {}  # what comes after the last record of each topic that was taken
        self._before: dict[str, int] = {}  # the same when it was last asked whether all had been read
        self._unread: dict[str, int] = {}  # the ends, at the last rebalance, of what was not yet read up to there
        self._alone = asyncio.Lock()
        self._gone: set[bytes] = set()

    async def starts(self) -> Mapping[str, int]:
        """Where to read each topic from: asked of the owner once a rebalance, later from where it was taken to."""
        generation = self._app.consumer_generation_id
        async with self._alone:
            if generation != self._generation:
                found = await asyncio.to_thread(self._owner.begin)
                self._next = {self._reading.kept: 0, **found}
                ends = await self._app.consumer.highwaters(*(TP(name, 0) for name in self._reading.topics))
                self._unread = {at.topic: end or 0 for at, end in ends.items()}
                self._generation = generation
        return dict(self._next)

    def owns(self) -> bool:
        """Whether the partitions are ours, and read."""
        mine = {at.topic for at in self._app.consumer.assignment()}
        now = self._app.consumer_generation_id
        return mine.issuperset(self._reading.topics) and now == self._generation and not self._app.rebalancing

    def is_new(self, message: Any) -> bool:
        """Whether a message was read in this ownership, and comes after the last one of its topic."""
        now = message.generation_id == self._generation == self._app.consumer_generation_id
        if not now or message.offset < self._next.get(message.topic, 0):
            return False
        self._next[message.topic] = message.offset + 1
        return True

    def _all_read(self, lags: Mapping[str, int]) -> bool:
        """Whether all was taken that there was at the last rebalance: half a picture looks like no labels at all.

        Markers of transactions and what was aborted are never given: then nothing has moved since the last question.
        """
        still = {name for name in self._unread if self._before.get(name) != self._next.get(name) or lags.get(name, 1)}
        self._before = dict(self._next)
        self._unread = {n: end for n, end in self._unread.items() if n in still and self._next.get(n, 0) < end}
        return not self._unread

    async def _lags(self) -> dict[str, int]:
        """Records of each topic that were not fetched; positions pass over markers and what was aborted."""
        consumer, found = self._app.consumer, dict[str, int]()
        for name in self._reading.topics:
            at, end = await consumer.position(TP(name, 0)), consumer.highwater(TP(name, 0))
            if at is not None and end is not None:
                found[name] = max(0, end - at)
        return found

    async def turn(self, table: Any) -> None:
        """One turn, if it is ours to take."""
        if not self.owns():
            if not self._app.rebalancing:
                self._owner.wait()
            return
        lags = await self._lags()
        if not self._all_read(lags):
            return
        copy = {key: value for key, value in self._owner.whole(table).items() if key not in self._gone}
        async with self._alone:
            self._gone.update(await asyncio.to_thread(self._owner.turn, copy, lags))

    def put(self, table: Any, message: Any) -> None:
        """One record of the kept topic. Faust lets a table be changed here only, so what is over goes here too."""
        key, value = message.key, message.value
        if key and value and self._owner.keep(key, value, table.get(key)):
            self._gone.discard(key)
            table[key] = value
        for over in [one for one in self._gone if one in table][:100]:
            del table[over]

    def take(self, message: Any) -> None:
        """One record of a taken topic."""
        if message.value:
            self._owner.take(message.topic, message.offset, message.value)


def faust_app(conf: Mapping[str, Any], reading: Reading, owner: Owner) -> _App:
    """The application, ready to be run.

    Args:
        conf: librdkafka's names, as for every client of ours.
        reading: what is read.
        owner: who works on it.

    Raises:
        UserError: a setting that Faust's client has nothing for.
    """
    reading.folder.mkdir(parents=True, exist_ok=True)
    app = _App(
        reading.group,
        autodiscover=False,
        broker=[f"kafka://{address.strip()}" for address in str(conf["bootstrap.servers"]).split(",")],
        broker_client_id=conf.get("client.id", "tailrace"),
        broker_credentials=credentials(conf),
        broker_heartbeat_interval=reading.session_timeout / 4,
        broker_request_timeout=_REQUEST,
        broker_session_timeout=reading.session_timeout,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=reading.member or None,
        datadir=reading.folder,
        processing_guarantee="at_least_once",
        store="memory://",
        stream_buffer_maxsize=_BUFFER,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,  # who owns the partitions leads
        topic_partitions=1,
        web_enabled=False,
    )
    app.desk = Desk(app, reading, owner)
    _wire(app, reading)
    return app


def _wire(app: _App, reading: Reading) -> None:
    desk = app.desk

    def topic(name: str) -> Any:
        return app.topic(
            name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", acks=False,
            partitions=1, allow_empty=True,
        )  # fmt: skip

    table = app.Table("kept", key_type=bytes, value_type=bytes, partitions=1, changelog_topic=topic(reading.changelog))

    async def keep(stream: StreamT[Any]) -> None:
        async for event in stream.events():
            if desk.is_new(event.message):
                desk.put(table, event.message)

    async def take(stream: StreamT[Any]) -> None:
        async for event in stream.events():
            if desk.is_new(event.message):
                desk.take(event.message)

    async def turn() -> None:
        await desk.turn(table)

    app.agent(topic(reading.kept), name="keep")(keep)
    for number, name in enumerate(reading.taken):
        app.agent(topic(name), name=f"take-{number}")(take)
    app.timer(interval=reading.every)(turn)


async def run(app: _App, stop: asyncio.Event) -> None:
    """Work until told to stop, and end in order.

    Raises:
        Unavailable: the broker cannot be reached, or lets us not in.
        Exception: what else made the application stop by itself.
    """
    starting = asyncio.ensure_future(app.start())
    try:
        while not (stop.is_set() or app.crashed or (starting.done() and starting.exception())):
            await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=_PULSE)
    finally:
        if not starting.done():
            starting.cancel()
        await asyncio.wait([starting], timeout=_PULSE)
        await app.stop()
    cause = app.crash_reason or (None if starting.cancelled() else starting.exception())
    if isinstance(cause, KafkaError | ImproperlyConfigured):
        raise Unavailable(f"kafka: {str(cause) or type(cause).__name__}") from cause
    if cause is not None:
        raise cause


def credentials(conf: Mapping[str, Any]) -> Any:
    """How Faust is let in: None, TLS, or a password with or without TLS.

    Raises:
        UserError: a mechanism that Faust's client does not have.
    """
    protocol = str(conf.get("security.protocol", "plaintext")).lower()
    context = _context(conf) if protocol.endswith("ssl") else None
    if protocol == "plaintext":
        return None
    if protocol == "ssl":
        return faust.SSLCredentials(context)
    mechanism = str(conf.get("sasl.mechanism", "")).upper()
    if mechanism not in _MECHANISMS:
        raise UserError(
            f"kafka.sasl_mechanism is {mechanism}, which the analyst's client lacks",
            remedy=f"use one of {', '.join(_MECHANISMS)}",
        )
    return faust.SASLCredentials(
        username=conf["sasl.username"], password=str(conf["sasl.password"]), mechanism=mechanism, ssl_context=context
    )


def _context(conf: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=conf.get("ssl.ca.location"))
    if certificate := conf.get("ssl.certificate.location"):
        context.load_cert_chain(certificate, conf.get("ssl.key.location"), conf.get("ssl.key.password"))
    return context
