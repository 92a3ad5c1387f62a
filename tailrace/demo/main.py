"""The demo: a pipeline's history through the real thing, a worker killed on the way, a model retrained and swapped.

Nothing in any service knows of it: it does what an operator would do, with the same parts.
"""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from services.retrainer.announce import announcing
from services.retrainer.dataset import Files
from services.retrainer.main import TrainReport, train
from shared.adapters.history import HistoryFiles, history_files
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.config import client_config
from shared.adapters.pipeline_yaml import Pipeline
from shared.runtime.clock import SystemClock
from shared.runtime.settings import Settings, load_settings, read_secret
from tailrace.demo.closing import Closing
from tailrace.demo.contest import contest
from tailrace.demo.monitored import Watched
from tailrace.demo.part import Part, choose
from tailrace.demo.past import MONITORS, play_past, wait_for
from tailrace.demo.playing import Player, Request
from tailrace.demo.quality import Answers, Said, measure
from tailrace.demo.screen import Screen
from tailrace.demo.servers import FIRST, Servers
from tailrace.demo.start import await_services, start_late, start_services
from tailrace.demo.story import Story, halves
from tailrace.demo.summary import Contest, Quality, Summary
from tailrace.demo.variant import story_of, told_as
from tailrace.demo.watch import Watch
from tailrace.demo.words import training
from tailrace.proof.audit import Account, audit, ends_of
from tailrace.stack.cache import cache_folder
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.program import Event
from tailrace.stack.stack import Stack
from tailrace.stack.topics import ensure_topics

__all__ = ["Demo", "Request", "play"]

AUDIT_S = 60.0


class Demo:
    """One run.

    Args:
        pipeline: what is scored.
        stack: an open stack.
        servers: of the stack.
        request: what to play.
        screen: shows it.
        cache: where histories are kept.
        clock: s between the refits of a plain clock, to compare.
    """

    def __init__(
        self, pipeline: Pipeline, stack: Stack, servers: Servers, request: Request, screen: Screen, cache: Path,
        clock: float,
    ) -> None:  # fmt: skip
        self._pipeline, self._stack, self._servers = pipeline, stack, servers
        self._request, self._screen, self._cache, self._clock = request, screen, cache, clock
        self._settings: Settings = load_settings({**os.environ, **servers.endpoints.env()})[0]
        self._conf: dict[str, Any] = client_config(self._settings.kafka, read_secret)
        self._state = stack.state.path
        self._closing = Closing(pipeline, self._conf, screen)
        self._story = Story(pipeline, self._settings, request, screen, self._state)

    def run(self, began: float) -> Summary:
        """Play it. `began` is the monotonic time at which the command started.

        Raises:
            UserError: a part could not be prepared.
            Unavailable: the topics could not be read back.
        """
        spec, request, screen = self._pipeline.spec, self._request, self._screen
        ensure_topics(KafkaAdmin(self._conf), spec)
        ordered = (self._pipeline, self._stack, self._servers.endpoints, request.workers, screen)
        programs = start_services(*ordered)
        files = history_files(self._pipeline, self._cache, say=screen.step)
        own = Files(files.records, files.features, files.labels)
        part = choose(spec, own, start=request.start, limit=request.records)
        report = self._train(own, part)
        programs += start_late(*ordered)
        await_services(programs, self._stack)
        if part.past:
            screen.step(f"playing {part.past:,} earlier records, which aggregates look back on")
            play_past(spec, own, part, self._settings.kafka, self._conf, self._state)
        monitor = Watched(spec, self._settings, self._state)
        player = Player(self._pipeline, self._stack, self._settings, request, screen, self._closing, monitor)
        starts = ends_of(self._conf, spec.name)
        watch = Watch(self._conf, spec.name, starts)
        watch.start()
        self._closing.open(programs)
        try:
            pace = self._play(player, own, part, watch)
            player.drain(watch)
            screen.figures(watch.view(), 0, player.sent)
            screen.done()
            screen.step("joining the last labels")
            wait_for(spec, self._conf, MONITORS)
            self._closing.look(to_end=True)
        finally:
            watch.stop()
            self._closing.close()
        monitor.look()
        screen.step("reading everything back with a consumer of its own (read_committed)")
        answers = Answers()
        account = audit(self._conf, spec.name, starts, AUDIT_S, also=answers.take)
        quality = measure(spec, files, part, answers.by_id, screen.step)
        beside = self._contest(files, part, report, answers.by_id)
        summary = self._summary(account, watch, report, quality, player, monitor, beside, pace, began)
        if request.report is not None:
            monitor.write(request.report, summary)
        return summary

    def _play(self, player: Player, own: Files, part: Part, watch: Watch) -> float:
        if not self._request.full:
            return player.play(own, part, watch, kill=self._request.kill)
        first, rest = halves(self._pipeline.spec, own, part)
        pace = player.play(own, first, watch, kill=self._request.kill)
        self._story.poison(own, first, lambda: player.look(watch), self._closing.loop)
        player.play(own, rest, watch, kill=False)
        player.drain(watch)
        self._story.settle(lambda: player.look(watch), self._closing.loop)
        return pace

    def _train(self, files: Files, part: Part) -> TrainReport:
        self._screen.step(f"training {self._pipeline.spec.name}")

        def told(what: str) -> None:
            if what.startswith("registering"):
                self._servers.wait()

        with announcing(self._pipeline.spec, self._settings, SystemClock()) as announce:
            report = train(
                self._pipeline,
                self._settings,
                told,
                files=files,
                until=part.start,
                announce=announce,
                state=self._state,
            )
        figure = training(self._pipeline.spec, report.metrics)
        runs = (f"runtime {report.runtime}", f"version {report.ref.version}")
        said = (f"{report.records:,} records", report.estimator, figure, *runs)
        self._screen.step("  " + " · ".join(one for one in said if one))
        return report

    def _contest(
        self, files: HistoryFiles, part: Part, report: TrainReport, answers: dict[str, Said]
    ) -> dict[str, Contest]:
        if not self._request.full or files.labels is None:
            return {}
        own = Files(files.records, files.features, files.labels)
        return contest(
            self._pipeline.spec, self._settings, own, part, report.ref, answers, self._clock, self._state,
            self._screen.step,
        )  # fmt: skip

    def _summary(
        self, account: Account, watch: Watch, report: TrainReport, quality: Quality | None, player: Player,
        monitor: Watched, beside: dict[str, Contest], pace: float, began: float,
    ) -> Summary:  # fmt: skip
        late = np.array(watch.latencies or [float("nan")])
        p50, p95, p99 = (round(float(v), 1) for v in np.percentile(late, [50, 95, 99]))
        bad = self._story.told(self._closing.loop, account.versions)
        return Summary(
            ok=account.ok and account.records == player.sent and (bad is None or bad.taken_back),
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
            recovery_s=None if player.recovery is None else round(player.recovery, 1),
            records_per_s=pace,
            versions=account.versions,
            model=report.metrics,
            quality=quality.figures if quality else {},
            labelled=quality.labelled if quality else 0,
            intervals=quality.intervals if quality else None,
            monitor=monitor.summary(self._request.report),
            loop=self._closing.summary(),
            contest=beside,
            bad=bad,
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

    with Stack(state, parts=FIRST, external=external, say=screen.step, on_event=on_event) as stack:
        servers, asked = Servers(stack, external), pipeline.spec.retraining
        if request.full:
            pipeline = told_as(pipeline, story_of(pipeline), stack.state.path / "pipelines")
        clock = float(asked.every or asked.cooldown)  # as declared, not the story's
        return Demo(pipeline, stack, servers, request, screen, cache or cache_folder(), clock).run(began)
