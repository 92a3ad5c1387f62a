"""A TCP proxy that misbehaves: slow answers, answers in two halves, connections cut."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tailrace.stack.ports import LOOPBACK


class Proxy:
    """Forwards a free local port to `target`. What it does to answers may be changed at any time.

    `delay()` gives the seconds that each piece of an answer is held back; with `halves` its first half goes at once.
    With `tls` clients speak TLS to it; the target never does.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.delay: Callable[[], float] = lambda: 0.0
        self.halves = False
        self.connections = 0
        self._target, self._tls = target, tls
        self._links: list[socket.socket] = []
        self._stopped = threading.Event()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{'rediss' if tls else 'redis'}://{LOOPBACK}:{self.port}/0"

    def cut(self) -> None:
        """Close all connections; new ones are taken."""
        links, self._links = self._links, []
        for link in links:
            _close(link)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        _close(self._listener)
        self.cut()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
                if self._tls is not None:
                    client = self._tls.wrap_socket(client, server_side=True)
                server = socket.create_connection((LOOPBACK, self._target))
            except OSError:
                continue
            self.connections += 1
            for link in (client, server):
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links += [client, server]
            threading.Thread(target=_pump, args=(client, server.sendall), daemon=True).start()
            threading.Thread(target=_pump, args=(server, self._answer(client)), daemon=True).start()

    def _answer(self, client: socket.socket) -> Callable[[bytes], None]:
        def send(data: bytes) -> None:
            half = len(data) // 2 if self.halves else 0
            if half:
                client.sendall(data[:half])
            if seconds := self.delay():
                self._stopped.wait(seconds)
            client.sendall(data[half:])

        return send


def _pump(source: socket.socket, send: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            send(data)
    _close(source)


def _close(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
