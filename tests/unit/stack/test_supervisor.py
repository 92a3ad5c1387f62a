"""The supervisor restarts what ends, gives up on what cannot run, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack.program import Program, describe_exit
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.watch import Backoff

Until = Callable[..., None]
FOREVER = "import signal; signal.pause()"
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\nwhile True: signal.pause()"


def python(name: str, code: str, *, restart: bool = True, stop_timeout: float = 5.0) -> Program:
    """A program of a few lines."""
    return Program(name, (sys.executable, "-S", "-c", code), restart=restart, stop_timeout=stop_timeout)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor with short pauses."""
    with Supervisor(tmp_path / "logs", backoff=Backoff(first=0.01, longest=0.04)) as running:
        yield running


def test_pauses_double_and_the_reason_is_told(supervisor: Supervisor, until: Until) -> None:
    """A program that ends again and again waits 10, 20, 40, 40 ms; its last exit is put into words."""
    supervisor.start(python("worker", "raise SystemExit(70)"))
    until(lambda: supervisor.status()[0].restarts >= 4)

    pauses = [event.after_s for event in supervisor.events if event.kind == "restarting"]
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.04]
    assert supervisor.status()[0].last_exit == "exit 70: ended by its watchdog"


def test_pauses_start_anew_after_health(tmp_path: Path, until: Until) -> None:
    """A program that stayed up long enough starts again after the first, short pause."""
    backoff = Backoff(first=0.01, longest=10.0, healthy=0.0)
    with Supervisor(tmp_path, backoff=backoff) as supervisor:
        supervisor.start(python("worker", "raise SystemExit(1)"))
        until(lambda: supervisor.status()[0].restarts >= 3)

        pauses = {event.after_s for event in supervisor.events if event.kind == "restarting"}
    assert pauses == {0.01}


def test_wrong_configuration_is_not_restarted(supervisor: Supervisor, until: Until) -> None:
    """Exit code 2 means that a restart would not help."""
    supervisor.start(python("worker", "raise SystemExit(2)"))
    until(lambda: supervisor.status()[0].state == "failed")

    assert [event.kind for event in supervisor.events] == ["started", "exited", "gave_up"]
    assert supervisor.status()[0].last_exit == "exit 2: wrong configuration"


def test_missing_program_is_told(supervisor: Supervisor) -> None:
    """A program that is not there fails with the reason in its log."""
    supervisor.start(Program("ghost", ("/no/such/program",), ready=lambda: False, restart=False))

    with pytest.raises(UserError, match=r"ghost did not start: exit 127.*\n.*/no/such/program: No such file"):
        supervisor.wait_ready("ghost", 5)


def test_killed_worker_comes_back_alone(supervisor: Supervisor, until: Until) -> None:
    """SIGKILL of one worker restarts that one and leaves the other as it is."""
    supervisor.start(python("a", FOREVER), python("b", FOREVER))
    until(lambda: all(one.pid for one in supervisor.status()))
    first, other = (one.pid for one in supervisor.status())
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.pid("a") not in {None, first})

    a, b = supervisor.status()
    assert (a.restarts, a.last_exit) == (1, "killed by SIGKILL")
    assert (b.restarts, b.pid) == (0, other)


def test_long_pause_of_one_does_not_delay_another(tmp_path: Path, until: Until) -> None:
    """While one program waits a long time, others start and restart."""
    with Supervisor(tmp_path, backoff=Backoff(first=60.0, longest=60.0)) as supervisor:
        supervisor.start(python("slow", "raise SystemExit(1)"))
        until(lambda: supervisor.status()[0].state == "backoff")
        supervisor.start(python("quick", FOREVER))

        supervisor.wait_ready("quick", 5)


def test_deaf_program_is_killed_in_time(supervisor: Supervisor, until: Until, tmp_path: Path) -> None:
    """A program that ignores SIGTERM is gone after its stop timeout."""
    supervisor.start(python("deaf", DEAF, stop_timeout=0.2))
    log = tmp_path / "logs" / "deaf.log"
    until(lambda: log.exists() and "deaf" in log.read_text())
    pid = supervisor.pid("deaf")
    supervisor.stop()

    assert pid is not None
    assert not alive(pid)
    assert supervisor.status()[0].last_exit == "killed by SIGKILL"


def test_stop_clears_what_a_program_left(supervisor: Supervisor, until: Until, tmp_path: Path) -> None:
    """Children of a child are gone with it."""
    nest = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-S', '-c', {FOREVER!r}]).pid, flush=True)"
    supervisor.start(python("nest", f"{nest}\n{FOREVER}"))
    log = tmp_path / "logs" / "nest.log"
    until(lambda: log.exists() and log.read_text().strip())
    supervisor.stop()

    until(lambda: not alive(int(log.read_text())))


def test_children_have_a_session_of_their_own(supervisor: Supervisor, until: Until) -> None:
    """Ctrl-C at the terminal reaches the supervisor only, which stops its children in order."""
    supervisor.start(python("worker", FOREVER))
    until(lambda: supervisor.pid("worker"))
    pid = supervisor.pid("worker")

    assert pid is not None
    assert os.getsid(pid) == pid


def test_children_die_with_a_killed_supervisor(until: Until, tmp_path: Path) -> None:
    """SIGKILL of the supervisor, which no code of ours can answer, ends its children too."""
    code = (
        "import pathlib, signal\n"
        "from tailrace.stack.program import Program\nfrom tailrace.stack.supervisor import Supervisor\n"
        f"s = Supervisor(pathlib.Path({str(tmp_path)!r}))\n"
        f"s.start(Program('deaf', ({sys.executable!r}, '-S', '-c', {DEAF!r})))\n"
        "s.wait_ready('deaf', 5)\nprint(s.pid('deaf'), flush=True)\nsignal.pause()\n"
    )
    with subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()

    until(lambda: not alive(child))


def test_nothing_starts_after_close(supervisor: Supervisor) -> None:
    """A closed supervisor refuses programs, so that none can slip in while a stack stops."""
    supervisor.close()

    with pytest.raises(UserError, match="stopping"):
        supervisor.start(python("late", FOREVER))


def test_grown_log_is_moved_aside(supervisor: Supervisor, until: Until, tmp_path: Path) -> None:
    """A log beyond 5 MB becomes `.log.1` at the next start."""
    log = tmp_path / "logs" / "worker.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * 5_000_001)
    supervisor.start(python("worker", f"print('new', flush=True)\n{FOREVER}"))
    until(lambda: log.exists() and log.read_text() == "new\n")

    assert log.with_suffix(".log.1").stat().st_size == 5_000_001


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit 0"),
        (3, "exit 3: the model of the epoch in force was refused"),
        (-11, "killed by SIGSEGV"),
        (-200, "killed by signal 200"),
    ],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    """Exit codes of our workers have a meaning that status shows."""
    assert describe_exit(code) == words
