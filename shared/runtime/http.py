"""The small HTTP server of a process: `/metrics`, `/live`, `/ready`, `/status`. Read-only, on loopback by default."""

import socketserver
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

import msgspec

from shared.core.errors import UserError
from shared.core.metrics import Metrics
from shared.runtime.health import Health
from shared.runtime.logs import get_logger

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = "application/json"
_CLIENT_TIMEOUT: Final = 5.0
_MAX_CLIENTS: Final = 32

Answer = tuple[HTTPStatus, str, bytes]
Route = Callable[[], Answer]

_log = get_logger(__name__)


class HealthServer:
    """Serves from threads of its own, from construction until `close`; a slow reader never holds the loop.

    Args:
        health: what `/live` and `/ready` answer from.
        render: the metrics as text, called for each `/metrics`.
        metrics: takes the age of the last turn before each rendering.
        status: more for `/status`; must be quick and safe to call from another thread.
        host: address to listen on.
        port: 0 takes a free one; `port` tells which.

    Raises:
        UserError: the address cannot be listened on.
    """

    def __init__(
        self,
        health: Health,
        *,
        render: Callable[[], bytes],
        metrics: Metrics,
        status: Callable[[], Mapping[str, object]] = dict,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._health = health
        self._render = render
        self._metrics = metrics
        self._status = status
        routes = {"/metrics": self._scrape, "/live": self._live, "/ready": self._ready, "/status": self._all}
        try:
            self._server = _Server((host, port), routes)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"cannot serve health on {host}:{port}: {error}",
                remedy="choose another TAILRACE_HTTP__PORT, or 0 for a free one",
            ) from error
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health-http", daemon=True)
        self._thread.start()
        _log.info("serving_health", url=self.url)

    def close(self) -> None:
        """Stop listening and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _scrape(self) -> Answer:
        self._metrics.gauge("tailrace_loop_turn_age_seconds", self._health.turn_age())
        return HTTPStatus.OK, _TEXT, self._render()

    def _live(self) -> Answer:
        live = self._health.live()
        return _json({"live": live, "turn_age_seconds": round(self._health.turn_age(), 3)}, good=live)

    def _ready(self) -> Answer:
        report = self._health.report()
        return _json(report, good=bool(report["ready"]))

    def _all(self) -> Answer:
        return _json({**self._health.report(), **self._status()}, good=True)


def _json(body: Mapping[str, object], *, good: bool) -> Answer:
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, _JSON, msgspec.json.encode(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self._slots = threading.BoundedSemaphore(_MAX_CLIENTS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's own: it asks the name server for our name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "tailrace", self.server_address[1]

    def process_request(self, request: object, client_address: object) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]  # a socket; the stubs disagree with themselves
            return
        try:
            super().process_request(request, client_address)  # type: ignore[arg-type]  # the same
        except RuntimeError:  # no thread to be had: this client gets no answer, the next one may
            self._slots.release()
            self.shutdown_request(request)  # type: ignore[arg-type]  # the same

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]  # the same
        finally:
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in mid-answer is no event; the default prints a traceback."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_TIMEOUT
    server_version = "tailrace"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a known path."""
        self._respond(with_body=True)

    def do_HEAD(self) -> None:
        """The same without the body."""
        self._respond(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Scrapes are not events."""

    def _respond(self, *, with_body: bool) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        try:
            status, kind, body = route() if route else (HTTPStatus.NOT_FOUND, _JSON, b'{"error":"no such path"}')
        except Exception:  # noqa: BLE001 - whatever a status function raises, the server goes on
            _log.error("health_answer_failed", path=self.path, exc_info=True)
            status, kind, body = HTTPStatus.INTERNAL_SERVER_ERROR, _JSON, b'{"error":"see the log"}'
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if with_body:
            self.wfile.write(body)
