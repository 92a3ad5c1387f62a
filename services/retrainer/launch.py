"""Trainings in processes of their own: started, listened to, ended when they take too long or nobody wants them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import msgspec

from services.retrainer.orders import WAITING, Line, Order, Outcome
from shared.core.ports import Clock
from shared.runtime.logs import get_logger

CHILD = "services.retrainer.train_child"


class Work(Protocol):
    """A training under way."""

    @property
    def stage(self) -> tuple[str, str]:
        """What it is doing, and in words."""

    def result(self) -> Outcome | None:
        """Its answer; None while there is none."""

    def stop(self) -> None:
        """End it; nothing it would have answered counts."""


Launch = Callable[[Order], Work]


class Process:
    """Implements `Work`.

    Args:
        order: what to do.
        clock: for the limit.
        seconds: after which it is ended; time in which it waits for the outside world is not counted.
        module: what is run.
    """

    def __init__(self, order: Order, clock: Clock, seconds: float, module: str = CHILD) -> None:
        self._clock, self._left, self._limit = clock, seconds, seconds
        self._looked, self._log = clock.monotonic(), get_logger("training")
        self._folder = Path(tempfile.mkdtemp(prefix="tailrace-training-"))
        (self._folder / "order.json").write_bytes(msgspec.json.encode(order))
        self.stage = ("start", "starting")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(self._folder / "order.json"), str(self._folder / "result.json")],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TAILRACE_TRAINER_PARENT": str(os.getpid())},
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self._process.stdout, order.training.id), daemon=True).start()

    def result(self) -> Outcome | None:
        """See `Work`; an end without an answer is one as well."""
        now = self._clock.monotonic()
        if self.stage[0] != WAITING:
            self._left -= now - self._looked
        self._looked = now
        code = self._process.poll()
        if code is None and self._left > 0:
            return None
        if code is None:
            self.stop()
            return Outcome("failed", f"it took longer than retraining.limits.time ({self._limit:g} s)")
        try:
            found = msgspec.json.decode((self._folder / "result.json").read_bytes(), type=Outcome)
        except (OSError, msgspec.DecodeError):
            found = Outcome("failed", f"its process ended without an answer ({_ending(code)})")
        self.stop()
        return found

    def stop(self) -> None:
        """See `Work`: kill it, and whatever it may have started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self, lines: IO[bytes] | None, name: str) -> None:
        for line in lines or ():
            with suppress(msgspec.DecodeError):
                told = msgspec.json.decode(line, type=Line)
                self.stage = (told.stage, told.text)
                self._log.info(told.text, training=name, stage=told.stage)


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
