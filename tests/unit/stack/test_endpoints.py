"""Given addresses are used as they are, and checked before anything starts."""

import socket
from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack.endpoints import Endpoints, check_reachable
from tailrace.stack.ports import free_port
from tailrace.stack.stack import Stack


@pytest.mark.parametrize(
    ("part", "address"),
    [("kafka", "host"), ("kafka", "host:x"), ("redis", "localhost"), ("mlflow", "127.0.0.1:5000")],
)
def test_text_that_is_no_address_is_named(part: str, address: str) -> None:
    """The line shows the setting, the text and how to write it."""
    with pytest.raises(UserError, match=rf"TAILRACE_{part.upper()}__\w+={address} is no address; write it like"):
        check_reachable(part, address)


def test_silent_address_is_named_and_nothing_starts(tmp_path: Path) -> None:
    """A broker that does not answer ends the start with one line, and leaves no stack."""
    silent = f"127.0.0.1:{free_port()}"
    stack = Stack(tmp_path, parts=("kafka",), external=Endpoints(kafka=silent))

    with pytest.raises(UserError, match=rf"no Kafka answers at {silent} \(TAILRACE_KAFKA__BOOTSTRAP_SERVERS\); start"):
        stack.__enter__()
    assert not stack.state.held()


def test_given_server_is_used_and_not_started(tmp_path: Path) -> None:
    """One answering bootstrap server of several is enough; no program is started for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = f"127.0.0.1:{free_port()}, 127.0.0.1:{server.getsockname()[1]}"
        with Stack(tmp_path, parts=("kafka",), external=Endpoints(kafka=given)) as stack:
            assert stack.endpoints == Endpoints(kafka=given)
            assert stack.supervisor.status() == []


def test_unknown_part_is_named(tmp_path: Path) -> None:
    """A part that does not exist is refused with the list of those that do."""
    with pytest.raises(UserError, match="zookeeper is no part of the stack; one of kafka, redis, mlflow"):
        Stack(tmp_path, parts=("zookeeper",)).__enter__()


def test_addresses_travel_by_environment() -> None:
    """What one process is told by its environment, it tells another the same way."""
    environ = {"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": "k:1", "TAILRACE_REDIS__URL": "redis://r:2/0"}

    assert Endpoints.from_env(environ).env() == environ
