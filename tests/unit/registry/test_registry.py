"""The registry's client against servers that are away, hang, or answer with an error."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shared.adapters.mlflow_models import Registry
from shared.core.errors import Unavailable, UserError
from shared.core.records import BundleRef
from shared.core.registry import CHAMPION, VersionInfo, version_info

OPERATIONS: dict[str, Callable[[Registry], object]] = {
    "aliases": lambda registry: registry.aliases("parcels"),
    "set_alias": lambda registry: registry.set_alias("parcels", CHAMPION, "7"),
    "drop_alias": lambda registry: registry.drop_alias("parcels", CHAMPION),
    "versions": lambda registry: registry.versions("parcels"),
    "tag": lambda registry: registry.tag("parcels", "7", "tailrace.refused", "slow"),
    "log_json": lambda registry: registry.log_json("0" * 32, "gate.json", {"passed": True}),
}


@pytest.fixture
def hanging() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def failing() -> Iterator[Callable[[int, bytes], str]]:
    """Servers that answer everything with one status and body."""
    running: list[HTTPServer] = []

    def serve(status: int, body: bytes) -> str:
        class Answer(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Retry-After", "600")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _answer  # noqa: N815 - names of the standard library

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        running.append(HTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}"

    yield serve
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_server_that_is_away_is_unavailable(name: str) -> None:
    """Each operation says in one line, with the address, that nobody answers."""
    with pytest.raises(Unavailable, match=r"^MLflow at http://127\.0\.0\.1:9: .") as caught:
        OPERATIONS[name](Registry("http://127.0.0.1:9", patience_s=1))
    assert "\n" not in str(caught.value)


def test_a_server_that_hangs_does_not_hold_the_caller(hanging: str) -> None:
    """A call ends within a little more than twice the patience."""
    begin = time.monotonic()
    with pytest.raises(Unavailable, match=hanging):
        Registry(hanging, patience_s=1).aliases("parcels")
    assert time.monotonic() - begin < 8


@pytest.mark.parametrize("status", [500, 503, 401])
def test_a_server_in_trouble_is_unavailable(failing: Callable[[int, bytes], str], status: int) -> None:
    """An error of the server is no answer, and its wish to be asked again in ten minutes is not followed."""
    begin = time.monotonic()
    with pytest.raises(Unavailable):
        Registry(failing(status, b'{"error_code": "INTERNAL_ERROR", "message": "x"}'), patience_s=1).aliases("parcels")
    assert time.monotonic() - begin < 8


@pytest.mark.parametrize("name", ["set_alias", "drop_alias", "tag"])
def test_what_does_not_exist_is_the_users_error(failing: Callable[[int, bytes], str], name: str) -> None:
    """A version nobody registered is named, with what to do."""
    url = failing(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}')
    with pytest.raises(UserError, match=r"parcels.*tailrace models list"):
        OPERATIONS[name](Registry(url, patience_s=1))


def test_a_model_nobody_registered_has_no_aliases(failing: Callable[[int, bytes], str]) -> None:
    """Before the first training there is nothing to follow, and that is no error."""
    url = failing(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}')
    assert Registry(url, patience_s=1).aliases("parcels") == {}


def test_a_version_is_what_its_tags_say() -> None:
    """A complete version has a bundle; one that is pending, failed or of another maker has none."""
    tags = {"tailrace.state": "complete", "tailrace.uri": "http://x/1", "tailrace.digest": "a" * 64}
    whole = version_info("3", "r", 5, tags)
    assert whole == VersionInfo("3", "r", "a" * 64, "http://x/1", "complete", "", 5, tags)
    assert whole.ref == BundleRef("3", "http://x/1", "a" * 64)
    assert [version_info("3", "r", 5, tags | {"tailrace.state": s}).ref for s in ("pending", "failed", "")] == [
        None
    ] * 3
