"""`tailrace verify challengers`: ten bad versions that the gate let through, rolled out by the real controller."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import msgspec

from services.ingest.replay.plan import Selection
from services.ingest.replay.source import ReplaySource
from services.retrainer.dataset import Files
from services.retrainer.rollout.control import RolloutControl
from services.retrainer.rollout.decide import RolloutRefused
from services.retrainer.rollout.wiring import rollout_control
from shared.adapters.history import history_files
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.mlflow_models import Registry
from shared.adapters.pipeline_yaml import Pipeline
from shared.adapters.tables import read_rows
from shared.core.errors import Unavailable
from shared.core.registry import CHALLENGER, CHAMPION, COMPLETE, DIGEST_TAG, STATE_TAG, URI_TAG
from shared.core.topics import topic
from tailrace.proof.challengers_books import Books
from tailrace.proof.challengers_feed import Feed
from tailrace.proof.challengers_forge import CHAMPION as FIRST
from tailrace.proof.challengers_forge import trainer, versions_of
from tailrace.proof.challengers_plan import GOOD, Request, changes
from tailrace.proof.challengers_trial import Trial
from tailrace.proof.challengers_verdict import Row, Verdict
from tailrace.proof.challengers_worker import FAULTS, SHARE
from tailrace.proof.gathered import save
from tailrace.proof.scene import Say, Scene, scene
from tailrace.stack.cache import cache_folder
from tailrace.stack.program import Program
from tailrace.stack.ready import is_ready
from tailrace.stack.services import SERVICE_PROGRAMS, Order

READY_S, SETTLE_S, DRAIN_S = 120.0, 60.0, 120.0
AFTER_S = 3.0  # that the champion scores alone at the end
LETGO_S = 2.0  # after a revocation, in which what was in hand may still be written
_POLL_S = 0.1
_OWN = {"services.scorer.main": "scorer", "services.scorer.shadow.main": "shadow"}
_WORKER = "tailrace.proof.challengers_worker"


class Run:
    """One run on an open scene.

    Args:
        scene_: what it plays on.
        request: what is tried.
        say: told of progress.
        files: the history.
    """

    def __init__(self, scene_: Scene, request: Request, say: Say, files: Files) -> None:
        self._scene, self._request, self._say = scene_, request, say
        self._spec, self._began = scene_.pipeline.spec, time.monotonic()
        self._registry = Registry(scene_.stack.endpoints.mlflow)
        self._versions = versions_of(request)
        source = ReplaySource(self._spec, files, read_rows, Selection(start=scene_.pool.start))
        self._feed = Feed(KafkaPublisher(scene_.conf), scene_.name, source, request.rate)
        self._champion = FIRST
        self._trials: list[tuple[Trial, int, int]] = []

    def verdict(self) -> Verdict:
        """Play, stop, check.

        Raises:
            Unavailable: something did not come in time, or the topics could not be read back.
        """
        self._register()
        self._start()
        self._feed.start()
        with ExitStack() as stack:
            control = stack.enter_context(rollout_control(self._spec, self._scene.settings))
            for version, kind in self._versions.items():
                self._try(control, version, kind)
            time.sleep(AFTER_S)
            self._feed.busy.set()
            self._until(self._sends(self._spec.partitions * 50), "the last records", SETTLE_S)
            sent = self._feed.finish()
            force = control.books.table().newest_active()
        self._drain(sent)
        self._scene.supervisor.stop()
        self._say("reading everything back")
        return self._sum_up(Books(self._scene), force.champion.version if force is not None else "")

    def _register(self) -> None:
        """All versions stand in MLflow, complete; the first one is the champion."""
        for version, ref in self._scene.refs.items():
            draft = self._registry.begin(self._scene.name, {}, {})
            if draft.version != version:
                raise Unavailable(f"MLflow gave the number {draft.version} to version {version}")
            for key, value in ((DIGEST_TAG, ref.digest), (URI_TAG, ref.uri), (STATE_TAG, COMPLETE)):
                self._registry.tag(self._scene.name, version, key, value)
        self._registry.set_alias(self._scene.name, CHAMPION, FIRST)

    def _start(self) -> None:
        """Scorers, the feature writer, label router, observer, shadow worker and controller, as `tailrace up` does."""
        self._scene.start_others()
        names = ["scorer", "labels", "observer", "rollout"]
        if self._spec.rollout.shadow is not None:
            names.append("shadow")
        programs = [program for name in names for program in self._programs(name)]
        self._scene.supervisor.start(*programs)
        for program in programs:
            self._until(lambda one=program: is_ready(one.address), f"{program.name} to be ready", READY_S)  # type: ignore[misc] # a default binds it

    def _programs(self, service: str) -> list[Program]:
        stack = self._scene.stack
        order = Order(self._scene.pipeline.folder, stack.endpoints, stack.state.path, self._request.workers, stack.port)
        bad = {kind.name for kind in self._request.kinds if kind.where == "worker"}
        faults = {version: kind for version, kind in self._versions.items() if kind in bad}
        env = {FAULTS: msgspec.json.encode(faults).decode()}
        programs = SERVICE_PROGRAMS[service](order)
        return [_wrapped(program, {**env, SHARE: str(len(programs))}) for program in programs]

    def _try(self, control: RolloutControl, version: str, kind: str) -> None:
        """One challenger, from its alias to its end; then everything is as before, or it is the champion."""
        self._say(f"version {version} ({kind}) is the challenger")
        trial, first = Trial(version), 0
        self._registry.set_alias(self._scene.name, CHALLENGER, version)
        deadline = time.monotonic() + self._request.patience
        while not trial.look(control.books.table()) and time.monotonic() < deadline:
            if trial.steps and not first:
                first = self._feed.sent
                self._feed.busy.set()
            self._feed.check()
            time.sleep(_POLL_S)
        last = self._feed.sent
        self._feed.busy.clear()
        self._trials.append((trial, first or last, last))
        self._say(f"  {trial.end} after {last - (first or last):,} records, in {trial.step}: {trial.reason}")
        if kind == GOOD and trial.end == "champion":
            self._champion = version
        elif trial.end != "rolled back":
            self._by_hand(control, version)
        self._until(self._agreed, "the aliases to say what is in force", SETTLE_S)
        force = control.books.table().newest_active()
        if force is not None:
            control.settled(force.epoch, SETTLE_S)

    def _by_hand(self, control: RolloutControl, version: str) -> None:
        """What the controller lets live is taken back, so that the next one stands beside a good champion."""
        force = control.books.table().newest_active()
        if force is not None:
            control.settled(force.epoch, SETTLE_S)
        self._registry.drop_alias(self._scene.name, CHALLENGER)
        try:
            control.revoke(version, reason="taken back by hand: its trial is over")
        except RolloutRefused as error:
            self._say(f"  {error}")

    def _agreed(self) -> bool:
        found = self._registry.aliases(self._scene.name)
        return found.get(CHAMPION) == self._champion and CHALLENGER not in found

    def _drain(self, sent: int) -> None:
        """Wait until every record has its outcome."""
        self._say(f"{sent:,} records were sent; waiting for the last outcomes")
        self._until(self._scored, "every record to be scored", DRAIN_S)

    def _scored(self) -> bool:
        group, where = f"tailrace.{self._scene.name}.scorer", topic(self._scene.name, "records")
        with closing(GroupPositions(self._scene.conf, group, where)) as asked:
            at, ends = asked.committed(), asked.ends()
        return all(at.get(partition, 0) >= end for partition, end in ends.items())

    def _sends(self, more: int) -> Callable[[], bool]:
        wanted = self._feed.sent + more
        return lambda: self._feed.sent >= wanted

    def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self._feed.check()
            if time.monotonic() > deadline:
                raise Unavailable(f"waited {seconds:g} s for {what}")
            time.sleep(_POLL_S)

    def _sum_up(self, books: Books, in_force: str) -> Verdict:
        rows = [self._row(books, *one) for one in self._trials]
        good, bad = rows[0], rows[1:]
        left, account = books.behind(self._champion), books.account
        promoted = good.end == "champion"
        return Verdict(
            ok=promoted and account.ok and in_force == self._champion and not left,
            plan=self._request.plan,
            n=account.records,
            seed=self._request.seed,
            good=good,
            rows=bad,
            caught=sum(row.caught for row in bad),
            missed=[row.name for row in bad if not row.caught],
            in_force=in_force,
            wanted=self._champion,
            left=left,
            lost=account.lost,
            doubled=account.doubled,
            dead_letters=account.dead_letters,
            wall_s=round(time.monotonic() - self._began, 1),
        )

    def _row(self, books: Books, trial: Trial, first: int, last: int) -> Row:
        version, ended = trial.version, trial.ended or trial.began
        late = max(books.last.get(version, 0) - ended, 0) / 1000 if trial.end == "rolled back" else 0.0
        letters = sum(trial.began <= at <= ended + LETGO_S * 1000 for at in books.letters) if trial.ended else 0
        return Row(
            name=self._versions[version],
            version=version,
            caught=trial.end == "rolled back",
            end=trial.end,
            signal=trial.signal,
            step=trial.step,
            steps=tuple(trial.steps.values()),
            after_records=last - first,
            after_s=round((ended - trial.began) / 1000, 1),
            scored=books.account.versions.get(version, 0),
            shadowed=books.shadowed.get(version, 0),
            dead_letters=letters,
            last_s=round(late, 2),
            reason=trial.reason,
        )


def _wrapped(program: Program, env: dict[str, str]) -> Program:
    """A program with a seam for faults where it scores."""
    role = next((_OWN[word] for word in program.argv if word in _OWN), "")
    if not role:
        return program
    argv = [word for one in program.argv for word in ((_WORKER, role) if one in _OWN else (one,))]
    return replace(program, argv=tuple(argv), env={**program.env, **env})


def prove_challengers(pipeline: Pipeline, request: Request, home: Path, say: Say, keep: Path | None = None) -> Verdict:
    """Build a stack of its own in an empty folder, roll a good version out and bad ones after it, and tell of each.

    Args:
        pipeline: what is scored; a binary one.
        request: what is tried.
        home: an empty folder.
        say: told of progress.
        keep: where logs and the broker's data go if a promise was broken.

    Raises:
        UserError: a part could not be prepared; nothing is left running.
        Unavailable: something did not come in time, or the topics could not be read back.
    """
    began = time.monotonic()
    found = history_files(pipeline, cache_folder(), say=say)
    files = Files(found.records, found.features, found.labels)
    with scene(
        pipeline, "exactly_once", home, records=1, say=say, also=("mlflow",),
        changes=changes(pipeline.spec, request.plan), train=trainer(request, say),
    ) as made:  # fmt: skip
        try:
            verdict = Run(made, request, say, files).verdict()
        except Unavailable:
            save(home, keep, say)
            raise
        if not verdict.ok:
            save(home, keep, say)
        return msgspec.structs.replace(verdict, wall_s=round(time.monotonic() - began, 1))
