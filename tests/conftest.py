"""Fixtures of every test: real servers, each started once a session and only if a test asks for it.

A server is taken from the environment if its address is given (`TAILRACE_KAFKA__BOOTSTRAP_SERVERS`,
`TAILRACE_REDIS__URL`, `TAILRACE_MLFLOW__URL`), else started by the embedded stack. A server that cannot
be had fails the tests that need it; it never skips them.
"""

import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailrace.stack.endpoints import Endpoints
from tailrace.stack.stack import Stack

_COUNTER = itertools.count(1)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack of this session, in a folder of its own; nothing runs in it before it is asked for."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-tests-"))
    with Stack(folder, parts=(), external=Endpoints.from_env()) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(stack: Stack) -> str:
    """Bootstrap servers of a real broker."""
    return stack.ensure("kafka").kafka


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    """URL of a real Redis (or Valkey)."""
    return stack.ensure("redis").redis


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
