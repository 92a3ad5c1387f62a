"""`tailrace verify monitor`: predictions and labels flow, faults strike, and every figure is worked out again."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec

from shared.adapters.kafka.announcer import Announcer
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.kafka.table import TableReader
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import TailraceError
from shared.core.records import Rollout
from shared.core.topics import topic
from shared.runtime.model_files import public_key
from shared.runtime.settings import Settings
from tailrace.proof import monitor_checks as checks
from tailrace.proof.checks import Finding
from tailrace.proof.monitor_analyst import figures, requests, said
from tailrace.proof.monitor_checks import Published
from tailrace.proof.monitor_crew import ANALYST, ROUTER, Crew
from tailrace.proof.monitor_feed import Feed
from tailrace.proof.monitor_nemesis import MonitorNemesis
from tailrace.proof.monitor_plan import OBSERVERS, Request, Strike, plan
from tailrace.proof.monitor_reading import Reading
from tailrace.proof.monitor_recovery import recoveries
from tailrace.proof.monitor_saying import Speaker
from tailrace.proof.monitor_script import Script, Step
from tailrace.proof.monitor_terms import SPAN, STEP, TAIL, bent
from tailrace.proof.monitor_verdict import Analyst, MonitorVerdict, Recovery, sum_up
from tailrace.proof.scene import Say, Scene, announce_second, scene
from tailrace.recompute.main import Report, recompute_monitor
from tailrace.recompute.terms import terms_of, times_of
from tailrace.recompute.then import Then


class Run:
    """One run on an open scene.

    Args:
        scene_: what it plays on.
        request: what is tried; without an analyst among the services, none is killed.
        say: told of progress.
    """

    def __init__(self, scene_: Scene, request: Request, say: Say) -> None:
        self._scene, self._say, self._began = scene_, say, time.monotonic()
        self._crew = Crew(scene_, request.planted)
        self._request = request if self._crew.has_analyst else replace(request, analyst_kills=0)
        self._strikes = plan(self._request, scene_.settings.loop)
        self._nemesis = MonitorNemesis(self._crew, request.seed, say)
        speaker = Speaker(scene_.pipeline.spec, scene_.pool, {name: ref.digest for name, ref in scene_.refs.items()})
        self._script = Script(speaker, request.records, request.seed, scene_.pool.start // STEP * STEP)
        self._active: str | None = None
        self._recovery: list[Recovery] = []
        self._rebuilt = Counter[str]()

    def verdict(self) -> MonitorVerdict:
        """Play, wait, check.

        Raises:
            UserError: a part could not be prepared.
            Unavailable: something does not come to its end, or the topics could not be read back.
        """
        with Feed(self._scene.conf, self._scene.name) as feed:
            drained = self._play(feed)
            sent = {"committed": feed.committed, "aborted": feed.aborted}
        found = Reading(self._scene.conf, self._scene.name).published()
        if self._request.planted == "altered":
            self._alter(found)
        self._say("recomputing every figure from the journal")
        spec = self._scene.pipeline.spec
        then = Then(times_of(spec), terms_of(spec))
        report = recompute_monitor(spec, self._settings(), self._say, keep=then.keep)
        findings, analyst = self._check(found, report), None
        if self._crew.has_analyst:
            self._say("comparing what the analyst said")
            more, analyst = self._analyst(then)
            findings |= more
        return sum_up(
            self._scene, self._request, findings, report, found, self._nemesis, sent, self._rebuilt,
            self._recovery, analyst, drained, time.monotonic() - self._began,
        )  # fmt: skip

    def _play(self, feed: Feed) -> float:
        """Faults while predictions come, recoveries, then the last labels; how long the rest took afterwards, s."""
        crew, steps = self._crew, self._script.steps()
        crew.start_single(ROUTER)
        for slot in range(OBSERVERS):
            crew.start_observer(slot)
        if crew.has_analyst:
            crew.start_single(ANALYST)
        crew.wait_ready(crew.single(ROUTER), *(crew.observer(slot) for slot in range(OBSERVERS)))
        first, later = self._strikes
        lasts = sum(one.lasts for one in first)
        self._say(f"{self._request.records:,} predictions over {lasts:.0f} s of faults")
        self._flow(feed, map(self._announced, islice(steps, SPAN // STEP)), SPAN // STEP, first)
        self._say("no more predictions; waiting for all to be folded")
        crew.wait_done()
        self._rebuilt.update(one["source"] for one in crew.rebuilt())
        if not self._request.planted:
            self._recover(feed)
        self._say("the last labels come")
        self._flow(feed, steps, TAIL // STEP, later)
        drained = crew.wait_done()
        self._rebuilt.update(one["source"] for one in crew.rebuilt())
        names = [*(crew.observer(slot) for slot in sorted(crew.observers)), crew.single(ROUTER)]
        if crew.has_analyst:
            crew.wait_analyst()
            names.append(crew.single(ANALYST))
        self._nemesis.unclean += crew.stop(*names)
        return drained

    def _flow(self, feed: Feed, steps: Iterable[Step], count: int, strikes: Sequence[Strike]) -> None:
        """Send steps while faults strike, for as long as both take."""
        with ThreadPoolExecutor(1) as pool:
            flowing = pool.submit(feed.play, steps, self._nemesis.left, count)
            try:
                self._nemesis.run(strikes)
            except BaseException:
                feed.stopped = True
                raise
            flowing.result()

    def _announced(self, step: Step) -> Step:
        """The second version comes into force where the script makes it the champion."""
        if self._active is None and step.begins >= self._script.second:
            self._active = activate_second(self._scene)
            self._say(f"version {self._active} is the champion")
        return step

    def _recover(self, feed: Feed) -> None:
        def send() -> None:
            feed.write(self._script.pulse(self._script.half))

        partitions = self._scene.pipeline.spec.partitions
        self._recovery += recoveries(self._crew, partitions, send, self._say)
        for slot in range(1, OBSERVERS):
            self._crew.start_observer(slot)

    def _check(self, found: Published, report: Report) -> dict[str, Finding]:
        books, unclean = self._script.books, self._nemesis.unclean
        return {
            "I5": checks.aborted(found),
            "I13": checks.recomputed(report),
            "accounts": checks.accounts(found, books),
            "outcomes": checks.outcomes(found, books),
            "closed": checks.closed_again(found),
            "letters": checks.letters(found, books),
            "I17": Finding(len(unclean), tuple(unclean)),
        }

    def _analyst(self, then: Then) -> tuple[dict[str, Finding], Analyst]:
        """Its figures and requests, held against raw predictions and labels as of the offsets that it names."""
        reading = Reading(self._scene.conf, self._scene.name)
        told = said(reading.values("verdicts"), reading.values("retrain"))
        cooldown = round(self._scene.pipeline.spec.retraining.cooldown * 1_000)
        counts = Analyst(len(told.verdicts), len(told.windows), len({one["id"] for one in told.requests}))
        return {"figures": figures(told, then), "requests": requests(told, cooldown)}, counts

    def _settings(self) -> Settings:
        """Those of the scene; the recomputation fetches the bundles anew."""
        settings = self._scene.settings
        key = public_key(settings.models, self._scene.stack.state.path)
        cache = self._scene.trails / "recompute"
        models = msgspec.structs.replace(settings.models, public_key_file=str(key), cache=str(cache))
        return msgspec.structs.replace(settings, models=models)

    def _alter(self, found: Published) -> None:
        """Plant a scorecard that says one observation too many."""
        key, value = found.card
        card = msgspec.json.decode(value)
        card["sums"]["n"] += 1
        publisher = KafkaPublisher(self._scene.conf)
        publisher.send(topic(self._scene.name, "scorecards"), key, msgspec.json.encode(card), None, None)
        publisher.flush(60.0)


def prove_monitor(
    pipeline: Pipeline, request: Request, home: Path, say: Say, keep: Path | None = None
) -> MonitorVerdict:
    """Build a stack of its own in an empty folder, let predictions and labels flow and faults strike, and check.

    Args:
        pipeline: whose records are predicted.
        request: what is tried.
        home: an empty folder.
        say: told of progress.
        keep: where logs and the broker's data go if a promise was broken.

    Raises:
        UserError: a part could not be prepared; nothing is left running.
        Unavailable: something does not come to its end, or the topics could not be read back.
    """
    with scene(pipeline, "exactly_once", home, records=request.records, say=say) as made:
        announce_second(made)  # known from the start, as it answers beside the first one
        made.pipeline = bent(made.pipeline, home / "bent")  # trained by its own terms, watched by the proof's
        try:
            verdict = Run(made, request, say).verdict()
        except TailraceError:
            _keep(home, keep, say)
            raise
        if not verdict.ok:
            _keep(home, keep, say)
        return verdict


def activate_second(scene_: Scene) -> str:
    """Say on `models` that the second version is in force: the proof's scorers need no barrier."""
    announce_second(scene_)
    name = scene_.name
    reader = TableReader(scene_.conf, topic(name, "models"), 30.0)
    with closing(reader), closing(Announcer(scene_.conf, 30.0)) as announcer:
        known = [msgspec.json.decode(value, type=Rollout) for value in reader.to_end()]
        newest = max(known, key=lambda one: one.epoch)
        active = msgspec.structs.replace(newest, state="active", reason="proof")
        announcer.send(topic(name, "models"), f"{name}/{active.epoch}".encode(), msgspec.json.encode(active))
    return active.champion.version


def _keep(home: Path, keep: Path | None, say: Say) -> None:
    if keep is None:
        return
    folders = ("stack/logs", "stack/workers", "stack/kafka")
    for name in folders:
        if (home / name).exists():
            shutil.copytree(home / name, keep / Path(name).name, dirs_exist_ok=True)
    say(f"logs and the broker's data are kept in {keep}")
