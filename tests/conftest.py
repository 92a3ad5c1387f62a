"""Fixtures of every test: real servers, each started once a session and only if a test asks for it.

A server is taken from the environment if its address is given (`TAILRACE_KAFKA__BOOTSTRAP_SERVERS`,
`TAILRACE_REDIS__URL`, `TAILRACE_MLFLOW__URL`), else started by the embedded stack. A server that cannot
be had fails the tests that need it; it never skips them. With TAILRACE_TEST_CONTAINERS=1 Kafka and Redis run
in containers instead; then a container engine must answer.
"""

import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tailrace.stack.endpoints import Endpoints
from tailrace.stack.stack import Stack

_COUNTER = itertools.count(1)
# One node is every replica, and a dead worker's transaction is swept at once, as on the embedded broker.
CONTAINER_SETTINGS = {
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "1000",
}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack of this session, in a folder of its own; nothing runs in it before it is asked for."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-tests-"))
    with Stack(folder, parts=(), external=Endpoints.from_env()) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def containers() -> Iterator[Callable[[str], str] | None]:
    """Starts a part in a container and gives its address; None unless TAILRACE_TEST_CONTAINERS=1."""
    if os.environ.get("TAILRACE_TEST_CONTAINERS") != "1":
        yield None
        return
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415 - needs an engine to be of use
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415 - the same

    with ExitStack() as running:

        def start(part: str) -> str:
            if part == "redis":
                cache = running.enter_context(RedisContainer())
                return f"redis://{cache.get_container_host_ip()}:{cache.get_exposed_port(6379)}/0"
            broker = KafkaContainer().with_kraft()
            for name, value in CONTAINER_SETTINGS.items():
                broker.with_env(name, value)
            return str(running.enter_context(broker).get_bootstrap_server())

        yield start


@pytest.fixture(scope="session")
def kafka(stack: Stack, containers: Callable[[str], str] | None) -> str:
    """Bootstrap servers of a real broker."""
    given = Endpoints.from_env().kafka
    return containers("kafka") if containers and not given else stack.ensure("kafka").kafka


@pytest.fixture(scope="session")
def redis_url(stack: Stack, containers: Callable[[str], str] | None) -> str:
    """URL of a real Redis (or Valkey)."""
    given = Endpoints.from_env().redis
    return containers("redis") if containers and not given else stack.ensure("redis").redis


@pytest.fixture(scope="session")
def mlflow_url(stack: Stack) -> str:
    """URL of a real MLflow server; the first test to ask waits about 10 s for it."""
    return stack.ensure("mlflow").mlflow


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Make names that no other test has, e.g. for topics and groups: `unique("scorers")`."""
    return lambda stem: f"{stem}-{os.getpid()}-{next(_COUNTER)}"


@pytest.fixture
def topic_prefix(unique: Callable[[str], str]) -> str:
    """A prefix for the topics of one test; a broker may serve many tests and sessions."""
    return unique("t")


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Wait for a condition instead of sleeping: `until(lambda: done(), seconds=10)`; fails when it does not come."""

    def wait(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s"
            pause.wait(0.02)

    return wait
