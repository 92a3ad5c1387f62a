"""How Faust is let in, from the same settings as every other client; a session of a real broker is in tests/system."""

from pathlib import Path
from typing import Any

import faust
import pytest

from shared.adapters.faust_app import credentials, faust_app
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
