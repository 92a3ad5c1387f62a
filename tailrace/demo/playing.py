"""The replay of the demo: a thread that publishes, a look at everything meanwhile, and a worker that is killed."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from services.ingest.replay.main import Options, replay
from services.ingest.replay.plan import Selection
from services.ingest.replay.terms import Hooks, Progress
from services.retrainer.dataset import Files
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from shared.runtime.settings import Settings
from tailrace.demo.closing import Closing
from tailrace.demo.mix import Mix
from tailrace.demo.monitored import Watched
from tailrace.demo.part import Part
from tailrace.demo.screen import Screen
from tailrace.demo.start import READY_S
from tailrace.demo.watch import Watch
from tailrace.demo.words import name_of
from tailrace.stack.ready import is_ready
from tailrace.stack.stack import Stack

DRAIN_S = 90.0  # s until every record has its outcome after the last one was sent
MALFORMED_EVERY = 2_000
KILL_AT = 0.4  # share of the records after which a worker is killed
TICK = 1.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to play.

    `start` is where training ends and the replay begins (ms of event time; None: see `part.choose`); `rate` in
    records/s; `report` is where the monitor's page goes (None: nowhere). The replay waits for the first `wait`
    trainings and for what comes of them; `full` is the whole story, with a bad challenger at its end.
    """

    records: int
    rate: float
    workers: int
    seed: int
    start: int | None = None
    kill: bool = True
    wait: int = 0
    full: bool = False
    report: Path | None = None


class Player:
    """Plays parts of a history, one after the other.

    Args:
        pipeline: what is scored.
        stack: an open stack.
        settings: with the stack's addresses.
        request: what to play.
        screen: shows it.
        closing: follows the loop.
        monitor: what the monitor knows.
    """

    def __init__(
        self, pipeline: Pipeline, stack: Stack, settings: Settings, request: Request, screen: Screen,
        closing: Closing, monitor: Watched,
    ) -> None:  # fmt: skip
        self._pipeline, self._stack, self._settings = pipeline, stack, settings
        self._request, self._screen, self._closing, self._monitor = request, screen, closing, monitor
        self._mix = Mix(pipeline.spec.record, request.seed, MALFORMED_EVERY)
        self._lag = self._before = 0
        self._kill_at = float("inf")  # messages after which the victim is killed
        self._killed_at = 0.0
        self._victim = f"scorer-{pipeline.folder.name}-{request.workers - 1}"
        self.sent = 0
        self.recovery: float | None = None

    def play(self, files: Files, part: Part, watch: Watch, *, kill: bool) -> float:
        """Publish at the asked rate from a thread; show figures meanwhile. The records/s that were really sent.

        Raises:
            UserError: the replay could not go on.
        """
        request, stop = self._request, threading.Event()
        options = Options(
            state=self._stack.state.path,
            selection=Selection(part.start, None, part.records, lead_ms=part.lead_ms),
            rate=request.rate,
            max_lag=part.max_lag,
            seed=request.seed,
            lockstep=request.wait > 0,
            wait_retrainings=request.wait,
        )
        self._before = self.sent
        self._kill_at = self._before + KILL_AT * part.records if kill else float("inf")
        hooks = Hooks(on_sent=self._on_sent, extra=self._mix, on_progress=self._on_progress)
        outcome: list[Any] = []

        def work() -> None:
            try:
                kafka = self._settings.kafka
                outcome.append(replay(self._pipeline.spec, files, kafka, options, hooks=hooks, stop=stop))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                outcome.append(error)

        thread = threading.Thread(target=work, name="demo-replay", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(TICK)
                self.look(watch)
        finally:
            stop.set()
            thread.join(READY_S)
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return float(outcome[0].records_per_s)

    def look(self, watch: Watch) -> None:
        """Show how things are now.

        Raises:
            UserError: the topics cannot be read.
            Unavailable: the broker does not answer.
        """
        if self._killed_at and self.recovery is None:
            programs = {s.name: s for s in self._stack.supervisor.status()}
            if programs[self._victim].restarts and is_ready(programs[self._victim].address):
                self.recovery = time.monotonic() - self._killed_at
                self._screen.event(f"{self._victim} is back and owns partitions after {self.recovery:.1f} s")
        view = watch.view()
        if view.error:
            raise UserError(view.error, remedy="look at the broker's log")
        self._closing.look()
        self._monitor.look()
        view.quality = f"{name_of(self._monitor.figure)} {self._monitor.now()}"
        view.waits = self._closing.holding
        self._screen.figures(view, self._lag, self.sent)

    def drain(self, watch: Watch) -> None:
        """Wait until every record that was sent has an outcome, and the killed worker is back."""
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            view = watch.view()
            self._lag = max(view.records - view.outcomes, 0)
            back = not self._killed_at or self.recovery is not None
            if back and view.records >= self.sent and view.outcomes >= view.records:
                return
            time.sleep(TICK / 2)
            self.look(watch)

    def _on_sent(self, messages: int) -> None:
        self.sent = self._before + messages
        if not self._killed_at and self.sent >= self._kill_at:
            pid = self._stack.supervisor.pid(self._victim)
            if pid is not None:
                self._killed_at = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                self._screen.event(f"{self._victim} killed (SIGKILL)")

    def _on_progress(self, progress: Progress) -> None:
        self._lag = max(progress.lag, 0)
        self._closing.waits(progress.holding)
