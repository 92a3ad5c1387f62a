"""A broker with TLS, passwords and rights, reached by settings alone: who gets in, who does not, and what is said."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.config import client_config
from shared.core.errors import Unavailable, UserError
from shared.core.topics import topic, wanted
from shared.runtime.settings import load_settings, read_secret
from tests.support.certificate import self_signed
from tests.support.letters import make_post
from tests.support.secured import (
    CANARY,
    OPERATOR,
    REPAIRER,
    SCORER,
    Secured,
    repairer_rights,
    scorer_rights,
    secured_broker,
)
from tests.support.wait import until
from tests.support.world import World, make_world, record

pytestmark = pytest.mark.system
N = 500
NO_SASL = {"sasl_mechanism": "", "sasl_username": "", "sasl_password_file": ""}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The broker, and files with mistakes beside it."""
    folder = tmp_path_factory.mktemp("secured")
    with secured_broker(folder) as broker:
        broker.secret("wrong", f"{CANARY}-wrong")
        broker.secret("empty", "")
        (folder / "junk.pem").write_text("no certificate\n")
        (folder / "other").mkdir()
        self_signed(folder / "other")
        yield broker


def run(module: str, *arguments: str, env: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of ours with these settings and no others; nothing it says may hold a password."""
    own = {"PATH": os.environ["PATH"], "TAILRACE_STATE": str(folder / "state"), "TAILRACE_LOG__FORMAT": "json"}
    began = time.monotonic()
    argv = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(argv, env={**own, **env}, capture_output=True, text=True, timeout=60, check=False)
    assert time.monotonic() - began < 15
    assert CANARY not in done.stdout + done.stderr
    return done


def tailrace(*arguments: str, env: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return run("tailrace.cli.main", *arguments, env=env, folder=folder)


def said(secured: Secured, tmp_path: Path, changes: Mapping[str, str]) -> str:
    """The one line with which a command ends that has the operator's settings with these changes."""
    places = {"FOLDER": str(secured.folder), "PLAIN": secured.plain, "PORT": secured.address.split(":")[1]}
    filled = {name: value.format(**places) for name, value in changes.items()}
    env = secured.env(OPERATOR, **filled)
    done = tailrace("topics", "plan", "tests/data/parcels", env=env, folder=tmp_path)
    lines = done.stderr.strip().splitlines()
    assert (2, 1, "") == (done.returncode, len(lines), done.stdout), done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sasl_password_file": "{FOLDER}/none"}, "kafka.sasl_password_file: cannot read"),
        ({"sasl_password_file": "{FOLDER}/empty.secret"}, "empty.secret is empty; write the secret into it"),
        ({"sasl_password_file": ""}, "set TAILRACE_KAFKA__SASL_PASSWORD_FILE"),
        ({"sasl_username": ""}, "set TAILRACE_KAFKA__SASL_USERNAME"),
        ({"sasl_mechanism": "SCRAM"}, "Unsupported SASL mechanism: SCRAM"),
        ({"security_protocol": "sasl_tls"}, "security_protocol"),
        ({"ssl_ca_location": "{FOLDER}/junk.pem"}, "ssl.ca.location failed"),
        ({"client__no_such_thing": "1"}, '"no.such.thing"'),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_asked(
    secured: Secured, tmp_path: Path, changes: dict[str, str], named: str
) -> None:
    """A setting that cannot be right ends in one line that names it, exit 2."""
    assert named in said(secured, tmp_path, changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sasl_password_file": "{FOLDER}/wrong.secret"}, ("lets us not in", "invalid credentials", "SASL_*")),
        ({"sasl_username": "nobody"}, ("lets us not in", "invalid credentials", "SASL_*")),
        ({"sasl_mechanism": "PLAIN"}, ("lets us not in", "SCRAM-SHA-512", "SASL_*")),
        ({"ssl_ca_location": "{FOLDER}/other/certificate.pem"}, ("no safe connection", "verify failed", "SSL_*")),
        ({"bootstrap_servers": "localhost:{PORT}"}, ("no safe connection to Kafka at localhost", "certificate names")),
        ({"bootstrap_servers": "{PLAIN}"}, ("does not speak sasl_ssl", "SECURITY_PROTOCOL (it is sasl_ssl)")),
        ({"security_protocol": "plaintext", **NO_SASL}, ("hangs up", "SECURITY_PROTOCOL (it is plaintext)")),
    ],
)
def test_a_closed_door_says_which_setting_would_open_it(
    secured: Secured, tmp_path: Path, changes: dict[str, str], named: tuple[str, ...]
) -> None:
    """Password, certificate, host name or protocol: what is wrong is told apart, in one line, exit 2."""
    line = said(secured, tmp_path, changes)
    assert [] == [part for part in named if part not in line], line


def test_a_host_that_the_certificate_does_not_name_is_refused_for_its_name_alone(
    secured: Secured, tmp_path: Path
) -> None:
    """The same address answers once the check of names is off: so it is on by default."""
    address = f"localhost:{secured.address.split(':')[1]}"
    changes = {"bootstrap_servers": address, "client__ssl_endpoint_identification_algorithm": "none"}
    env = secured.env(OPERATOR, **changes)
    assert tailrace("topics", "plan", "tests/data/parcels", env=env, folder=tmp_path).returncode == 1


def test_the_right_settings_open_it(secured: Secured, tmp_path: Path) -> None:
    """The operator's commands work as on the embedded broker: something to do, done, nothing to do."""
    env = secured.env(OPERATOR)
    codes = [
        tailrace("topics", verb, "tests/data/parcels", env=env, folder=tmp_path).returncode
        for verb in ("plan", "apply", "plan")
    ]
    assert codes == [1, 0, 0]


def test_the_doctor_names_the_settings(secured: Secured, tmp_path: Path) -> None:
    """A wrong password is told apart from a broker that is down."""
    env = secured.env(OPERATOR, sasl_password_file=str(secured.folder / "wrong.secret"))
    done = tailrace("doctor", env=env, folder=tmp_path)
    assert done.returncode == 1
    assert f"{secured.address} lets us not in" in done.stdout
    assert "TAILRACE_KAFKA__SASL_*" in done.stdout


@pytest.fixture(scope="module")
def world(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A pipeline whose workers go through the door, with the scorer's rights; the test itself goes round it."""
    made = make_world(tmp_path_factory.mktemp("world"), "secured", secured.plain, env=secured.env(SCORER))
    secured.allow(SCORER, scorer_rights("secured"))
    yield made
    made.supervisor.close()


def test_a_worker_scores_with_the_least_rights(secured: Secured, world: World) -> None:
    """Exactly one outcome a record over TLS with the rights that the documentation lists, and not one right more."""
    world.start(1)
    world.send("records", [*(record(i) for i in range(N)), ("depot-1", b"garbage", None)])
    until(world.all_scored(N + 1), "every record to have an outcome", 45)
    account = world.account()
    assert (N, 1) == (account.predictions, sum(account.dead_letters.values()))
    assert account.ok, account
    until(lambda: bool(world.values("workers")), "a heartbeat")
    world.supervisor.stop()
    assert [0] == [status.last_code for status in world.supervisor.status()], world.logs()
    assert "authorization failed" not in world.logs().lower(), world.logs()
    _check_denials(secured, world)
    for log in [*(world.folder / "state" / "logs").iterdir(), *(secured.folder / "logs").iterdir()]:
        assert CANARY not in log.read_text()


def _check_denials(secured: Secured, world: World) -> None:
    settings, _ = load_settings(secured.env(SCORER))
    conf = client_config(settings.kafka, read_secret)
    for name in ("models", "records", "features"):
        announcer = Announcer(conf, 5.0)
        with pytest.raises(Unavailable, match="authorization failed"):
            announcer.send(f"{world.spec.name}.{name}", b"k", b"v")
        announcer.close()
    admin = KafkaAdmin(conf)
    with pytest.raises(UserError, match=r"uthorization failed.*docs/operations\.md"):
        admin.create([wanted(world.spec)[0]])
    with pytest.raises(UserError, match=r"uthorization failed.*docs/operations\.md"):
        admin.alter(topic(world.spec.name, "records"), {"retention.ms": "1"})
    thief = Producer({**conf, "transactional.id": "tailrace.other.scorer.0", "log_level": 0})
    with pytest.raises(Exception, match="authorization failed"):
        thief.init_transactions(5)


def test_a_worker_that_is_not_let_in_says_why(secured: Secured, world: World) -> None:
    """It ends with 1, since a password may be mended meanwhile, and its last line names what is wrong."""
    env = secured.env(SCORER, sasl_password_file=str(secured.folder / "wrong.secret"))
    done = run("services.scorer.main", str(world.folder), env=env, folder=world.folder)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert "lets us not in" in last
    assert "SASL_*" in last
    assert "Traceback" not in done.stderr


def test_dead_letters_are_replayed_with_the_least_rights(secured: Secured, tmp_path: Path) -> None:
    """Without rights a command names them, exit 2; with those that the documentation lists letters are replayed."""
    post, env = make_post(tmp_path, "mended", secured.plain), secured.env(REPAIRER)
    post.put([(b"k", b"body %d" % i, "poison", None) for i in range(20)])
    post.put([(b"weather:north", b"bad", "unknown_group", None)], "features.dlq")
    denied = tailrace("dlq", "list", str(post.folder), env=env, folder=tmp_path)
    assert (2, 1) == (denied.returncode, len(denied.stderr.strip().splitlines())), denied.stderr
    assert "docs/operations.md" in denied.stderr
    secured.allow(REPAIRER, repairer_rights("mended"))

    def dlq(*words: str) -> str:
        done = tailrace("dlq", words[0], str(post.folder), *words[1:], env=env, folder=tmp_path)
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    until(lambda: tailrace("dlq", "list", str(post.folder), env=env, folder=tmp_path).returncode == 0, "the rights", 30)
    assert "20 letters sent" in dlq("replay")
    assert "1 letter sent" in dlq("replay", "--topic", "features.dlq")
    assert "20 letters, 20 of them replayed" in dlq("list")
    assert [20, 1] == [len(post.read("records")), len(post.read("features"))]
