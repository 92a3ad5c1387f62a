"""A Faust application that keeps a topic of one partition in a table, and takes turns.

Of all members of the group one owns the partition and works; the others wait for it to go. Faust's commits are not
used: the topic is read from its beginning whenever streams go on (docs/adr/0020). What Faust loses around a rebalance,
its owner reads for itself: `Desk`.
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
_REQUEST = 60.0  # s; above the session's time-out, as the client wants it
_PULSE = 1.0


class _Consumer(driver.Consumer):
    """Reads committed data only, and from where the owner says."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Faust calls this before streams go on after a rebalance, and when it has to read again."""
        kept = cast("_App", self.app).desk.kept
        if kept in self.assignment():
            await self.seek(kept, (await self.earliest_offsets(kept))[kept] or 0)


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: "driver.Transport") -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust sets it with its own transactions only
        return consumer


class _Transport(driver.Transport):
    Consumer = _Consumer


class _App(faust.App):
    desk: "Desk"

    def on_rebalance_end(self) -> None:
        """Faust calls this once streams go on, which it may do several times a rebalance, and always does at last."""
        super().on_rebalance_end()
        self.desk.goes_on()

    def _new_transport(self) -> AnyTransport:
        return _Transport(self.conf.broker_consumer, self)


class Desk:
    """Between Faust and the owner: who may work, and on what.

    Faust loses records around a rebalance: what was fetched when streams stopped is dropped here or there, and what it
    notes as read can run ahead of where it goes on. All of that had been fetched before streams went on. So the owner
    is told each time that they do (`Owner.begin`), and reads the topic to its end after that: what was lost is in it.
    Until the next rebalance nothing is dropped, so what comes behind that end goes into the table.
    """

    def __init__(self, app: _App, reading: Reading, owner: Owner) -> None:
        self._app, self._owner = app, owner
        self.kept = TP(reading.kept, 0)
        self._anew = False
        self._alone = asyncio.Lock()
        self._gone: set[bytes] = set()

    def goes_on(self) -> None:
        """Streams go on after a rebalance."""
        self._anew = True

    def owns(self) -> bool:
        """Whether the partition is ours, and read."""
        return self.kept in self._app.consumer.assignment() and not self._app.rebalancing

    async def _lag(self) -> int:
        """Records that were not fetched; the position passes over markers and what was aborted."""
        consumer = self._app.consumer
        at, end = await consumer.position(self.kept), consumer.highwater(self.kept)
        return max(0, end - at) if at is not None and end is not None else 0

    async def turn(self, table: Any) -> None:
        """One turn, if it is ours to take."""
        async with self._alone:
            if not self.owns():
                if not self._app.rebalancing:
                    self._owner.wait()
                return
            if self._anew:
                self._anew = False
                self._owner.begin()
            lag = await self._lag()
            copy = {key: value for key, value in self._owner.whole(table).items() if key not in self._gone}
            self._gone.update(await asyncio.to_thread(self._owner.turn, copy, lag))

    def put(self, table: Any, message: Any) -> None:
        """One record of the topic, of whatever rebalance: the owner goes by what it says.

        Faust lets a table be changed here only, so what is over goes here too.
        """
        key, value = message.key, message.value
        if key and value and self._owner.keep(key, value, table.get(key)):
            self._gone.discard(key)
            table[key] = value
        for over in [one for one in self._gone if one in table][:100]:
            del table[over]


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
        topic_disable_leader=True,  # who owns the partition leads
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
            desk.put(table, event.message)

    async def turn() -> None:
        await desk.turn(table)

    app.agent(topic(reading.kept), name="keep")(keep)
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
