"""A controller over topics that are lists, workers that load whatever is announced, and a registry that is a dict."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.retrainer.rollout.books import Change, Decide
from services.retrainer.rollout.control import RolloutControl
from services.retrainer.rollout.controller import Controller
from services.retrainer.rollout.decide import versions_of
from services.retrainer.rollout.references import References
from services.retrainer.rollout.steps import terms_of
from services.retrainer.rollout.view import Move
from services.retrainer.rollout.watch import RegistryWatch
from shared.core.errors import ModelRefused, TailraceError, Unavailable, UserError
from shared.core.monitor_records import Account, FeatureCounts, PairCounts, Scorecard, SliceCounts, Sums, Verdict
from shared.core.pipeline import PipelineSpec
from shared.core.plans import PlanState
from shared.core.records import Barrier, BundleRef, Headers, Heartbeat, Note, Rollout
from shared.core.registry import CHALLENGER, CHAMPION, REFUSED_TAG, VersionInfo
from shared.core.rollout import RolloutTable
from shared.core.scorecards import SCALE
from shared.testing.clock import ManualClock
from shared.testing.metrics import RecordingMetrics
from tests.support.spec import make_spec

HOUR = 3_600_000
PLAN = {
    "shadow": {"time": "1h", "records": 200},
    "canary": [{"share": 0.05, "time": "1h", "records": 100}, {"share": 0.5, "time": "1h", "records": 100}],
}


def ref(version: str) -> BundleRef:
    """A bundle."""
    return BundleRef(version, f"http://models/{version}", version.zfill(64))


def info(version: str, state: str = "complete") -> VersionInfo:
    """A registered version."""
    one = ref(version)
    return VersionInfo(version, f"run-{version}", one.digest, one.uri, state, "", 0)


@dataclass
class Stage:
    """One pipeline, its controller, and the world around it; nothing moves but by `turn`, `hour` and `look`."""

    plan: dict[str, Any] = field(default_factory=lambda: PLAN)
    spec: PipelineSpec = field(init=False)
    clock: ManualClock = field(default_factory=ManualClock)
    rollouts: dict[int, Rollout] = field(default_factory=dict)
    plans: PlanState = field(default_factory=lambda: PlanState("parcels"))
    said: list[Verdict] = field(default_factory=list)
    barriers: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    notes: dict[int, Note] = field(default_factory=dict)
    fenced: list[str] = field(default_factory=list)
    aliases_: dict[str, str] = field(default_factory=lambda: {CHAMPION: "1"})
    versions_: dict[str, VersionInfo] = field(default_factory=lambda: {"1": info("1"), "2": info("2")})
    refusing: dict[str, str] = field(default_factory=dict)
    says: dict[str, Any] = field(default_factory=dict)
    silent: bool = False
    stuck: frozenset[int] = frozenset()
    away: bool = False
    dies: Callable[[str], bool] = lambda _: False
    cards: list[bytes] = field(default_factory=list)
    now: int = 1_700_000_000_000 // HOUR * HOUR
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        """Version 1 is in force."""
        self.spec = make_spec(rollout=self.plan)
        self.rollouts[1] = Rollout("parcels", 1, ref("1"), "active")
        self.notes = {p: Note(1, 1) for p in range(self.spec.partitions)}
        self.metrics = RecordingMetrics()
        self.restart()

    def restart(self) -> None:
        """A new controller process."""
        self.read = 0
        self.watch = RegistryWatch(lambda: self, "parcels", 2.0, self.clock)
        control = RolloutControl(
            self.spec, books=self, heartbeats=self.heartbeats, notes=lambda: self.notes, send=self.send,
            fence=self.fenced.append, clock=self.clock, sleep=self.clock.advance,
        )  # fmt: skip
        self.controller = Controller(
            terms_of(self.spec), control, self._fresh, self.watch, References(_none, self.clock), self.metrics,
            self.said.append,
        )  # fmt: skip
        self.control = control

    # What the controller asks for.

    def table(self) -> RolloutTable:
        """See `Books`."""
        return RolloutTable(self.rollouts.values())

    def state(self) -> PlanState:
        """See `Books`."""
        return self.plans

    def write(self, decide: Decide) -> Change:
        """See `Books`."""
        change = decide(self.table(), self.plans)
        if change:
            self._mortal("write")
        self.rollouts.update({r.epoch: r for r in change.rollouts})
        self.plans = change.state or self.plans
        self.said += change.verdicts
        return change

    def send(
        self, topic: str, key: bytes, value: bytes, *, headers: Headers | None = None, partitions: Sequence[int] = ()
    ) -> None:
        """Barriers, one partition after the other; workers pass them at once."""
        del topic, key, headers
        epoch = msgspec.json.decode(value, type=Barrier).epoch
        for p in partitions:
            self._mortal("barrier")
            note = self.notes[p]
            self.notes[p] = note if p in self.stuck else Note(max(note.epoch, epoch), 0)
        self.barriers.append((epoch, tuple(partitions)))

    def heartbeats(self) -> list[Heartbeat]:
        """Two scorers and a shadow that load everything but what they refuse."""
        time = int(self.clock.time() * 1000)
        table = self.table()
        loaded = {v for r in table if r.state != "revoked" for v in versions_of(r)} - set(self.refusing)
        scorers = [("scorer-0", (0,)), ("scorer-1", tuple(range(1, self.spec.partitions)))]
        beats = []
        for name, parts in scorers:
            acting = {str(p): a.epoch for p in parts if (a := table.acting(self.notes[p].epoch)) is not None}
            quiet = 60_000 if self.silent and name == "scorer-1" else 0
            beats.append(
                Heartbeat(name, time - quiet, parts, acting, tuple(sorted(loaded)), dict(self.refusing), **self.says)
            )
        return [
            *beats,
            Heartbeat("shadow-0", time, ready=tuple(sorted(loaded)), refused=dict(self.refusing), shadow=True),
        ]

    # What a registry is asked for.

    def aliases(self, name: str) -> Mapping[str, str]:
        """See `Aliases`."""
        del name
        if self.away:
            raise Unavailable("connection refused")
        return dict(self.aliases_)

    def versions(self, name: str) -> Sequence[VersionInfo]:
        """See `Aliases`."""
        del name
        return list(self.versions_.values())

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """See `Aliases`."""
        del name
        if version not in self.versions_:
            raise UserError(f"no version {version}")
        self.aliases_[alias] = version

    def drop_alias(self, name: str, alias: str) -> None:
        """See `Aliases`."""
        del name
        self.aliases_.pop(alias, None)

    def tag(self, name: str, version: str, key: str, value: str) -> None:
        """See `Aliases`."""
        del name
        assert key == REFUSED_TAG
        self.versions_[version] = msgspec.structs.replace(self.versions_[version], refused=value)

    # What happens.

    def turn(self, times: int = 1) -> Move:
        """Turns of the controller, half a second apart, with a look at the registry before each."""
        for _ in range(times):
            self.clock.advance(0.5)
            self.watch.look()
            move = self.controller.turn()
        return move

    def survive(self, times: int) -> None:
        """Turns of a controller that is started again whenever it dies."""
        for _ in range(times):
            try:
                self.turn()
            except TailraceError:
                self.restart()

    def challenge(self, version: str = "2") -> None:
        """The gate let a version through."""
        self.versions_.setdefault(version, info(version))
        self.aliases_[CHALLENGER] = version

    def force(self) -> tuple[str, str, float]:
        """Mode, champion and share of what is in force."""
        found = self.table().newest_active()
        assert found is not None
        return found.mode, found.champion.version, found.share

    def hour(self, loss: float = 0.0, *, labels: bool = True, hours: int = 5, **more: Any) -> None:
        """Event time goes on: every version at work scores, and labels come with so much more loss for version 2."""
        for _ in range(hours):
            self._hour(loss, labels=labels, **more)

    def _hour(self, loss: float, *, labels: bool, **more: Any) -> None:
        force, shadow = self.table().newest_active(), self.table().shadowing()
        assert force is not None
        self.now += HOUR
        for p in range(self.spec.partitions):
            world = self.dice.gauss(0.5, 0.1)
            self._card(p, force.champion.version, world + self.dice.gauss(0, 0.02), labels=labels)
            if force.challenger is not None and force.mode == "canary":
                self._card(p, force.challenger.version, world + loss + self.dice.gauss(0, 0.02), labels=labels, **more)
            if shadow is not None and shadow.challenger is not None:
                extra = loss + self.dice.gauss(0, 0.02)
                n = 100 if labels else 0
                square = round(n * extra * extra * SCALE)
                pair = PairCounts(n=n, loss=round(n * extra * SCALE), loss_squared=square)
                version = shadow.challenger.version
                self._card(p, version, world, labels=labels, shadow=True, pairs={"1": pair}, **more)
            account = Account(window=self.now - HOUR, span=HOUR, partition=p, watermark=self.now, offset=1)
            self.cards.append(msgspec.json.encode(account))

    def _card(
        self, partition: int, version: str, loss: float, *, labels: bool, shadow: bool = False, slices: Any = None,
        **more: Any,
    ) -> None:  # fmt: skip
        n = 100 if labels else 0
        cut = {"carrier=A": SliceCounts(n=50, labelled=n // 2, loss=round(n / 2 * loss * SCALE))}
        if slices:
            cut = {
                k: SliceCounts(n=50, labelled=n // 2, loss=round(n / 2 * (loss + v) * SCALE)) for k, v in slices.items()
            }
        usual = (0,) * 8 + (50,) + (0,) * 21 + (50,) + (0,) * 9
        sums = Sums(
            n=100, labelled=n, loss=round(n * loss * SCALE), slices=cut, pairs=more.pop("pairs", {}),
            scores=more.pop("scores", usual), answers=FeatureCounts(more.pop("answers", ())),
        )  # fmt: skip
        card = Scorecard(
            version=version, window=self.now - HOUR, span=HOUR, partition=partition, rate=1_000_000,
            watermark=self.now, offset=1, shadow=shadow, sums=sums,
        )  # fmt: skip
        self.cards.append(msgspec.json.encode(card))

    def _fresh(self) -> list[bytes]:
        new, self.read = self.cards[self.read :], len(self.cards)
        return new

    def _mortal(self, step: str) -> None:
        if self.dies(step):
            raise Unavailable(f"killed at {step}")


def _none(_: BundleRef) -> Any:
    raise ModelRefused("no bundle here")
