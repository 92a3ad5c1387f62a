"""`tailrace verify frozen-batch`: a worker frozen with a batch in hand wakes after its partitions went and came."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from shared.core.topics import topic
from tailrace.proof.evidence import attempts_of
from tailrace.proof.live import Live
from tailrace.proof.material import messages
from tailrace.proof.scene import Say, Scene, scene
from tailrace.proof.tape import OUTCOMES, Row
from tailrace.proof.trail import TAKEN, Told, order, read_trails

PORTION = 500
WAIT_S = 120.0
_POLL_S = 0.1
FROZEN, OTHER = 0, 1


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: records in the frozen batch, how many of them came twice, how many records in all came twice.

    `refused` is what the broker said to the woken worker's commit; empty where it was accepted.
    """

    ok: bool
    n: int
    seed: int
    planted: bool
    batch: int
    doubled_of_batch: int
    doubled: int
    lost: int
    refused: str


class _Story:
    """The steps of the case on an open scene."""

    def __init__(self, scene_: Scene, live: Live, seed: int, say: Say) -> None:
        self._scene, self._live, self._say = scene_, live, say
        self._messages: Iterator[tuple[bytes, bytes]] = messages(scene_.pipeline.spec, scene_.pool, PORTION * 3, seed)
        self._publisher, self._sent = KafkaPublisher(scene_.conf), 0

    def play(self) -> Told:
        """All of it; what the frozen worker said when it was hit."""
        for slot in (FROZEN, OTHER):
            self._scene.start(slot)
        self._scene.start_others()
        self._scene.wait_ready(FROZEN, OTHER)
        self._send()
        self._until(self._done, "the first records")
        order(self._scene.trails, FROZEN, f"hold:{TAKEN}")
        self._send()
        self._until(lambda: self._told("fault") is not None, "a batch in the first worker's hand")
        hit = self._told("fault")
        assert hit is not None  # noqa: S101 - just waited for
        self._say(f"worker {FROZEN} is frozen with a batch in hand; the other takes its partitions over")
        try:
            self._until(self._done, "the other worker to score everything")
            self._scene.supervisor.stop([self._scene.worker(OTHER)])
        finally:
            with suppress(ProcessLookupError):
                os.kill(hit.pid, signal.SIGCONT)
        self._say("the other is gone; the frozen one wakes, wins its partitions back, and goes on with its batch")
        self._send()
        self._until(self._done, "every record")
        return hit

    def _send(self) -> None:
        for key, value in islice(self._messages, PORTION):
            self._publisher.send(topic(self._scene.name, "records"), key, value, None, None)
            self._sent += 1
        self._publisher.flush(WAIT_S)

    def _done(self) -> bool:
        inputs, scored = self._live.counts()
        return inputs == self._sent == scored

    def _told(self, what: str) -> Told | None:
        return next((told for told in read_trails(self._scene.trails) if told.what == what), None)

    def _until(self, met: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not met():
            if self._live.broken is not None:
                raise self._live.broken
            if time.monotonic() > deadline:
                raise UserError(f"waited {WAIT_S:g} s for {what}", remedy="try again on a quieter machine")
            time.sleep(_POLL_S)


def frozen_batch(pipeline: Pipeline, home: Path, seed: int, say: Say, *, planted: str = "") -> Case:
    """Play the case on a stack of its own.

    Args:
        pipeline: what is scored.
        home: an empty folder.
        seed: of the records.
        say: told of progress.
        planted: a bug in the workers (`fresh_token`), for the checker's own sake.

    Raises:
        UserError: a part could not be prepared, or a step of the case did not come.
    """
    with scene(pipeline, "exactly_once", home, records=PORTION * 3, say=say) as made:
        made.env["PROOF_MUTANT"] = planted
        live = Live(made.conf, made.name)
        live.start()
        try:
            hit = _Story(made, live, seed, say).play()
        finally:
            made.supervisor.stop()
            rows = live.stop()
        return _case(made, hit, [row for row in rows if row.topic in OUTCOMES], seed, planted)


def _case(made: Scene, hit: Told, rows: list[Row], seed: int, planted: str) -> Case:
    told = list(read_trails(made.trails))
    before = [t for t in told if t.what == "began" and t.pid == hit.pid and t.at <= hit.at]
    held = before[-1].attempt
    counts = attempts_of(told, made.name)[held].counts
    places: dict[tuple[int, int], set[str]] = {}
    for row in rows:
        places.setdefault(row.at, set()).add(row.attempt)
    doubled = len(rows) - len(places)
    of_batch = sum(1 for attempts in places.values() if held in attempts and len(attempts) > 1)
    refused = next((t.text for t in told if t.what == "failed" and t.attempt == held), "")
    lost = PORTION * 3 - len(places)
    return Case(
        ok=not (doubled or lost),
        n=PORTION * 3,
        seed=seed,
        planted=bool(planted),
        batch=sum(n for name, n in counts.items() if name in OUTCOMES),
        doubled_of_batch=of_batch,
        doubled=doubled,
        lost=lost,
        refused=refused,
    )


def words(case: Case) -> str:
    """The case for a person."""
    ended = f"its commit was refused ({case.refused})" if case.refused else "its commit was accepted"
    bug = " · with a planted bug: group metadata taken at the commit" if case.planted else ""
    said = (
        f"{case.doubled_of_batch} of the {case.batch} records in hand doubled, {case.doubled} in all, {case.lost} lost"
    )
    return f"frozen with a batch in hand{bug}\n{ended}: {said}\n{'ok' if case.ok else 'BROKEN'} · n {case.n:,}"
