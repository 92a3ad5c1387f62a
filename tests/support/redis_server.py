"""A Redis server of a test's own, to be killed, stopped and filled."""

import signal
import socket
import subprocess
import tempfile
from types import TracebackType
from typing import Self

from tailrace.stack.ports import LOOPBACK
from tailrace.stack.redis import answers, binary
from tests.support.wait import until


class RedisServer:
    """A server on a free port, empty at each start; `options` are its configuration."""

    def __init__(self, **options: str) -> None:
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self._options = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._folder = tempfile.TemporaryDirectory(prefix="tailrace-redis-")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        fixed = [f"--bind={LOOPBACK}", f"--port={self.port}", f"--dir={self._folder.name}", "--save="]
        arguments = [part for option in [*fixed, *self._options] for part in option.split("=", 1)]
        self._process = subprocess.Popen([str(binary()), *arguments], stdout=subprocess.DEVNULL)
        until(lambda: answers(self.port), f"Redis on port {self.port}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP hangs it, SIGCONT wakes it."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
        self._folder.cleanup()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
