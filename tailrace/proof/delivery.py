"""`tailrace verify delivery`: records flow, faults strike, then everything stops and the invariants are checked."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import Unavailable
from shared.core.topics import topic
from tailrace.proof.checks import CHECKS, TRANSACTIONAL, Finding, aborted_rows
from tailrace.proof.evidence import Evidence
from tailrace.proof.feed import Feed
from tailrace.proof.gathered import gather, save
from tailrace.proof.inquest import Inquest, held
from tailrace.proof.live import Live, Offsets
from tailrace.proof.material import messages
from tailrace.proof.nemesis import BACK_S, Nemesis, Struck
from tailrace.proof.plan import RANDOM, Request, plan
from tailrace.proof.rescore import right
from tailrace.proof.scene import Say, Scene, scene
from tailrace.proof.trail import read_trails
from tailrace.proof.verdict import Broker, Figures, Verdict, figures
from tailrace.proof.witness import Witness

LIVE_S = 120.0  # s after the last fault and record within which everything must be done
_POLL_S = 0.1
_STEADY_S = 2.0  # what is hidden for so long is not a transaction under way
_TOLD = 4  # cases in words
RULE_OF_THREE = 3.0


class Run:
    """One run on an open scene.

    Args:
        scene_: what it plays on.
        request: what is tried.
        say: told of progress.
    """

    def __init__(self, scene_: Scene, request: Request, say: Say) -> None:
        self._scene, self._request, self._say = scene_, request, say
        self._spec, self._began = scene_.pipeline.spec, time.monotonic()
        self._live = Live(scene_.conf, scene_.name)
        self._offsets = Offsets(scene_.conf, scene_.name)
        faults = plan(request, scene_.settings.loop)
        self._nemesis = Nemesis(scene_, self._live, request, faults, say, self._inquire)
        self._lasts = sum(fault.lasts for fault in faults)

    def verdict(self) -> Verdict:
        """Play, stop, check.

        Raises:
            UserError: a part could not be prepared.
            Unavailable: the topics could not be read back.
        """
        drained, left = self._play()
        seen, offsets = self._live.stop(), self._offsets.stop()
        self._say("all workers stopped; reading everything back")
        findings: dict[str, Finding] = {}
        request = self._request
        evidence, journal = gather(self._scene, request.guarantee, request.records, request.seed, seen, offsets)
        for name, check in CHECKS.items():
            if self._request.guarantee == "exactly_once" or name not in TRANSACTIONAL:
                findings[name] = check(evidence)
        findings["I9"], rescored = right(evidence, journal)
        findings["I12"] = self._live_again(left)
        findings["I17"] = self._shutdown()
        return self._sum_up(evidence, findings, rescored, drained)

    def _play(self) -> tuple[float, int]:
        """Faults first, then quiet; how long it took from then until all was done, and what was not done in time."""
        request, scene_ = self._request, self._scene
        slots = range(request.workers)
        for slot in slots:
            scene_.start(slot)
        scene_.start_others()
        scene_.wait_ready(*slots)
        made = messages(self._spec, scene_.pool, request.records, request.seed)
        where = topic(scene_.name, "records")
        feed = Feed(KafkaPublisher(scene_.conf), where, made, request.records, self._nemesis.left)
        self._live.start()
        self._offsets.start()
        self._say(f"{request.records:,} records over {self._lasts:.0f} s of faults")
        try:
            feed.start()
            self._first_outcome()
            self._nemesis.run()
            feed.finish()
        finally:
            if feed.ident is not None:
                feed.finish(early=True)
        quiet, total = time.monotonic(), request.records
        self._say("faults are over; every record must now come to its outcome")
        while self._open(total) and time.monotonic() - quiet < LIVE_S:
            time.sleep(_POLL_S)
        drained, left = time.monotonic() - quiet, self._open(total)
        if left:  # asked before the workers stop: that alone may end what they hold
            self._nemesis.hidden += self._inquire("waiting")
        self._nemesis.stop(*sorted(self._nemesis.slots))
        return drained, left

    def _open(self, total: int) -> int:
        """How many records wait for their outcome, or are on their way to the reader."""
        inputs, scored = self._live.counts()
        return max(total - min(inputs, scored), 0) if self._live.broken is None else 0

    def _first_outcome(self) -> None:
        deadline = time.monotonic() + LIVE_S
        while not self._live.owners() and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _inquire(self, when: str) -> list[str]:
        """What holds the partitions that stay hidden, in words; nothing where none does."""
        conf, name = self._scene.conf, self._scene.name
        before = {(one.topic, one.partition, one.stable) for one in held(conf, name)}
        if not before:
            return []
        time.sleep(_STEADY_S)
        steady = [one for one in held(conf, name) if (one.topic, one.partition, one.stable) in before]
        return Inquest(self._scene.stack, conf).hold(steady, list(read_trails(self._scene.trails)), when)

    def _live_again(self, left: int) -> Finding:
        """I12: all is done in time, and after the broker's return every partition goes on by itself."""
        outages = [one.outage for one in self._nemesis.struck if one.kind == "broker" and one.outage is not None]
        late = [outage for outage in outages if outage.seconds is None or outage.seconds > BACK_S]
        said = [f"{left} records without an outcome after {LIVE_S:g} s"] if left else []
        said += [f"partitions {sorted(o.waiting)} were late after the broker's return ({o.seconds} s)" for o in late]
        said += self._nemesis.hidden
        return Finding(left + len(late), tuple(said[:_TOLD]))

    def _shutdown(self) -> Finding:
        """I17: who was stopped in order ended with 0, and no transaction is left open."""
        cases = [*self._nemesis.unclean, *self._inquire("stopped")]
        return Finding(len(cases), tuple(cases[:_TOLD]))

    def _sum_up(self, e: Evidence, findings: Mapping[str, Finding], rescored: int, drained: float) -> Verdict:
        request, struck = self._request, self._nemesis.struck
        self._say("Kafka's own consumer reads the same topics")
        witness = Witness(self._scene.stack, self._scene.name)
        testimony = witness.hear(("predictions", "records.dlq"), e.after)
        ordered = sorted(findings, key=lambda name: int(name[1:]))
        violations = {name: findings[name].count for name in ordered}
        kills = Counter(one.step for one in struck if one.kind == "kill")
        ok = testimony.ok and not any(violations.values()) and len(e.inputs) == request.records
        rows = aborted_rows(e)
        return Verdict(
            ok=ok,
            n=len(e.inputs),
            seed=request.seed,
            guarantee=request.guarantee,
            workers=request.workers,
            violations=violations,
            bound95=RULE_OF_THREE / kills.total() if ok and kills else None,
            kills=dict(sorted(kills.items(), key=lambda one: (one[0] == RANDOM, one[0]))),
            freezes=_count(struck, "freeze"),
            broker_kills=_count(struck, "broker"),
            moves=_count(struck, "join", "leave"),
            rollouts=_count(struck, "rollout"),
            recovery_s=_felt(struck, "kill"),
            freeze_recovery_s=_felt(struck, "freeze"),
            broker_recovery_s=_felt(struck, "broker"),
            drained_s=round(drained, 1),
            rescored=rescored,
            dead_letters=sum(1 for row in e.after if row.topic == "records.dlq"),
            aborted={"attempts": len({row.attempt for row in rows}), "messages": len(rows)},
            broker=Broker(witness.version, KafkaAdmin(self._scene.conf).broker().cluster_id),
            witness=testimony,
            examples=[f"{name}: {text}" for name in ordered for text in findings[name].examples],
            wall_s=round(time.monotonic() - self._began, 1),
        )


def _count(struck: Sequence[Struck], *kinds: str) -> int:
    return sum(1 for one in struck if one.kind in kinds)


def _felt(struck: Sequence[Struck], kind: str) -> Figures:
    outages = [one.outage for one in struck if one.kind == kind and one.outage is not None]
    return figures([outage.seconds for outage in outages if outage.seconds is not None])


def prove(pipeline: Pipeline, request: Request, home: Path, say: Say, keep: Path | None = None) -> Verdict:
    """Build a stack of its own in an empty folder, let faults strike, and check.

    Args:
        pipeline: what is scored.
        request: what is tried.
        home: an empty folder.
        say: told of progress.
        keep: where logs and trails go if a promise was broken.

    Raises:
        UserError: a part could not be prepared; nothing is left running.
        Unavailable: the topics could not be read back.
    """
    with ExitStack() as stack:
        made = stack.enter_context(scene(pipeline, request.guarantee, home, records=request.records, say=say))
        try:
            verdict = Run(made, request, say).verdict()
        except Unavailable:
            save(home, keep, say)
            raise
        if not verdict.ok:
            save(home, keep, say)
        return verdict
