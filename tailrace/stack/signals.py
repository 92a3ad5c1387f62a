"""Ctrl-C and SIGTERM, taken once: the first stops us in order, later ones do not disturb that."""

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

AGAIN_S = 0.05  # until an interrupt that nobody got is raised again: where it was swallowed must be over by then


class Terminated(KeyboardInterrupt):
    """SIGTERM; a Ctrl-C that came from another process."""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt (SIGTERM: its subclass `Terminated`), ignore later ones.

    Enter it around whatever must be cleaned up, e.g. `with stoppable(), Stack(...)`; only in the main thread. An error
    that comes out after the signal is its consequence and becomes the interrupt again: libraries in C turn one that
    reaches them at the wrong moment into errors of their own. One that comes up where Python can raise nothing (a
    finalizer, a collection of garbage) is raised again a moment later.
    """
    asked: type[KeyboardInterrupt] | None = None

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked is None:
            asked = Terminated if number == signal.SIGTERM else KeyboardInterrupt
            raise asked

    def on_unraisable(lost: "sys.UnraisableHookArgs") -> None:
        nonlocal asked
        if asked is None or lost.exc_type is not asked:
            hook(lost)
            return
        number = signal.SIGTERM if asked is Terminated else signal.SIGINT
        asked = None
        again = threading.Timer(AGAIN_S, _thread.interrupt_main, [number])
        again.daemon = True
        again.start()

    hook, sys.unraisablehook = sys.unraisablehook, on_unraisable
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        if asked is None:
            raise
        raise asked from error
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
