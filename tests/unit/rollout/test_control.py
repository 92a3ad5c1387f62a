"""Bringing a version into force and taking one back, over topics that are lists: refusals first, then the order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from services.retrainer.rollout.books import Change, Decide
from services.retrainer.rollout.control import RolloutControl
from services.retrainer.rollout.decide import ALIVE_MS, GONE_MS, RolloutRefused
from shared.core.errors import Unavailable, UserError
from shared.core.plans import PlanState
from shared.core.records import CONTROL_HEADER, Barrier, Headers, Heartbeat, Note, Rollout, RolloutState
from shared.core.rollout import RolloutTable
from shared.testing.clock import ManualClock
from tests.support.loops import rollout
from tests.support.spec import make_spec

SPEC = make_spec()


def epoch(number: int, state: RolloutState = "active", version: str = "") -> Rollout:
    """A rollout of this pipeline."""
    return msgspec.structs.replace(rollout(number, state, version), pipeline=SPEC.name)


@dataclass
class Topics:
    """The controller's world; time passes only while it sleeps, and `then` happens at each sleep."""

    rollouts: list[Rollout] = field(default_factory=list)
    heartbeats: list[Heartbeat] = field(default_factory=list)
    notes: dict[int, Note] = field(default_factory=lambda: {p: Note(1, 1) for p in range(SPEC.partitions)})
    sent: list[tuple[str, Any, tuple[int, ...]]] = field(default_factory=list)
    fenced: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    then: Callable[[], None] = lambda: None
    meanwhile: Callable[[], None] = lambda: None
    plan: PlanState = field(default_factory=lambda: PlanState("parcels"))
    dies_at: int = -1

    def send(
        self, topic: str, key: bytes, value: bytes, *, headers: Headers | None = None, partitions: Sequence[int] = ()
    ) -> None:
        """Keep a barrier; the controller dies at message number `dies_at`."""
        assert (topic, key, headers) == ("parcels.records", b"tailrace-control", [(CONTROL_HEADER, b"rollout")])
        self._die()
        self.sent.append(("barrier", msgspec.json.decode(value, type=Barrier).epoch, tuple(partitions)))

    def table(self) -> RolloutTable:
        """See `Books`."""
        return RolloutTable(self.rollouts)

    def state(self) -> PlanState:
        """See `Books`."""
        return self.plan

    def write(self, decide: Decide) -> Change:
        """See `Books`; `meanwhile` is what others wrote just before."""
        self.meanwhile()
        change = decide(self.table(), self.plan)
        if change:
            self._die()
        changed = {r.epoch for r in change.rollouts}
        self.rollouts = [r for r in self.rollouts if r.epoch not in changed] + list(change.rollouts)
        self.sent += [(r.state, r.epoch, ()) for r in change.rollouts]
        self.plan = change.state or self.plan
        return change

    def _die(self) -> None:
        if len(self.sent) == self.dies_at:
            raise Unavailable("dead")

    def control(self, **spec: Any) -> RolloutControl:
        """A controller over these topics."""

        def sleep(seconds: float) -> None:
            self.clock.advance(seconds)
            self.then()

        return RolloutControl(
            make_spec(**spec),
            books=self,
            heartbeats=lambda: self.heartbeats,
            notes=self._notes,
            send=self.send,
            fence=self.fenced.append,
            clock=self.clock,
            sleep=sleep,
            say=self.said.append,
        )

    def _notes(self) -> Mapping[int, Note]:
        return self.notes

    def beat(self, worker: str = "scorer-0", *, age_ms: int = 0, **says: Any) -> None:
        """This worker says so now, or said so then."""
        told = Heartbeat(worker, int(self.clock.time() * 1000) - age_ms, (0,), **says)
        self.heartbeats = [h for h in self.heartbeats if h.worker != worker] + [told]

    def stands(self, number: int) -> str:
        """What `models` says of an epoch."""
        return next((r.state for r in self.rollouts if r.epoch == number), "")


ALL = tuple(range(SPEC.partitions))


def beside(number: int, mode: Any, champion: str, challenger: str, share: float = 0.0) -> Rollout:
    """An active epoch of two versions."""
    of_challenger = epoch(number, version=challenger).champion
    one = epoch(number, version=champion)
    return msgspec.structs.replace(one, challenger=of_challenger, mode=mode, share=share)


def canary(topics: Topics, share: float = 0.1) -> Rollout:
    """A canary of version 2 by hand."""
    return topics.control().activate("v2", reason="try", workers=1, timeout=0.0, mode="canary", share=share)


def activate(topics: Topics, version: str = "v2", *, force: bool = False, **spec: Any) -> Rollout:
    """Activate with one worker and 5 s."""
    return topics.control(**spec).activate(version, reason="better", workers=1, timeout=5.0, force=force)


def test_refusal_of_one_worker_keeps_the_old_version() -> None:
    """Prepare: one worker that refuses is enough; nothing but the announcement is written, and the reason is given."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.beat("scorer-0", ready=("v1", "v2"))
    topics.beat("scorer-1", refused={"v2": "golden scores differ"})
    with pytest.raises(RolloutRefused, match="scorer-1: golden scores differ"):
        activate(topics)
    assert topics.sent == [("announced", 2, ())]
    assert topics.clock.time() == ManualClock().time(), "a refusal is not waited for"


@pytest.mark.parametrize("says", [{}, {"ready": ("v1",)}], ids=["nothing", "another version"])
def test_worker_that_is_not_ready_in_time_refuses(says: dict[str, Any]) -> None:
    """A live worker without the version holds the rollout back until the time is up."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.then = lambda: topics.beat("scorer-0", **says)
    topics.beat("scorer-0", **says)
    with pytest.raises(RolloutRefused, match="scorer-0"):
        activate(topics)
    assert topics.stands(2) == "announced"


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_no_live_worker_or_too_few_refuse(workers: int) -> None:
    """Silence is no consent: at least one live worker, or as many as were asked for, must have loaded it."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.beat("scorer-9", age_ms=ALIVE_MS, ready=("v2",))
    for worker in range(workers - 1):
        topics.beat(f"scorer-{worker}", ready=("v2",))
    with pytest.raises(RolloutRefused, match="expected"):
        topics.control().activate("v2", reason="", workers=workers, timeout=0.0)
    assert topics.stands(2) == "announced"


def test_one_rollout_at_a_time() -> None:
    """While a partition has not committed past the last barrier, the next rollout is refused, unless forced."""
    topics = Topics([epoch(1), epoch(2), epoch(3, "announced")], notes={0: Note(2, 2), 1: Note(1, 1), 2: Note(2, 2)})
    topics.beat(ready=("v3",))
    with pytest.raises(RolloutRefused, match=r"not settled yet in partitions \[1\]"):
        activate(topics, "v3")
    assert topics.sent == []
    activate(topics, "v3", force=True)
    assert topics.sent[-1] == ("barrier", 3, ALL)


def test_unknown_version_is_the_users_mistake() -> None:
    """It names the versions that were announced."""
    with pytest.raises(UserError, match="announced are: v1"):
        activate(Topics([epoch(1)]), "v7")


def test_activation_writes_announcement_intent_barriers_in_this_order() -> None:
    """The intent stands in `models` before any barrier, or the barrier would count as forged."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.then = lambda: topics.beat(ready=("v1", "v2"))
    active = activate(topics)
    assert topics.sent == [("announced", 2, ()), ("active", 2, ()), ("barrier", 2, ALL)]
    assert (active.epoch, active.state, active.reason) == (2, "active", "better")


@pytest.mark.parametrize("dies_at", [0, 1, 2])
def test_second_run_completes_what_a_dead_controller_began(dies_at: int) -> None:
    """Wherever it died, running the same command again ends in the same state, in the same epoch."""
    topics = Topics([epoch(1), epoch(2, "announced")], dies_at=dies_at)
    topics.beat(ready=("v2",))
    with pytest.raises(Unavailable):
        activate(topics)
    topics.dies_at = -1
    assert activate(topics).epoch == 2
    assert topics.sent[-1] == ("barrier", 2, ALL)
    assert topics.stands(2) == "active"
    activate(topics)
    assert [s for s in topics.sent if s[0] == "barrier"] == [("barrier", 2, ALL)] * 2, "idempotent: workers ignore it"


def test_going_back_is_a_new_epoch_of_the_old_version() -> None:
    """Epochs rise: an old version comes back under a number of its own."""
    topics = Topics([epoch(1), epoch(2)], notes={p: Note(2, 2) for p in ALL})
    topics.beat(ready=("v1", "v2"))
    back = activate(topics, "v1")
    assert (back.epoch, back.champion.version) == (3, "v1")


def test_local_activation_writes_no_barrier() -> None:
    """Where Tailrace may not write to `records`, the intent alone does it."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.beat(ready=("v2",))
    activate(topics, rollout={"activation": "local"})
    assert topics.sent == [("announced", 2, ()), ("active", 2, ())]


def test_revoking_the_only_version_is_refused() -> None:
    """Nothing would be left to score with: neither the only one, nor the oldest below newer ones."""
    for rollouts in ([epoch(1)], [epoch(1), epoch(2)], [epoch(1, "revoked"), epoch(2)]):
        topics = Topics(list(rollouts))
        version = "v2" if rollouts[0].state == "revoked" else "v1"
        with pytest.raises(RolloutRefused, match="oldest in force"):
            topics.control().revoke(version, reason="bad", timeout=1.0)
        assert topics.sent == []


def test_revoking_what_is_not_in_force_is_the_users_mistake() -> None:
    """Announced or revoked versions act nowhere."""
    for state in ("announced", "revoked"):
        topics = Topics([epoch(1), epoch(2, state)])
        with pytest.raises(UserError, match="no active epoch"):
            topics.control().revoke("v2", reason="bad", timeout=1.0)


def test_revocation_fences_whoever_does_not_answer_in_three_seconds() -> None:
    """All epochs of the version go; who says so is waited for, who is frozen or stuck in a batch is fenced."""
    topics = Topics([epoch(1), epoch(2), epoch(3, version="v2")])
    topics.beat("scorer-0", epochs={"0": 3})
    topics.beat("scorer-1", epochs={"1": 3})  # frozen from now on
    topics.beat("scorer-2", epochs={"2": 3})
    topics.beat("scorer-3", age_ms=GONE_MS, epochs={"1": 3})  # stopped long ago

    def time_passes() -> None:
        topics.beat("scorer-0", epochs={"0": 1})
        topics.beat("scorer-2", epochs={"2": 3})  # alive, but it has not looked at `models`

    topics.then = time_passes
    assert topics.control().revoke("v2", reason="bad") == ["scorer-1", "scorer-2"]
    assert (topics.stands(2), topics.stands(3)) == ("revoked", "revoked")
    assert topics.fenced == ["tailrace.parcels.scorer.1", "tailrace.parcels.scorer.2"]
    assert topics.clock.time() - ManualClock().time() < 3.5


def test_revocation_goes_on_as_soon_as_all_answered() -> None:
    """Nobody is fenced, and nothing is waited for, once every worker has said that another epoch acts."""
    topics = Topics([epoch(1), epoch(2)])
    topics.beat("scorer-0", epochs={"0": 2})
    topics.then = lambda: topics.beat("scorer-0", epochs={"0": 1})
    assert topics.control().revoke("v2", reason="bad") == []
    assert topics.clock.time() - ManualClock().time() < 1
    assert topics.fenced == []


def test_revoking_a_version_takes_the_epochs_of_both_roles() -> None:
    """A version goes with every epoch that names it, as challenger or as champion; those of others stay."""
    shadow, canary = (beside(n, m, "v1", "v2") for n, m in ((2, "shadow"), (3, "canary")))
    topics = Topics([epoch(1), shadow, canary, epoch(4, version="v2"), epoch(5, "announced", "v3")])
    topics.control().revoke("v2", reason="bad")
    assert [topics.stands(n) for n in range(1, 6)] == ["active", "revoked", "revoked", "revoked", "announced"]


def test_canary_stands_beside_the_champion_in_force() -> None:
    """A canary's epoch names both versions, wants both loaded, and has barriers; a repeat completes it."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.beat(ready=("v2",))
    with pytest.raises(RolloutRefused, match="not every worker"):
        canary(topics)
    topics.beat(ready=("v1", "v2"))
    made = canary(topics)
    assert (made.epoch, made.champion.version, made.challenger and made.challenger.version) == (3, "v1", "v2")
    assert topics.sent[-2:] == [("active", 3, ()), ("barrier", 3, ALL)]
    assert canary(topics).epoch == 3
    topics.notes = {p: Note(3, 3) for p in ALL}
    assert canary(topics, share=0.5).epoch == 4, "a larger share is another epoch"


def test_shadow_has_no_barrier_and_asks_workers_of_its_own() -> None:
    """A shadow scores no record: those who score the journal must have it loaded, and the log hears nothing of it."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.beat(ready=("v1", "v2"))
    with pytest.raises(RolloutRefused, match="1 expected, 0 live"):
        topics.control().activate("v2", reason="", workers=1, timeout=0.0, mode="shadow")
    topics.beat("shadow-0", ready=("v2",), shadow=True)
    made = topics.control().activate("v2", reason="", workers=1, timeout=0.0, mode="shadow")
    assert [s for s in topics.sent if s[0] == "barrier"] == []
    assert made.mode == "shadow"


def test_champion_is_not_its_own_canary() -> None:
    """A version cannot be tried beside itself."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    with pytest.raises(UserError, match="is the champion"):
        topics.control().activate("v1", reason="", workers=1, timeout=0.0, mode="canary", share=0.1)


def test_controller_that_was_overtaken_writes_nothing() -> None:
    """What was prepared is dropped if another controller brought something else into force meanwhile."""
    topics = Topics([epoch(1), epoch(2, "announced"), epoch(3, "announced")])
    topics.beat(ready=("v1", "v2", "v3"))

    def other() -> None:
        if topics.sent:
            topics.rollouts[2] = epoch(3)

    topics.meanwhile = other
    topics.rollouts.sort(key=lambda r: r.epoch)
    with pytest.raises(RolloutRefused, match="overtaken"):
        activate(topics)
    assert topics.sent == [("announced", 2, ())]


def test_twins_make_one_epoch() -> None:
    """The same command twice at once: the second finds the intent written, and only repeats the barriers."""
    topics = Topics([epoch(1), epoch(2, "announced")])
    topics.beat(ready=("v1", "v2"))

    def twin() -> None:
        if topics.sent:
            topics.rollouts = [epoch(1), epoch(2)]

    topics.meanwhile = twin
    assert activate(topics).epoch == 2
    assert topics.sent == [("announced", 2, ()), ("barrier", 2, ALL)]


def test_settled_waits_for_every_partition_and_names_the_late() -> None:
    """A partition is settled once its committed note has the epoch."""
    topics = Topics([epoch(1), epoch(2)], notes={0: Note(2, 2), 1: Note(1, 1)})
    assert topics.control().settled(2, timeout=1.0) == [1]

    def catch_up() -> None:
        topics.notes = {0: Note(2, 2), 1: Note(3, 1)}

    topics.then = catch_up
    assert topics.control().settled(2, timeout=1.0) == []
    assert topics.control().settled(1, timeout=1.0) == [], "the first epoch needs no barrier"
