"""Ports: a taken one is named with its owner, a free one stays free for a restart."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack.ports import configured_port, free_port, is_free, reachable


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_port_in_use_names_port_setting_and_process(taken: int) -> None:
    """The line says which port, which setting, who has it and what to do."""
    with pytest.raises(UserError, match=rf"port {taken} \(--kafka-port\) is in use by .* \(pid {os.getpid()}\); stop"):
        configured_port(taken, "--kafka-port")


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_number_that_is_no_port_is_refused(port: int) -> None:
    """Only 1 to 65535 are ports."""
    with pytest.raises(UserError, match=f"--kafka-port {port} is not a port"):
        configured_port(port, "--kafka-port")


def test_free_port_lies_below_the_outgoing_range() -> None:
    """A client's outgoing connection can never be given the port of a server that restarts."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = free_port()

    assert port < lowest
    assert is_free(port)


def test_preferred_port_is_taken_only_if_free(taken: int) -> None:
    """The port of the last start is used again, unless somebody else has it now."""
    port = free_port()

    assert free_port(port) == port
    assert free_port(taken) != taken


def test_reachable_means_somebody_accepts(taken: int) -> None:
    """A listening port is reachable, a free one is not."""
    assert reachable("127.0.0.1", taken)
    assert not reachable("127.0.0.1", free_port())
