"""Fetching over HTTP from a registry that is slow, wrong or gone (F35, F36, F40)."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.core.errors import ModelRefused, Unavailable
from shared.core.records import BundleRef
from shared.runtime.settings import MlflowSettings, ModelSettings, Settings
from tests.support.bundles import Kit

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Registry:
    """Serves a folder as MLflow's artifact proxy does; `answer` may misbehave."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answer: Answer = send
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                registry.asked.append((name, self.headers.get("Authorization")))
                file = folder / name
                if file.is_file():
                    registry.answer(self, file.read_bytes())
                else:
                    self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def send(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """The honest answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def serving(folder: Path) -> Iterator[Registry]:
    """A registry on a free port."""
    registry = Registry(folder)
    thread = threading.Thread(target=registry.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.server.shutdown()
        registry.server.server_close()


def over_http(kit: Kit, registry: Registry) -> BundleRef:
    """The bundle's reference as a registry would announce it."""
    return BundleRef(kit.ref.version, f"{registry.url}/api/bundle", kit.ref.digest)


def cut(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Announce all, send half."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


def endless(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Never stop sending."""
    handler.send_response(200)
    handler.end_headers()
    with suppress(OSError):
        while True:
            handler.wfile.write(bytes(100_000))


def when(awake: threading.Event) -> Answer:
    """The honest answer, once the event is set."""

    def answer(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        awake.wait(20)
        send(handler, content)

    return answer


def elsewhere(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Send the client to another address."""
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:9/")
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda h, _: h.send_error(500), "the registry answers 500"),
        (lambda h, _: h.send_error(401), "the registry answers 401"),
        (elsewhere, "the registry answers 302"),
    ],
)
def test_f36_wrong_answers_are_unavailability(kit: Kit, answer: Answer, words: str) -> None:
    """F36: a registry in trouble is a reason to try again, not a verdict on the model."""
    with serving(kit.folder) as registry:
        registry.answer = answer
        store = kit.store(registry.url)
        with pytest.raises(Unavailable, match=words):
            store.get(over_http(kit, registry))
        assert store.refused() == {}
        registry.answer = send
        assert store.get(over_http(kit, registry)).ref.version == "local"


def test_f36_truncated(kit: Kit) -> None:
    """F36: a model that breaks off is fetched again, and no half of it is kept."""
    with serving(kit.folder) as registry:
        registry.answer = lambda h, content: (cut if len(content) > 10_000 else send)(h, content)
        store = kit.store(registry.url)
        with pytest.raises(Unavailable, match=r"broke off|does not answer"):
            store.get(over_http(kit, registry))
        assert not (kit.state / "models" / kit.ref.digest).exists()


def test_endless_answers_are_cut(kit: Kit) -> None:
    """B39: a registry that never stops sending is stopped at the size that is allowed."""
    with serving(kit.folder) as registry:
        registry.answer = endless
        with pytest.raises(ModelRefused, match=r"size: manifest.json is larger than"):
            kit.store(registry.url).get(over_http(kit, registry))


def test_f36_a_hanging_registry_never_blocks_beyond_the_budget(kit: Kit) -> None:
    """F36: `get` comes back within its time-out; the loading goes on and is done when the registry wakes."""
    awake = threading.Event()
    with serving(kit.folder) as registry:
        registry.answer = when(awake)
        store, begin = kit.store(registry.url), time.monotonic()
        with pytest.raises(Unavailable, match="still being loaded"):
            store.get(over_http(kit, registry), timeout=0.2)
        assert time.monotonic() - begin < 2
        awake.set()
        assert store.get(over_http(kit, registry)).ref.version == "local"


def test_f35_a_registry_that_is_down_stops_nobody_with_a_copy(kit: Kit) -> None:
    """F35: after one load, a new process with the same cache needs the registry no more."""
    with serving(kit.folder) as registry:
        ref = over_http(kit, registry)
        kit.store(registry.url).get(ref)
    assert kit.store(registry.url).get(ref).ref == ref
    with pytest.raises(Unavailable, match="does not answer"):
        kit.store(registry.url).get(BundleRef("2", ref.uri, "0" * 64))


def test_f40_eight_workers_download_once(kit: Kit) -> None:
    """F40: workers that hear of one version at the same moment fetch each file once."""
    with serving(kit.folder) as registry:
        ref = over_http(kit, registry)
        stores = [kit.store(registry.url) for _ in range(8)]
        for store in stores:
            store.prepare(ref)
        assert {store.get(ref).ref for store in stores} == {ref}
        assert len(registry.asked) == len(kit.manifest().files) + 2


def test_the_password_goes_to_the_registry_only(kit: Kit, tmp_path: Path) -> None:
    """Credentials are sent to the address they belong to, and to no other that an announcement may name."""
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    with serving(kit.folder) as ours, serving(kit.folder) as other:
        mlflow = MlflowSettings(url=ours.url, username="scorer", password_file=str(secret))
        for registry, expected in ((ours, True), (other, False)):
            models = ModelSettings(cache=str(tmp_path / registry.url[-5:]))
            kit.store_with(Settings(mlflow=mlflow, models=models)).get(over_http(kit, registry))
            assert [header is not None for _, header in registry.asked] == [expected] * len(registry.asked)
