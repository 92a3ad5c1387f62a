"""The demo: a pipeline's history through the real thing, a worker killed on the way, the books closed at the end.

Nothing in any service knows of it: it does what an operator would do, with the same parts.
"""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.ingest.replay.main import Options, replay
from services.ingest.replay.plan import Selection
from services.ingest.replay.terms import Hooks, Progress
from services.retrainer.announce import announcing
from services.retrainer.dataset import Files
from services.retrainer.main import TrainReport, train
from shared.adapters.history import history_files
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.config import client_config
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings, load_settings, read_secret
from tailrace.demo.mix import Mix
from tailrace.demo.monitored import Watched
from tailrace.demo.part import Part, choose
from tailrace.demo.past import MONITORS, play_past, wait_for
from tailrace.demo.quality import Answers, measure
from tailrace.demo.screen import Screen
from tailrace.demo.start import READY_S, start_services
from tailrace.demo.summary import Quality, Summary
from tailrace.demo.watch import Watch
from tailrace.demo.words import name_of, training
from tailrace.proof.audit import Account, audit, ends_of
from tailrace.stack.cache import cache_folder
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.program import Event
from tailrace.stack.ready import is_ready
from tailrace.stack.stack import Stack
from tailrace.stack.topics import ensure_topics

DRAIN_S = 90.0  # s until every record has its outcome after the last one was sent
AUDIT_S = 60.0
MALFORMED_EVERY = 2_000
KILL_AT = 0.4  # share of the records after which a worker is killed
TICK = 1.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to play.

    `start` is where training ends and the replay begins (ms of event time; None: see `part.choose`); `rate` in
    records/s; `report` is where the monitor's page goes (None: nowhere).
    """

    records: int
    rate: float
    workers: int
    seed: int
    start: int | None = None
    kill: bool = True
    report: Path | None = None


class Demo:
    """One run.

    Args:
        pipeline: what is scored.
        stack: an open stack.
        settings: with the stack's addresses.
        request: what to play.
        screen: shows it.
        cache: where histories are kept.
    """

    def __init__(
        self, pipeline: Pipeline, stack: Stack, settings: Settings, request: Request, screen: Screen, cache: Path
    ) -> None:
        self._pipeline, self._stack, self._settings = pipeline, stack, settings
        self._request, self._screen, self._cache = request, screen, cache
        self._conf: dict[str, Any] = client_config(settings.kafka, read_secret)
        self._sent = 0
        self._lag = 0
        self._monitor: Watched | None = None
        self._kill_at = float("inf")  # messages after which the victim is killed
        self._killed_at = 0.0
        self._recovery: float | None = None
        self._victim = f"scorer-{pipeline.folder.name}-{request.workers - 1}"

    def run(self, began: float) -> Summary:
        """Play it. `began` is the monotonic time at which the command started.

        Raises:
            UserError: a part could not be prepared.
            Unavailable: the topics could not be read back.
        """
        spec, name = self._pipeline.spec, self._pipeline.spec.name
        ensure_topics(KafkaAdmin(self._conf), spec)
        files = history_files(self._pipeline, self._cache, say=self._screen.step)
        own = Files(files.records, files.features, files.labels)
        part = choose(spec, own, start=self._request.start, limit=self._request.records)
        report = self._train(own, part)
        start_services(self._pipeline, self._stack, self._request.workers, self._screen)
        if part.past:
            self._screen.step(f"playing {part.past:,} earlier records, which aggregates look back on")
            play_past(spec, own, part, self._settings.kafka, self._conf, self._stack.state.path)
        self._monitor = Watched(spec, self._settings, self._stack.state.path)
        starts = ends_of(self._conf, name)
        watch = Watch(self._conf, name, starts)
        watch.start()
        try:
            pace = self._replay(own, part, watch)
            self._drain(watch)
        finally:
            watch.stop()
        self._screen.figures(watch.view(), 0, self._sent)
        self._screen.done()
        self._screen.step("joining the last labels")
        wait_for(spec, self._conf, MONITORS)
        self._monitor.look()
        self._screen.step("reading everything back with a consumer of its own (read_committed)")
        answers = Answers()
        account = audit(self._conf, name, starts, AUDIT_S, also=answers.take)
        quality = measure(spec, files, part, answers.by_id, self._screen.step)
        if self._request.report is not None:
            self._monitor.write(self._request.report)
        return self._summary(account, watch, report, quality, pace, began)

    def _train(self, files: Files, part: Part) -> TrainReport:
        self._screen.step(f"training {self._pipeline.spec.name}")
        with announcing(self._pipeline.spec, self._settings, SystemClock()) as announce:
            report = train(
                self._pipeline,
                self._settings,
                lambda _: None,
                files=files,
                until=part.start,
                announce=announce,
                state=self._stack.state.path,
            )
        figure = training(self._pipeline.spec, report.metrics)
        runs = (f"runtime {report.runtime}", f"version {report.ref.version}")
        said = (f"{report.records:,} records", report.estimator, figure, *runs)
        self._screen.step("  " + " · ".join(one for one in said if one))
        return report

    def _replay(self, files: Files, part: Part, watch: Watch) -> float:
        """Publish at the asked rate from a thread; show figures meanwhile. The records/s that were really sent."""
        request, stop = self._request, threading.Event()
        options = Options(
            state=self._stack.state.path,
            selection=Selection(part.start, None, part.records, lead_ms=part.lead_ms),
            rate=request.rate,
            max_lag=part.max_lag,
            seed=request.seed,
        )
        mix = Mix(self._pipeline.spec.record, request.seed, MALFORMED_EVERY)
        self._kill_at = KILL_AT * part.records if request.kill else float("inf")
        hooks = Hooks(on_sent=self._on_sent, extra=mix, on_progress=self._on_progress)
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
                self._look(watch)
        finally:
            stop.set()
            thread.join(READY_S)
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return float(outcome[0].records_per_s)

    def _on_sent(self, messages: int) -> None:
        self._sent = messages
        if not self._killed_at and messages >= self._kill_at:
            pid = self._stack.supervisor.pid(self._victim)
            if pid is not None:
                self._killed_at = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                self._screen.event(f"{self._victim} killed (SIGKILL)")

    def _on_progress(self, progress: Progress) -> None:
        self._lag = max(progress.lag, 0)

    def _look(self, watch: Watch) -> None:
        if self._killed_at and self._recovery is None:
            programs = {s.name: s for s in self._stack.supervisor.status()}
            if programs[self._victim].restarts and is_ready(programs[self._victim].address):
                self._recovery = time.monotonic() - self._killed_at
                self._screen.event(f"{self._victim} is back and owns partitions after {self._recovery:.1f} s")
        view = watch.view()
        if view.error:
            raise UserError(view.error, remedy="look at the broker's log")
        if self._monitor is not None:
            self._monitor.look()
            view.quality = f"{name_of(self._monitor.figure)} {self._monitor.now()}"
        self._screen.figures(view, self._lag, self._sent)

    def _drain(self, watch: Watch) -> None:
        """Wait until every record that was sent has an outcome, and the killed worker is back."""
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            view = watch.view()
            self._lag = max(view.records - view.outcomes, 0)
            back = not self._killed_at or self._recovery is not None
            if back and view.records >= self._sent and view.outcomes >= view.records:
                return
            time.sleep(TICK / 2)
            self._look(watch)

    def _summary(
        self, account: Account, watch: Watch, report: TrainReport, quality: Quality | None, pace: float, began: float
    ) -> Summary:
        late = np.array(watch.latencies or [float("nan")])
        p50, p95, p99 = (round(float(v), 1) for v in np.percentile(late, [50, 95, 99]))
        return Summary(
            ok=account.ok and account.records == self._sent,
            pipeline=self._pipeline.spec.name,
            records=account.records,
            predictions=account.predictions,
            dead_letters=account.dead_letters,
            lost=account.lost,
            doubled=account.doubled,
            stray=account.stray,
            degraded=watch.view().degraded,
            latency_ms={"p50": p50, "p95": p95, "p99": p99},
            restarts=sum(s.restarts for s in self._stack.supervisor.status()),
            recovery_s=None if self._recovery is None else round(self._recovery, 1),
            records_per_s=pace,
            versions=account.versions,
            model=report.metrics,
            quality=quality.figures if quality else {},
            labelled=quality.labelled if quality else 0,
            intervals=quality.intervals if quality else None,
            monitor=None if self._monitor is None else self._monitor.summary(self._request.report),
            wall_s=round(time.monotonic() - began, 1),
            seed=self._request.seed,
        )


def play(
    pipeline: Pipeline,
    request: Request,
    *,
    state: Path,
    external: Endpoints,
    screen: Screen,
    began: float,
    cache: Path | None = None,
) -> Summary:
    """Start what is needed, play, and stop what was started.

    Args:
        pipeline: what is scored.
        request: what to play.
        state: folder of the stack; a running stack's own folder when attached.
        external: servers that already run.
        screen: shows it.
        began: monotonic time at which the command started.
        cache: where histories are kept; None: in the cache of this user.

    Raises:
        UserError: something could not be started; nothing is left running.
    """

    def on_event(event: Event) -> None:
        if event.kind == "started" and event.after_s:
            screen.event(f"{event.name} started again after {event.after_s:.1f} s")

    with Stack(state, external=external, say=screen.step, on_event=on_event) as stack:
        settings, _ = load_settings({**os.environ, **stack.endpoints.env()})
        return Demo(pipeline, stack, settings, request, screen, cache or cache_folder()).run(began)
