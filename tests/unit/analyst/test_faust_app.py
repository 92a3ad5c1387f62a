"""How Faust is let in, from the same settings as every other client; a session of a real broker is in tests/system."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from shared.adapters.faust_app import Desk, credentials, faust_app
from shared.adapters.kafka.config import client_config
from shared.core.errors import UserError
from shared.core.owning import Reading
from shared.runtime.settings import KafkaSettings, read_secret
from tests.support.certificate import self_signed


def conf(folder: Path, **settings: Any) -> dict[str, Any]:
    """Our settings as the client's names."""
    password = folder / "password"
    password.write_text("canary-77\n")
    given = {"sasl_password_file": str(password), "sasl_username": "me"} if "sasl_mechanism" in settings else {}
    return client_config(KafkaSettings(**(given | settings)), read_secret)


def test_plain_needs_nothing(tmp_path: Path) -> None:
    """Without security there are no credentials."""
    assert credentials(conf(tmp_path)) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["sasl_plaintext", "sasl_ssl"])
def test_passwords(tmp_path: Path, protocol: str, mechanism: str) -> None:
    """User, password and mechanism are passed on, with TLS where it is asked for; no repr shows the password."""
    _, ca = self_signed(tmp_path)
    more = {"ssl_ca_location": str(ca)} if protocol == "sasl_ssl" else {}
    found = credentials(conf(tmp_path, security_protocol=protocol, sasl_mechanism=mechanism, **more))
    assert (found.username, found.password, found.mechanism.value) == ("me", "canary-77", mechanism)
    assert found.protocol.value.lower() == protocol
    assert (found.ssl_context is not None) == (protocol == "sasl_ssl")
    assert "canary" not in repr(found)


def test_tls_alone(tmp_path: Path) -> None:
    """TLS without a password: the certificate authority is ours, and host names are checked."""
    _, ca = self_signed(tmp_path)
    found = credentials(conf(tmp_path, security_protocol="ssl", ssl_ca_location=str(ca)))
    assert isinstance(found, faust.SSLCredentials)
    assert found.context.check_hostname


def test_a_mechanism_that_it_lacks_is_said() -> None:
    """What librdkafka can and Faust cannot is a mistake of the settings, named."""
    with pytest.raises(UserError, match="GSSAPI, which the analyst's client lacks"):
        credentials({"security.protocol": "sasl_ssl", "sasl.mechanism": "GSSAPI"})


def test_the_application_has_no_web_server_and_makes_no_topics(tmp_path: Path) -> None:
    """Topics are made by `tailrace topics apply` alone, and what is served is served by our own process."""

    class Nobody:
        """An owner that is never asked."""

        begin = keep = turn = wait = whole = None

    reading = Reading("tailrace.p.analyst", "p.scorecards", "p.analyst.cards", tmp_path / "d", 6.0, 1.0)
    owner: Any = Nobody()
    app = faust_app({"bootstrap.servers": "a:1, b:2"}, reading, owner)
    settings = app.conf
    assert [str(url) for url in settings.broker] == ["kafka://a:1", "kafka://b:2"]
    assert (settings.web_enabled, settings.topic_allow_declare, settings.topic_disable_leader) == (False, False, True)
    assert settings.broker_request_timeout > settings.broker_session_timeout


class Streams:
    """What a desk asks of Faust: who has the partition, and whether a rebalance runs."""

    def __init__(self) -> None:
        self.consumer, self.rebalancing = self, False
        self.mine = {TP("p.scorecards", 0)}

    def assignment(self) -> set[TP]:
        """Ours."""
        return self.mine

    async def position(self, _: TP) -> int:
        """Where it reads."""
        return 40

    def highwater(self, _: TP) -> int:
        """The end."""
        return 42


class Worker:
    """An owner that tells in which order it is asked what."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self) -> None:
        """See `Owner`."""
        self.told.append("begin")

    def keep(self, key: bytes, value: bytes, before: bytes | None) -> bool:
        """See `Owner`: the larger one."""
        del key
        return before is None or value > before

    def whole(self, table: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """See `Owner`."""
        return dict(table)

    def turn(self, table: Mapping[bytes, bytes], lag: int) -> list[bytes]:
        """See `Owner`: the key `old` is over."""
        self.told.append(f"turn of {sorted(table)}, lag {lag}")
        return [b"old"]

    def wait(self) -> None:
        """See `Owner`."""
        self.told.append("wait")


def at_desk(tmp_path: Path) -> tuple[Any, Streams, Worker]:
    """A desk with its streams and its owner."""
    streams, worker = Streams(), Worker()
    reading = Reading("g", "p.scorecards", "p.analyst.cards", tmp_path, 6.0, 1.0)
    app: Any = streams
    return Desk(app, reading, worker), streams, worker


def test_whenever_streams_go_on_the_owner_begins_before_its_turn(tmp_path: Path) -> None:
    """What was lost around a rebalance was there before that: so it is read for itself after each, and once."""
    desk, streams, worker = at_desk(tmp_path)

    async def play() -> None:
        desk.goes_on()
        await desk.turn({})
        await desk.turn({})
        streams.rebalancing = True
        await desk.turn({})
        streams.rebalancing = False
        desk.goes_on()
        await desk.turn({})
        streams.mine = set()
        await desk.turn({})

    asyncio.run(play())
    assert worker.told == ["begin", "turn of [], lag 2", "turn of [], lag 2", "begin", "turn of [], lag 2", "wait"]


def test_records_of_whatever_rebalance_are_kept(tmp_path: Path) -> None:
    """The owner goes by what a record says; what is over is gone from a turn at once, from the table with the next."""
    desk, _, worker = at_desk(tmp_path)
    table: dict[bytes, bytes] = {}
    for key, value in ((b"a", b"2"), (b"a", b"1"), (b"old", b"1"), (b"", b"9"), (b"b", b"")):
        desk.put(table, SimpleNamespace(key=key, value=value, generation_id=-7))
    assert table == {b"a": b"2", b"old": b"1"}
    asyncio.run(desk.turn(table))
    asyncio.run(desk.turn(table))
    desk.put(table, SimpleNamespace(key=b"a", value=b"3"))
    assert table == {b"a": b"3"}
    assert worker.told == ["turn of [b'a', b'old'], lag 2", "turn of [b'a'], lag 2"]
