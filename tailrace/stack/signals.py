"""Ctrl-C and SIGTERM, taken once: the first stops us in order, later ones do not disturb that."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM; a Ctrl-C that came from another process."""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt (SIGTERM: its subclass `Terminated`), ignore later ones.

    Enter it around whatever must be cleaned up, e.g. `with stoppable(), Stack(...)`; only in the main thread. An error
    that comes out after the signal is its consequence and becomes the interrupt again: libraries in C turn one that
    reaches them at the wrong moment into errors of their own.
    """
    asked: type[KeyboardInterrupt] | None = None

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked is None:
            asked = Terminated if number == signal.SIGTERM else KeyboardInterrupt
            raise asked

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        if asked is None:
            raise
        raise asked from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
