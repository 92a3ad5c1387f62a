"""Status tells what runs from outside, and is not fooled by what a dead stack said."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.stack.ports import free_port
from tailrace.stack.state import ProgramEntry, StackFile, StateFolder
from tailrace.stack.status import look, take_down

NOBODY = 2**22 + 1  # above the largest process id


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    """A state folder held by this process."""
    state = StateFolder(tmp_path)
    state.acquire()
    yield state
    state.release()


def say(folder: StateFolder, entry: ProgramEntry, endpoints: dict[str, str] | None = None) -> None:
    """Announce a stack with one program, started at second 100."""
    folder.write(StackFile(pid=os.getpid(), up=True, started_at=100.0, endpoints=endpoints or {}, programs=[entry]))


def entry(pid: int | None, address: str = "", state: str = "running") -> ProgramEntry:
    """A program as `stack.json` holds it."""
    return ProgramEntry(
        name="worker", state=state, pid=pid, restarts=1, last_exit="exit 70", started_at=105.0, log="", address=address
    )


def test_words_of_a_dead_stack_count_for_nothing(tmp_path: Path) -> None:
    """A stack.json whose stack was killed is no running stack, for status and for down."""
    state = StateFolder(tmp_path)
    say(state, entry(os.getpid()))

    assert look(state, 110.0).parts == []
    assert not look(state, 110.0).ok
    assert not take_down(state)


@pytest.mark.parametrize(
    ("pid", "said", "seen"), [(None, "backoff", "backoff"), (None, "failed", "down"), (NOBODY, "running", "down")]
)
def test_part_that_should_run_and_does_not(folder: StateFolder, pid: int | None, said: str, seen: str) -> None:
    """A program in back-off, given up or gone makes the whole not ok."""
    say(folder, entry(pid, state=said))
    status = look(folder, 110.0)

    assert (status.ok, status.parts[0].state, status.parts[0].ok) == (False, seen, False)


def test_silent_port_is_not_up(folder: StateFolder) -> None:
    """A process that runs but does not answer at its address is starting, not up."""
    say(folder, entry(os.getpid(), f"127.0.0.1:{free_port()}"))

    assert look(folder, 110.0).parts[0].state == "starting"


def test_silent_external_server_is_not_ok(folder: StateFolder) -> None:
    """A server given by address is shown as external, and checked too."""
    say(folder, entry(os.getpid()), {"kafka": f"127.0.0.1:{free_port()}"})
    status = look(folder, 110.0)

    assert (status.ok, status.parts[0].state, status.parts[0].ok) == (False, "external", False)


def test_running_part_shows_its_figures(folder: StateFolder) -> None:
    """A program that answers is up, with its age, memory and history."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        say(folder, entry(os.getpid(), f"http://127.0.0.1:{server.getsockname()[1]}"))
        status = look(folder, 110.0)

    (part,) = status.parts
    assert (status.ok, status.uptime_s, part.state, part.uptime_s, part.restarts) == (True, 10.0, "up", 5.0, 1)
    assert part.rss_mb is not None
    assert part.rss_mb > 1
