"""`tailrace verify rollout`: versions change while records flow and faults strike; then every record is asked about."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, TopicPartition

from services.retrainer.announce import announcing
from services.retrainer.rollout.decide import RolloutRefused
from services.retrainer.rollout.wiring import rollout_control
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline
from shared.adapters.signing import Signer
from shared.core.errors import Unavailable
from shared.core.records import BundleRef, Prediction
from shared.core.topics import topic
from shared.runtime.clock import SystemClock
from shared.runtime.model_files import signing_key
from tailrace.proof.checks import CHECKS, Finding
from tailrace.proof.evidence import Evidence
from tailrace.proof.feed import Feed
from tailrace.proof.gathered import active, gather, read_back, save
from tailrace.proof.live import Live, Offsets
from tailrace.proof.material import messages
from tailrace.proof.rescore import right
from tailrace.proof.rollout_bad import Spoiler
from tailrace.proof.rollout_checks import (
    latencies,
    never_scored,
    one_beginning,
    replayed,
    settled,
    swaps,
    versions_of,
)
from tailrace.proof.rollout_nemesis import RolloutNemesis
from tailrace.proof.rollout_plan import Request, moves, plan
from tailrace.proof.rollout_verdict import Refusals, Verdict, percentile, ratio
from tailrace.proof.scene import VERSIONS, Say, Scene, announce_second, scene
from tailrace.proof.tape import OUTCOMES
from tailrace.proof.verdict import Broker
from tailrace.proof.witness import Witness

LIVE_S = 120.0
REFUSAL_S = 60.0
_POOL = 20_000
_POLL_S = 0.1
_FIRST_BAD = 900  # versions of what must be refused
_TOLD = 8
_TRIES = 2


class Run:
    """One run on an open scene.

    Args:
        scene_: what it plays on.
        request: what is tried.
        say: told of progress.
    """

    def __init__(self, scene_: Scene, request: Request, say: Say, home: Path) -> None:
        self._scene, self._request, self._say, self._home = scene_, request, say, home
        self._spec, self._began = scene_.pipeline.spec, time.monotonic()
        self._live = Live(scene_.conf, scene_.name)
        self._offsets = Offsets(scene_.conf, scene_.name)
        self._faults = plan(request, scene_.settings.loop)
        made = moves(VERSIONS, request.rollouts, request.seed)
        self._nemesis = RolloutNemesis(scene_, self._live, request, self._faults, made, say)
        self._bad: dict[str, str] = {}  # version -> what is wrong with it
        self._sent = 0

    def verdict(self) -> Verdict:
        """Play, stop, check.

        Raises:
            UserError: a part could not be prepared.
            Unavailable: the topics could not be read back.
        """
        self._start()
        refusals = self._refusals()
        left = self._play()
        seen, offsets = self._live.stop(), self._offsets.stop()
        self._say("all workers stopped; reading everything back")
        request = self._request
        evidence, journal = gather(self._scene, "exactly_once", self._sent, request.seed, seen, offsets)
        findings = {name: check(evidence) for name, check in CHECKS.items()}
        findings["I9"], rescored = right(evidence, journal)
        findings["I12"] = Finding(left, (f"{left} records without an outcome after {LIVE_S:g} s",) if left else ())
        findings["I17"] = Finding(len(self._nemesis.unclean), tuple(self._nemesis.unclean))
        newest = max(active(self._scene))
        partitions = self._spec.partitions
        findings["V1"] = one_beginning(evidence, partitions)
        findings["V2"] = settled(evidence, partitions, newest)
        findings["V4"] = never_scored(evidence, self._bad)
        self._say("Kafka's own consumer reads the same topics")
        witness = Witness(self._scene.stack, self._scene.name)
        testimony = witness.hear(("predictions", "records.dlq"), evidence.after)
        findings["V3"] = self._replay(evidence)
        findings["V5"] = _refused(refusals)
        ordered = sorted(findings, key=lambda name: (name[0], int(name[1:])))
        violations = {name: findings[name].count for name in ordered}
        calm = self._nemesis.calm_until
        quick = swaps(evidence, calm)
        near, far = latencies(evidence, quick, calm)
        struck = Counter(one.kind for one in self._nemesis.struck)
        return Verdict(
            ok=testimony.ok and not any(violations.values()),
            n=len(evidence.inputs),
            seed=request.seed,
            workers=request.workers,
            rollouts=struck["rollout"],
            ways=dict(self._nemesis.ways),
            violations=violations,
            kills=struck["kill"],
            freezes=struck["freeze"],
            moves=struck["join"] + struck["leave"],
            noise=dict(self._nemesis.noise),
            refused_at_first=self._nemesis.refused,
            refusals=refusals,
            by_version=dict(Counter(made.version for _, made in evidence.predictions)),
            canary=sum(1 for _, made in evidence.predictions if "canary" in made.flags),
            swap_ms=[swap.lasted for swap in quick],
            p99_swap_ms=percentile(near, 0.99),
            p99_ms=percentile(far, 0.99),
            p99_rise=ratio(percentile(near, 0.99), percentile(far, 0.99)),
            rescored=rescored,
            broker=Broker(witness.version, KafkaAdmin(self._scene.conf).broker().cluster_id),
            witness=testimony,
            examples=[f"{name}: {text}" for name in ordered for text in findings[name].examples][:_TOLD],
            wall_s=round(time.monotonic() - self._began, 1),
        )

    def _start(self) -> None:
        slots = range(self._request.workers)
        for slot in slots:
            self._scene.start(slot)
        self._scene.start_others()
        self._scene.wait_ready(*slots)
        announce_second(self._scene)

    def _refusals(self) -> list[Refusals]:
        """Each kind of bad version is announced and asked for: every try must end with a no."""
        settings, folder = self._scene.settings, self._home / "bad"
        folder.mkdir()
        sign = Signer(signing_key(settings.models, self._scene.stack.state.path)).sign
        spoiler = Spoiler(self._spec, self._scene.refs[VERSIONS[0]], folder, sign, self._request.seed)
        found = []
        for kind, ref in spoiler.all(_FIRST_BAD).items():
            self._bad[ref.version] = kind
            self._say(f"a version that is {kind} must be refused")
            with announcing(self._spec, settings, SystemClock()) as announce:
                announce(ref)
            said = [self._try(ref) for _ in range(_TRIES)]
            found.append(Refusals(kind, ref.version, _TRIES, sum(1 for text in said if text), said[0]))
        return found

    def _try(self, ref: BundleRef) -> str:
        """What was said against it; empty where it came into force."""
        try:
            with rollout_control(self._spec, self._scene.settings) as control:
                control.activate(ref.version, reason="proof", workers=self._request.workers, timeout=REFUSAL_S)
        except RolloutRefused as error:
            return str(error)
        return ""

    def _play(self) -> int:
        """Rollouts and faults, then quiet; how many records were not done in time."""
        request, scene_ = self._request, self._scene
        publisher, where = KafkaPublisher(scene_.conf), topic(scene_.name, "records")
        endless = 1 << 40
        feed: Feed
        feed = Feed(publisher, where, self._messages(), endless, lambda: (endless - feed.sent) / request.rate)
        self._live.start()
        self._offsets.start()
        try:
            feed.start()
            self._wait(lambda: bool(self._live.owners()))
            self._nemesis.run()
        finally:
            if feed.ident is not None:
                feed.finish(early=True)
        publisher.flush(LIVE_S)
        self._sent = feed.sent
        self._say(f"{feed.sent:,} records; every one must now come to its outcome")
        self._wait(lambda: self._open() == 0)
        left = self._open()
        self._nemesis.stop(*sorted(self._nemesis.slots))
        return left

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        return messages(self._spec, self._scene.pool, 1 << 40, self._request.seed)

    def _open(self) -> int:
        inputs, scored = self._live.counts()
        forged = self._nemesis.noise["forged"]  # each is a control record that ends as a dead letter
        return max(self._sent - min(inputs, scored - forged), 0) if self._live.broken is None else 0

    def _wait(self, done: object) -> None:
        deadline = time.monotonic() + LIVE_S
        while not done() and time.monotonic() < deadline:  # type: ignore[operator] # a condition
            time.sleep(_POLL_S)

    def _replay(self, evidence: Evidence) -> Finding:
        """An administrator sets the group back to the beginning: its metadata is gone, its versions must not be."""
        self._say("the group is set back to the beginning; every record is scored once more")
        before = versions_of(evidence.predictions)
        ends = {(row.topic, row.partition): row.offset for row in evidence.after if row.topic == "predictions"}
        group, where = f"tailrace.{self._spec.name}.scorer", topic(self._spec.name, "records")
        with closing(Consumer({**self._scene.conf, "group.id": group})) as admin:
            parts = [TopicPartition(where, p, 0) for p in range(self._spec.partitions)]
            admin.commit(offsets=parts, asynchronous=False)
        self._scene.start(0)
        total = len(evidence.outcomes)
        names, deadline = tuple(sorted(OUTCOMES)), time.monotonic() + LIVE_S
        while time.monotonic() < deadline:
            rows = read_back(self._scene, names, committed=True, keep=lambda name, _: name == "predictions")
            if len(rows) >= 2 * total:
                break
            time.sleep(1.0)
        self._nemesis.stop(0)
        later = [r for r in rows if r.topic == "predictions" and r.offset > ends.get((r.topic, r.partition), -1)]
        decode = msgspec.json.Decoder(Prediction).decode
        return replayed(before, versions_of((row, decode(row.value or b"")) for row in later))


def _refused(refusals: list[Refusals]) -> Finding:
    """V5: each try with a bad version was refused."""
    let = [one for one in refusals if one.refused < one.tries]
    return Finding(sum(one.tries - one.refused for one in let), tuple(f"{one.kind}: was let through" for one in let))


def prove_rollout(pipeline: Pipeline, request: Request, home: Path, say: Say, keep: Path | None = None) -> Verdict:
    """Build a stack of its own in an empty folder, change versions while faults strike, and check.

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
    with scene(pipeline, "exactly_once", home, records=_POOL, say=say) as made:
        try:
            verdict = Run(made, request, say, home).verdict()
        except Unavailable:
            save(home, keep, say)
            raise
        if not verdict.ok:
            save(home, keep, say)
        return verdict
