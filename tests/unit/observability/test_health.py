"""Liveness, readiness, and the endpoint that tells them."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry

from shared.adapters.prometheus import PrometheusMetrics, render
from shared.core.errors import UserError
from shared.core.metrics import NullMetrics
from shared.runtime.health import Health
from shared.runtime.http import HealthServer
from shared.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """Time that the test moves."""
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    """A loop that must turn every 10 s."""
    return Health(clock, max_turn_age=10.0)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    """The endpoint on a free port, with real metrics."""
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    with HealthServer(
        health, render=lambda: render(registry), metrics=metrics, status=lambda: {"worker": "w-0"}
    ) as running:
        yield running


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def all_ok(health: Health) -> None:
    """Everything that a scorer needs is there."""
    for check in ("assignment", "cache", "model"):
        health.set(check, True)


def test_a_stalled_loop_is_dead(health: Health, clock: ManualClock) -> None:
    """Liveness ends at the bound, counts from the start, and comes back with the next turn."""
    clock.advance(9.9)
    assert health.live()
    clock.advance(0.1)
    assert not health.live()
    health.turn()
    assert health.live()
    assert health.turn_age() == 0.0


def test_a_stalled_loop_is_not_ready(health: Health, clock: ManualClock) -> None:
    """All checks ok, and still not ready: nobody would do the work."""
    all_ok(health)
    assert health.ready()
    clock.advance(11)
    assert not health.ready()
    assert health.report()["ready"] is False


@pytest.mark.parametrize("missing", ["assignment", "cache", "model"])
def test_every_check_holds_readiness_back(health: Health, missing: str) -> None:
    """One check that is not ok is enough, and its detail says why."""
    all_ok(health)
    health.set(missing, False, "why")
    assert not health.ready()
    assert health.checks()[missing].detail == "why"


def test_an_undeclared_check_is_a_bug(health: Health) -> None:
    """A mistyped check would never hold readiness back."""
    with pytest.raises(KeyError):
        health.set("modle", True)


def test_declared_degraded_is_ready(health: Health) -> None:
    """A cache that is down by declared policy does not take the worker out of service."""
    all_ok(health)
    health.set("cache", True, "down; degraded by policy")
    assert health.ready()


def test_live_and_ready_over_http(server: HealthServer, health: Health, clock: ManualClock) -> None:
    """503 until all is there, 200 then, 503 again when the loop stalls."""
    assert get(server, "/live")[0] == 200
    status, body = get(server, "/ready")
    assert (status, json.loads(body)["checks"]["model"]) == (503, {"ok": False, "detail": "not yet"})
    all_ok(health)
    assert get(server, "/ready")[0] == 200
    clock.advance(11)
    assert [get(server, path)[0] for path in ("/live", "/ready")] == [503, 503]


def test_status_and_metrics_over_http(server: HealthServer, clock: ManualClock) -> None:
    """`/status` holds the report and the worker's own facts, `/metrics` the age of the last turn."""
    clock.advance(2.5)
    status, body = get(server, "/status?x=1")
    assert (status, json.loads(body)["worker"], json.loads(body)["turn_age_seconds"]) == (200, "w-0", 2.5)
    status, body = get(server, "/metrics")
    assert status == 200
    assert b"\ntailrace_loop_turn_age_seconds 2.5\n" in body


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("GET", "/", 404), ("GET", "/live/", 404), ("GET", "/../etc/passwd", 404), ("POST", "/live", 501)],
)
def test_nothing_else_is_served(server: HealthServer, method: str, path: str, expected: int) -> None:
    """Other paths and methods are refused."""
    assert get(server, path, method)[0] == expected


def test_head_has_no_body(server: HealthServer) -> None:
    """HEAD answers as GET does, without the body."""
    assert get(server, "/live", "HEAD") == (200, b"")


def test_a_silent_client_holds_nobody(server: HealthServer) -> None:
    """Connections that send nothing do not keep others from an answer, nor `close` from ending."""
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(10)]
    try:
        assert get(server, "/live")[0] == 200
    finally:
        for client in silent:
            client.close()


def test_a_status_that_raises_is_a_500(health: Health) -> None:
    """A bug in a status function costs this answer, not the server."""

    def broken() -> dict[str, object]:
        raise RuntimeError("bug")

    with HealthServer(health, render=bytes, metrics=NullMetrics(), status=broken) as server:
        assert get(server, "/status")[0] == 500
        assert get(server, "/live")[0] == 200


def test_a_port_in_use_is_named(server: HealthServer, health: Health) -> None:
    """The second process on a port is told which one, and what to do."""
    with pytest.raises(UserError, match=f"127.0.0.1:{server.port}.*TAILRACE_HTTP__PORT"):
        HealthServer(health, render=bytes, metrics=NullMetrics(), port=server.port)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70_000)])
def test_an_impossible_address_is_named(health: Health, host: str, port: int) -> None:
    """A host that does not resolve or a port out of range is the user's to mend."""
    with pytest.raises(UserError, match=f"{host}:{port}"):
        HealthServer(health, render=bytes, metrics=NullMetrics(), host=host, port=port)


def test_closing_frees_the_port_and_the_threads(health: Health) -> None:
    """After `close` the port can be taken again and no serving thread is left."""
    first = HealthServer(health, render=bytes, metrics=NullMetrics())
    first.close()
    second = HealthServer(health, render=bytes, metrics=NullMetrics(), port=first.port)
    second.close()
    assert "health-http" not in {thread.name for thread in threading.enumerate()}


def test_concurrent_scrapes(server: HealthServer, health: Health) -> None:
    """Readers in parallel while the loop turns all get a whole answer."""
    answers: list[tuple[int, bytes]] = []

    def scrape(path: str) -> Callable[[], None]:
        return lambda: answers.append(get(server, path))

    threads = [threading.Thread(target=scrape(path)) for path in ("/metrics", "/status") * 8]
    for thread in threads:
        thread.start()
        health.turn()
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [200] * 16
