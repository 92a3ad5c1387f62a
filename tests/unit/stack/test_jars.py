"""Jars are what the lock says, or nothing starts; a download leaves all or nothing."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.core.errors import UserError
from tailrace.stack import kafka
from tailrace.stack.jars import Jar, kafka_version, provision, read_lock
from tailrace.stack.supervisor import Supervisor

Until = Callable[..., None]
BODIES = {"org.example:one:1.0": b"first jar", "org.example.deep:two:2.1": b"second jar"}
LOCK = tuple(Jar(name, hashlib.sha256(body).hexdigest()) for name, body in BODIES.items())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


class _Stuck(_Quiet):
    released = threading.Event()

    def do_GET(self) -> None:
        """Send the first part of a jar, and no more."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"x" * 20_000)
        self.released.wait(30)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on loopback with the jars of `LOCK`, named as the mirror."""
    root = tmp_path / "repository"
    for name, body in BODIES.items():
        group, artifact, version = name.split(":")
        jar = root / group.replace(".", "/") / artifact / version / f"{artifact}-{version}.jar"
        jar.parent.mkdir(parents=True)
        jar.write_bytes(body)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("TAILRACE_MAVEN_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield root
    server.shutdown()
    server.server_close()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor that runs downloads."""
    with Supervisor(tmp_path / "logs") as running:
        yield running


def test_changed_download_is_refused_and_named(repository: Path, supervisor: Supervisor, tmp_path: Path) -> None:
    """A jar that a mirror changed never reaches the cache."""
    next(repository.rglob("two-2.1.jar")).write_bytes(b"something else")

    with pytest.raises(UserError, match=r"two-2\.1\.jar is not the jar of kafka-jars\.lock"):
        provision(tmp_path / "cache", supervisor, lambda _: None, LOCK)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["download.lock"]


def test_corrupt_jar_in_the_cache_is_named_deleted_and_fetched_again(
    repository: Path, supervisor: Supervisor, tmp_path: Path
) -> None:
    """A jar that rotted on disk stops the start once; the next start fetches it."""
    assert repository.is_dir()
    folder = provision(tmp_path / "cache", supervisor, lambda _: None, LOCK)
    (folder / "one-1.0.jar").write_bytes(b"rotten")

    with pytest.raises(UserError, match=r"one-1\.0\.jar is not the jar .* run the command again"):
        provision(tmp_path / "cache", supervisor, lambda _: None, LOCK)
    assert not (folder / "one-1.0.jar").exists()
    provision(tmp_path / "cache", supervisor, lambda _: None, LOCK)
    assert (folder / "one-1.0.jar").read_bytes() == b"first jar"


def test_no_network_is_named(supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the cause and the ways out are said, and nothing is left."""
    monkeypatch.setenv("TAILRACE_MAVEN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    with pytest.raises(UserError, match=r"could not be fetched; cause: ConnectionError.*TAILRACE_MAVEN_URL"):
        provision(tmp_path / "cache", supervisor, lambda _: None, LOCK)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["download.lock"]


def test_missing_jar_upstream_is_named(repository: Path, supervisor: Supervisor, tmp_path: Path) -> None:
    """A jar that the repository does not have is named."""
    next(repository.rglob("two-2.1.jar")).unlink()

    with pytest.raises(UserError, match=r"org\.example\.deep:two"):
        provision(tmp_path / "cache", supervisor, lambda _: None, LOCK)


def _size(path: Path) -> int:
    """Bytes so far; 0 for one that was renamed meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_download_leaves_nothing(number: signal.Signals, tmp_path: Path, until: Until) -> None:
    """Ctrl-C or SIGTERM in the middle of a download leaves no half-written jar and no process."""
    _Stuck.released.clear()  # one event for all: the test before this one has set it
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Stuck)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cache, state = tmp_path / "cache", tmp_path / "state"
    code = (
        "from pathlib import Path\nfrom tailrace.stack.signals import stoppable\n"
        "from tailrace.stack.stack import Stack\n"
        f"with stoppable(), Stack(Path({str(state)!r}), parts=('kafka',), cache=Path({str(cache)!r})):\n"
        "    pass\n"
    )
    environ = {**os.environ, "TAILRACE_MAVEN_URL": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
    with subprocess.Popen((sys.executable, "-c", code), env=environ, stderr=subprocess.PIPE) as parent:
        until(lambda: any(_size(path) for path in cache.glob("fetching-*/*/**/*.jar")), seconds=30)
        parent.send_signal(number)
        parent.wait(10)
    _Stuck.released.set()
    server.shutdown()
    server.server_close()

    assert [path.name for path in cache.iterdir()] == ["download.lock"]
    assert not (state / "stack.json").exists()
    assert not (state / "kafka").exists()


def test_what_a_killed_download_left_is_cleared(repository: Path, supervisor: Supervisor, tmp_path: Path) -> None:
    """The next download removes the folder of one that was killed."""
    assert repository.is_dir()
    left = tmp_path / "cache" / "fetching-123"
    left.mkdir(parents=True)
    (left / "one-1.0.jar").write_bytes(b"fir")
    folder = provision(tmp_path / "cache", supervisor, lambda _: None, LOCK)

    assert not left.exists()
    assert {path.name for path in folder.iterdir()} == {"one-1.0.jar", "two-2.1.jar"}


def test_committed_lock_holds_the_broker_and_no_address() -> None:
    """The lock names the broker, its tools and a logger, each once, and no server."""
    jars = read_lock()

    names = {jar.file_name for jar in jars}
    assert {"kafka_2.13-4.2.1.jar", "kafka-tools-4.2.1.jar", "slf4j-simple-1.7.36.jar"} <= names
    assert len(names) == len(jars) == 92
    assert kafka_version() == kafka_version(jars) == "4.2.1"
    assert kafka_version(()) == ""


def test_damaged_lock_line_is_named(tmp_path: Path) -> None:
    """A line of the lock that is none is named by file and number."""
    (tmp_path / "lock").write_text("# fine\nabc  org.example:one:1.0\n")

    with pytest.raises(UserError, match="lock:2: not a digest"):
        read_lock(tmp_path / "lock")


def test_a_kafka_on_the_path_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its jars are used where it is a Kafka 4; an older one, or none, is not."""
    for folder in ("bin", "libs"):
        (tmp_path / folder).mkdir()
    script = tmp_path / "bin" / "kafka-server-start.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert kafka.installed() is None
    (tmp_path / "libs" / "kafka_2.13-3.9.0.jar").touch()
    assert kafka.installed() is None
    (tmp_path / "libs" / "kafka_2.13-4.3.1.jar").touch()
    assert kafka.installed() == tmp_path / "libs"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kafka.installed() is None
