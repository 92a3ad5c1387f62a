"""Waiting for a condition, never for a time."""

import threading
import time
from collections.abc import Callable


def until(condition: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Return as soon as the condition holds; fail naming it after `timeout` seconds."""
    end = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"still waiting for {what} after {timeout} s"
        pause.wait(0.01)
