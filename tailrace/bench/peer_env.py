"""The peers of the bench, and an environment for each from its own lock, kept in the cache between runs."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.core.errors import UserError
from tailrace.stack.cache import check_space, system_certificates

PEERS_FOLDER = Path(__file__).parents[2] / "benchmarks" / "peers"
LOCK_NAME, PROGRAM_NAME = "requirements.lock", "program.py"
TUNED = "tuned"
WAYS = ("", TUNED)
"""How each peer is run: with the settings of its client that it comes with, and with all that made it faster."""
_ROOM_MB, _TIMEOUT_S = 600, 600.0
_LINE = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Peer:
    """One framework beside ours.

    Attributes:
        name: its folder, and its name on the command line.
        title: its name for people.
        package: what it is called in its lock.
        client: the Kafka client that it stands on.
        guarantee: what it is set to here.
        share: of the records, for one so slow that all of them would take minutes.
        wanted: ours is to be so many times as fast as it is with the settings that it comes with.
    """

    name: str
    title: str
    package: str
    client: str
    guarantee: str
    share: float
    wanted: float

    @property
    def folder(self) -> Path:
        """Where its program and its lock are."""
        return PEERS_FOLDER / self.name

    def called(self, way: str) -> str:
        """Its row's name, by one of `WAYS`."""
        return f"{self.title}, {way}" if way else self.title


PEERS = (
    Peer("quixstreams", "Quix Streams", "quixstreams", "confluent-kafka", "exactly_once", 1.0, 4.0),
    Peer("faststream", "FastStream", "faststream", "confluent-kafka", "at_least_once", 1.0, 6.0),
    Peer("bytewax", "Bytewax", "bytewax", "confluent-kafka", "none", 1.0, 1.6),
    Peer("faust", "Faust", "faust-streaming", "aiokafka", "exactly_once (its own)", 0.1, 25.0),
)


def locked(lock: str) -> dict[str, str]:
    """Versions by package that a lock pins; of several for several Pythons, the first."""
    return dict(reversed(_LINE.findall(lock)))


def read_lock(peer: Peer) -> str:
    """The text of a peer's lock.

    Raises:
        UserError: there is none, as outside a checkout.
    """
    path = peer.folder / LOCK_NAME
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"{path} cannot be read ({error.strerror})"
        raise UserError(what, remedy="run the bench from a checkout of the repository") from None


def environment(peer: Peer, cache: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Make a peer's environment, or find it in the cache.

    Args:
        peer: whose.
        cache: the cache folder; an environment there is named by the digest of its lock and the Python.
        environ: of the installer.

    Returns:
        Its interpreter.

    Raises:
        UserError: it cannot be installed here; says why in a line.
    """
    digest = hashlib.sha256(f"{sys.version} {read_lock(peer)}".encode()).hexdigest()[:10]
    folder = cache / "peers" / f"{peer.name}-{digest}"
    python, ready = folder / "bin" / "python", folder / ".complete"
    if ready.is_file() and python.exists():
        return python
    check_space(cache, _ROOM_MB, "TAILRACE_CACHE")
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv, env = _uv(), {"UV_SYSTEM_CERTS": "1", **system_certificates(environ), **environ}
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], env)
    sync = [uv, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", "--only-binary", ":all:"]
    _run([*sync, str(peer.folder / LOCK_NAME)], env)
    ready.touch()
    return python


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise UserError("uv is needed to install the peers, and is not there", remedy="run `make bench-peers`")
    return found


def _run(argv: list[str], env: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(argv, env=dict(env), capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise UserError(f"not installed within {_TIMEOUT_S:g} s", remedy="try again with a faster network") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise UserError(f"cannot be installed: {said[-300:]}", remedy="see the message of uv")
