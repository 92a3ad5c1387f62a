"""`tailrace verify rollback`: a version is withdrawn while a million records wait and a worker is frozen."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import msgspec

from services.retrainer.rollout.wiring import rollout_control
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from shared.core.topics import topic
from tailrace.proof.gathered import read_back, save
from tailrace.proof.live import Live
from tailrace.proof.material import messages
from tailrace.proof.scene import VERSIONS, Say, Scene, announce_second, scene
from tailrace.proof.tape import OUTCOMES, Position, Row

GOAL_S = 5.0
WAIT_S = 180.0
_WORKERS = 3
_FROZEN = 1
_FIRST = 2_000  # records to begin with
_POLL_S = 0.05


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    `rollback_s` is from the command's start to the last prediction by the withdrawn version that the broker wrote and
    committed, `command_s` how long the command took; `lag` what waited then. `fenced` are the workers that did not let
    go by themselves, `late` predictions by the withdrawn version that were written after the command's end.
    """

    ok: bool
    n: int
    seed: int
    lag: int
    rollback_s: float
    command_s: float
    fenced: list[str]
    withdrawn: int
    after: int
    late: int
    lost: int
    doubled: int
    wall_s: float


class _Version(msgspec.Struct, frozen=True):
    version: str


class _Story:
    """The steps, on an open scene."""

    def __init__(self, scene_: Scene, records: int, seed: int, say: Say) -> None:
        self._scene, self._n, self._say = scene_, records, say
        self._messages = messages(scene_.pipeline.spec, scene_.pool, records + _FIRST, seed)
        self._publisher = KafkaPublisher(scene_.conf)
        self._seed, self._began = seed, time.monotonic()

    def play(self) -> Case:
        """All of it."""
        scene_ = self._scene
        slots = range(_WORKERS)
        for slot in slots:
            scene_.start(slot)
        scene_.start_others()
        scene_.wait_ready(*slots)
        self._send(_FIRST)
        bad = announce_second(scene_)
        with rollout_control(scene_.pipeline.spec, scene_.settings) as control:
            epoch = control.activate(bad, reason="proof", workers=_WORKERS, timeout=WAIT_S).epoch
            late = control.settled(epoch, WAIT_S)
        if late:
            raise UserError(f"version {bad} did not settle in partitions {late}", remedy="try again")
        scene_.supervisor.stop([scene_.worker(slot) for slot in slots])
        self._say(f"{self._n:,} records are sent while no worker runs")
        self._send(self._n)
        live = Live(scene_.conf, scene_.name)
        live.start()
        for slot in slots:
            scene_.start(slot)
        self._wait(lambda: live.counts()[1] > _FIRST + 1_000, "the first predictions of the backlog")
        began, ended, lag, fenced = self._withdraw(bad)
        self._wait(lambda: live.counts()[1] >= self._n + _FIRST, "every record")
        scene_.supervisor.stop([scene_.worker(slot) for slot in slots])
        live.stop()
        return self._sum_up(bad, began, ended, lag, fenced)

    def _withdraw(self, bad: str) -> tuple[float, float, int, list[str]]:
        """One worker is frozen, then the command; when that began and ended (Unix s), what waited, who was fenced."""
        scene_ = self._scene
        frozen = scene_.supervisor.pid(scene_.worker(_FROZEN))
        if frozen is None:
            raise UserError("the worker to be frozen does not run", remedy="try again")
        lag = self._lag()
        os.kill(frozen, signal.SIGSTOP)
        self._say(f"{lag:,} records wait, {scene_.worker(_FROZEN)} is frozen: version {bad} is withdrawn")
        began = time.time()
        try:
            with rollout_control(scene_.pipeline.spec, scene_.settings) as control:
                fenced = control.revoke(bad, reason="proof")
            ended = time.time()
            time.sleep(scene_.settings.loop.session_timeout + 2.0)  # the others go on without it meanwhile
        finally:
            with suppress(ProcessLookupError):
                os.kill(frozen, signal.SIGCONT)
        return began, ended, lag, fenced

    def _lag(self) -> int:
        group, where = f"tailrace.{self._scene.name}.scorer", topic(self._scene.name, "records")
        with closing(GroupPositions(self._scene.conf, group, where)) as positions:
            committed, ends = positions.committed(), positions.ends()
        return sum(ends.values()) - sum(committed.values())

    def _send(self, n: int) -> None:
        where = topic(self._scene.name, "records")
        for key, value in islice(self._messages, n):
            self._publisher.send(where, key, value, None, None)
        self._publisher.flush(WAIT_S)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not done():
            if time.monotonic() > deadline:
                raise UserError(f"{what} did not come in {WAIT_S:g} s", remedy="try with fewer --records")
            time.sleep(_POLL_S)

    def _sum_up(self, bad: str, began: float, ended: float, lag: int, fenced: list[str]) -> Case:
        self._say("reading everything back")
        names = tuple(sorted(OUTCOMES))
        rows = read_back(self._scene, names, committed=True, keep=lambda name, _: name == "predictions")
        decode = msgspec.json.Decoder(_Version).decode
        by_bad = [row for row in rows if row.value is not None and decode(row.value).version == bad]
        last = max((row.appended for row in by_bad), default=0) / 1000
        places: set[Position] = {row.at for row in rows}
        late = [row for row in by_bad if row.appended / 1000 > ended]
        lost, doubled = self._n + _FIRST - len(places), len(rows) - len(places)
        seconds = max(last - began, 0.0)
        return Case(
            ok=seconds < GOAL_S and not lost and not doubled and not late,
            n=len(rows),
            seed=self._seed,
            lag=lag,
            rollback_s=round(seconds, 2),
            command_s=round(ended - began, 2),
            fenced=fenced,
            withdrawn=len(by_bad),
            after=_after(rows, by_bad, last),
            late=len(late),
            lost=lost,
            doubled=doubled,
            wall_s=round(time.monotonic() - self._began, 1),
        )


def _after(rows: list[Row], by_bad: list[Row], last: float) -> int:
    """How many outcomes were written after the last one by the withdrawn version."""
    return sum(1 for row in rows if row.appended / 1000 > last) if by_bad else len(rows)


def words(case: Case) -> str:
    """For a person."""
    fenced = ", ".join(case.fenced) or "nobody"
    made, last = f"{case.withdrawn:,} predictions", f"{case.rollback_s:.2f} s after the command"
    return "\n".join(
        (
            f"{case.n:,} outcomes, {case.lost:,} lost, {case.doubled:,} doubled; {case.lag:,} records waited",
            f"version {VERSIONS[1]}: {made}, the last one {last} (wanted under {GOAL_S:g} s)",
            f"the command took {case.command_s:.2f} s and fenced {fenced}; {case.late:,} predictions came too late",
            f"{case.after:,} outcomes after that by the version before it",
            f"{'ok' if case.ok else 'BROKEN'} after {case.wall_s:,.0f} s",
        )
    )


def prove_rollback(pipeline: Pipeline, records: int, seed: int, home: Path, say: Say, keep: Path | None = None) -> Case:
    """Build a stack of its own in an empty folder, let a backlog wait, freeze a worker, withdraw the version in force.

    Args:
        pipeline: what is scored.
        records: how many wait.
        seed: of the records.
        home: an empty folder.
        say: told of progress.
        keep: where logs go if it took too long, or something was lost.

    Raises:
        UserError: a part could not be prepared, or did not come to its end.
        Unavailable: the topics could not be read back.
    """
    with scene(pipeline, "exactly_once", home, records=20_000, say=say) as made:
        case = _Story(made, records, seed, say).play()
        if not case.ok:
            save(home, keep, say)
        return case
