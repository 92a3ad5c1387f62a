"""The broker's jars: fetched once, checked against the committed lock at every start."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.core.errors import UserError
from tailrace.stack.cache import check_space, system_certificates
from tailrace.stack.program import Program
from tailrace.stack.supervisor import Supervisor

LOCK = Path(__file__).with_name("kafka-jars.lock")
_DOWNLOAD_MB = 200
_TIMEOUT_S = 600.0
_PROGRESS_S = 2.0
_LOCK_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: a Maven coordinate `group:artifact:version` and the file's sha256 in hex."""

    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Its file name in the cache."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def read_lock(path: Path = LOCK) -> tuple[Jar, ...]:
    """Read the lock file.

    Raises:
        UserError: if a line is not `sha256  group:artifact:version`.
    """
    jars = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        digest, _, coordinate = line.partition("  ")
        if len(digest) != 64 or coordinate.count(":") != 2:  # noqa: PLR2004 - hex digits of a sha256; colons
            raise UserError(f"{path}:{number}: not a digest and a coordinate", remedy="restore the file from git")
        jars.append(Jar(coordinate, digest))
    return tuple(jars)


def kafka_version(lock: tuple[Jar, ...] | None = None) -> str:
    """The version of the broker that the lock names."""
    coordinates = [jar.coordinate for jar in (read_lock() if lock is None else lock)]
    return next((c.rpartition(":")[2] for c in coordinates if c.startswith("org.apache.kafka:kafka_2.13:")), "")


def provision(
    cache: Path, supervisor: Supervisor, say: Callable[[str], None], lock: tuple[Jar, ...] | None = None
) -> Path:
    """Make sure that every jar of the lock is in the cache, and is what the lock says.

    Args:
        cache: the cache folder.
        supervisor: runs the download, so that stopping the stack stops it.
        say: takes progress lines.
        lock: the jars, by default those of the committed lock.

    Returns:
        The folder of jars.

    Raises:
        UserError: if a jar has another digest than the lock (the jar is deleted), if it cannot be fetched,
            or if the disk is full.
    """
    jars = read_lock() if lock is None else lock
    version = hashlib.sha256("".join(jar.sha256 for jar in jars).encode()).hexdigest()[:8]
    folder = cache / f"kafka-jars-{version}"
    missing = _missing(folder, jars)
    if missing:
        with _one_at_a_time(cache, supervisor, say):
            missing = _missing(folder, jars)  # another process may have fetched them while we waited
            if missing:
                check_space(cache, _DOWNLOAD_MB, "TAILRACE_CACHE")
                _fetch(folder, missing, supervisor, say)
    return folder


def _missing(folder: Path, jars: tuple[Jar, ...]) -> tuple[Jar, ...]:
    """Check the digests of what is there; the rest is missing."""
    there = tuple(jar for jar in jars if (folder / jar.file_name).is_file())
    _verify(folder, there)
    return tuple(jar for jar in jars if jar not in there)


def _verify(folder: Path, jars: tuple[Jar, ...]) -> None:
    for jar in jars:
        path = folder / jar.file_name
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != jar.sha256:
            path.unlink()
            raise UserError(
                f"{path} is not the jar of {LOCK.name}: sha256 {found[:12]}... instead of {jar.sha256[:12]}...; "
                "it was deleted",
                remedy="run the command again to fetch it anew; if that repeats, a proxy or mirror changes it",
            )


@contextlib.contextmanager
def _one_at_a_time(cache: Path, supervisor: Supervisor, say: Callable[[str], None]) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        file = (cache / "download.lock").open("wb")
    except OSError as error:
        raise UserError(
            f"{cache} cannot be written ({error.strerror})", remedy="set TAILRACE_CACHE to another folder"
        ) from None
    with file:
        told = False
        while not _try_lock(file):
            if not told:
                say("kafka: another process is fetching the jars, waiting for it")
                told = True
            if supervisor.closed.wait(_LOCK_POLL_S):
                raise UserError("Kafka's jars were not fetched", remedy="the stack is stopping")
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _fetch(folder: Path, jars: tuple[Jar, ...], supervisor: Supervisor, say: Callable[[str], None]) -> None:
    for left in folder.parent.glob("fetching-*"):  # of a download that was killed; we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    staging = folder.parent / f"fetching-{os.getpid()}"
    staging.mkdir()
    try:
        done = threading.Event()
        reporter = threading.Thread(target=_report, args=(staging, len(jars), done, say), daemon=True)
        reporter.start()
        try:
            _run_fetch(staging, jars, supervisor)
        finally:
            done.set()
            reporter.join()
        _verify(staging, jars)
        _publish(staging, folder, jars)
        say(f"kafka: {_jars(len(jars))} fetched and verified")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _run_fetch(staging: Path, jars: tuple[Jar, ...], supervisor: Supervisor) -> None:
    argv = (sys.executable, "-m", "tailrace.stack.fetch_jars", str(staging), *(jar.coordinate for jar in jars))
    ended = supervisor.run(
        Program("fetch-kafka", argv, env=system_certificates(), restart=False, stop_timeout=1.0), _TIMEOUT_S
    )
    if ended.state == "stopped" and ended.last_code == 0:
        return
    lines = ended.log.read_text(encoding="utf-8", errors="replace").splitlines()
    cause = next((line for line in reversed(lines) if line.startswith("cause: ")), ended.last_exit)
    raise UserError(
        f"Kafka's jars could not be fetched; {cause[:400]}",
        remedy="check the network and the proxy settings (HTTPS_PROXY, SSL_CERT_FILE), name a mirror of Maven "
        "Central by TAILRACE_MAVEN_URL, or use a running broker by TAILRACE_KAFKA__BOOTSTRAP_SERVERS",
    )


def _publish(staging: Path, folder: Path, jars: tuple[Jar, ...]) -> None:
    if not folder.exists():
        staging.rename(folder)
        return
    for jar in jars:
        (staging / jar.file_name).replace(folder / jar.file_name)


def _report(staging: Path, total: int, done: threading.Event, say: Callable[[str], None]) -> None:
    say(f"kafka: fetching {_jars(total)} of Kafka {kafka_version()} (first time only)")
    while not done.wait(_PROGRESS_S):
        # Those in a sub-folder are still growing.
        sizes = [path.stat().st_size for path in staging.glob("*.jar")]
        say(f"kafka: {len(sizes)} of {total} jars, {sum(sizes) / 1e6:.0f} MB")


def _jars(count: int) -> str:
    return "1 jar" if count == 1 else f"{count} jars"
