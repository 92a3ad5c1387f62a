"""The clients' configuration: contradictions are named, secrets stay out of sight."""

from pathlib import Path

import pytest

from shared.adapters.kafka.config import client_config
from shared.core.errors import UserError
from shared.runtime.settings import KafkaSettings, read_secret


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (KafkaSettings(security_protocol="sasl_ssl"), "kafka.sasl_mechanism"),
        (KafkaSettings(sasl_username="me"), "security_protocol is plaintext"),
        (KafkaSettings(security_protocol="ssl", ssl_ca_location="/no/ca.pem"), "/no/ca.pem does not exist"),
        (KafkaSettings(client={"sasl.password": "x"}), "use kafka.sasl_password_file"),
        (
            KafkaSettings(client={"message.timeout.ms": "60000"}),
            "message.timeout.ms, .* follows loop.transaction_timeout",
        ),
        (KafkaSettings(client={"transactional.id": ""}), "transactional.id, .* made of the pipeline and worker.slot"),
        (KafkaSettings(client={"isolation.level": "read_uncommitted"}), "isolation.level, .* delivery rests on ours"),
        (KafkaSettings(client={"enable.idempotence": "false"}), "enable.idempotence, .* delivery rests on ours"),
        (
            KafkaSettings(
                security_protocol="sasl_ssl",
                sasl_mechanism="PLAIN",
                sasl_username="me",
                sasl_password_file="/no/file",  # noqa: S106 - a path
            ),
            "kafka.sasl_password_file: cannot read /no/file",
        ),
        (
            KafkaSettings(security_protocol="sasl_ssl", sasl_mechanism="PLAIN", sasl_password_file="/no/file"),  # noqa: S106 - a path
            "set TAILRACE_KAFKA__SASL_USERNAME",
        ),
        (
            KafkaSettings(security_protocol="sasl_ssl", sasl_mechanism="PLAIN", sasl_username="me"),
            "set TAILRACE_KAFKA__SASL_PASSWORD_FILE",
        ),
        (KafkaSettings(client={"no.such.thing": "1"}), 'refuses our settings .*"no.such.thing"'),
        (KafkaSettings(client={"socket.timeout.ms": "soon"}), "refuses our settings .*socket.timeout.ms"),
    ],
)
def test_a_contradiction_names_the_setting(settings: KafkaSettings, named: str) -> None:
    """Each mistake in the settings ends in one line that names the setting."""
    with pytest.raises(UserError, match=named):
        client_config(settings, read_secret)


def test_the_default_is_plain_text_on_loopback() -> None:
    """Without settings the clients go to the embedded broker's address, and nothing else is said."""
    expected = {"bootstrap.servers": "127.0.0.1:9092", "security.protocol": "plaintext"}
    assert expected == client_config(KafkaSettings(), read_secret)


def test_secrets_reach_the_client_but_no_print(tmp_path: Path) -> None:
    """The password comes from its file without the newline, and no `repr` shows it, not even of a merged dict."""
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    settings = KafkaSettings(
        security_protocol="sasl_ssl",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password_file=str(file),
        client={"socket.timeout.ms": "9000", "sasl.oauthbearer.client.secret": "hunter3"},
    )
    conf = client_config(settings, read_secret)
    assert conf["sasl.password"] == "hunter2"
    assert conf["socket.timeout.ms"] == "9000"
    assert "hunter" not in repr({**conf, "group.id": "g"})
