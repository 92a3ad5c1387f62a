"""What a worker loads ahead of need, keeps, lacks and says: of champions, canaries and shadows."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from services.scorer.heartbeat import Heart
from services.scorer.shadow.target import Target
from services.scorer.speeds import Speeds
from services.scorer.versions import Versions
from shared.core.answering import NOTHING
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.errors import CannotScore, ModelRefused, Unavailable
from shared.core.ports import Count
from shared.core.records import BundleRef, Heartbeat, Rollout, RolloutState
from shared.core.rollout import RolloutTable
from shared.runtime.health import Health
from shared.runtime.probe import Probe
from shared.testing.clock import ManualClock
from shared.testing.metrics import RecordingMetrics
from tests.support.loops import NoTracer
from tests.support.spec import make_spec

SPEC = make_spec()
A, B, C = (BundleRef(name, f"file:///{name}", name * 64) for name in "abc")


@dataclass
class Store:
    """A model store that loads at once what it may."""

    bad: dict[str, str] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    loaded: set[BundleRef] = field(default_factory=set)

    def prepare(self, ref: BundleRef) -> None:
        """See `ModelStore`."""
        self.asked.append(ref.version)
        if ref.version not in self.bad and ref.version not in self.slow:
            self.loaded.add(ref)

    def ready(self) -> set[str]:
        """See `ModelStore`."""
        return {ref.version for ref in self.loaded}

    def refused(self) -> dict[str, str]:
        """See `ModelStore`."""
        return dict(self.bad)

    def lacks(self, ref: BundleRef) -> str:
        """See `ModelStore`."""
        self.prepare(ref)
        return "" if ref in self.loaded else self.bad.get(ref.version, "is being loaded")

    def get(self, ref: BundleRef) -> Any:
        """See `ModelStore`."""
        if ref.version in self.bad:
            raise ModelRefused(self.bad[ref.version])
        if ref.version in self.slow:
            raise Unavailable("not in time")
        manifest = SimpleNamespace(version=ref.version, classes=("on_time", "late"), threshold=0.5, post=NOTHING)
        return SimpleNamespace(ref=ref, manifest=manifest, columns=(Column("weight", "numeric"),), runtime=None)

    def forget(self, keep: set[BundleRef]) -> None:
        """See `ModelStore`."""
        self.loaded &= keep


def make_health() -> Health:
    """Of a scorer."""
    return Health(ManualClock(), max_turn_age=60.0, checks=("assignment", "model"))


def versions_of(store: Any, *rollouts: Rollout) -> Versions:
    """With these in `models`."""
    versions = Versions(SPEC, RecordCodec(SPEC), store, make_health())
    versions.follow(RolloutTable(rollouts))
    return versions


def target_of(store: Any, *rollouts: Rollout) -> Target:
    """A shadow's, with these in `models`."""
    target = Target(SPEC, store, make_health())
    target.follow(RolloutTable(rollouts))
    return target


def one(epoch: int, ref: BundleRef, state: RolloutState = "active") -> Rollout:
    """A champion alone."""
    return Rollout(SPEC.name, epoch, ref, state)


def two(epoch: int, mode: Any, ref: BundleRef = B, state: RolloutState = "active", share: float = 0.1) -> Rollout:
    """A challenger of A."""
    return Rollout(SPEC.name, epoch, A, state, challenger=ref, mode=mode, share=share)


def test_a_canary_needs_both_and_a_shadow_none_of_a_scorer() -> None:
    """Announced or active: the challenger of a canary is loaded ahead, that of a shadow is not."""
    store = Store()
    versions = versions_of(store, one(1, A), two(2, "shadow", C), two(3, "canary", state="announced"))
    assert store.ready() == {"a", "b"}
    versions.announced(two(4, "shadow", C, "announced"))
    assert "c" not in store.asked


def test_an_epoch_of_a_canary_scores_with_both() -> None:
    """The champion's scoring carries the challenger's and the share; both say the epoch that acts."""
    scoring = versions_of(Store(), one(1, A), two(2, "canary", share=0.3)).scoring(2)
    assert scoring.challenger is not None
    said = [(s.version.version, s.version.epoch) for s in (scoring, scoring.challenger)]
    assert (said, scoring.share) == ([("a", 2), ("b", 2)], 0.3)
    assert versions_of(Store(), one(1, A)).scoring(1).challenger is None


@pytest.mark.parametrize("store", [Store(bad={"b": "digest: it differs"}), Store(slow={"b"})], ids=["refused", "slow"])
def test_an_epoch_that_lacks_one_of_its_models_cannot_be_scored_here(store: Store) -> None:
    """Not even its champion's keys: which version scores a record is not this worker's to choose."""
    versions = versions_of(store, one(1, A), two(2, "canary"))
    with pytest.raises(CannotScore, match="epoch 2 cannot be scored here"):
        versions.scoring(2)
    assert list(versions.lacking(2)) == list(versions.lacking()) == ["b"]
    assert versions.lacking(1) == {}
    assert versions.scoring(1).version.version == "a"
    versions.announced(two(2, "canary", state="revoked"))
    versions.table.put(two(2, "canary", state="revoked"))
    assert (versions.lacking(2), versions.lacking()) == ({}, {})


def test_where_nothing_is_in_force_nothing_is_lacking() -> None:
    """Such a worker joins and waits for the first training; an epoch that nobody knows is another matter."""
    versions = versions_of(Store())
    assert versions.lacking() == {}
    with pytest.raises(CannotScore, match="not in the models topic"):
        versions.scoring(5)


def test_what_acts_or_waits_is_kept() -> None:
    """Both models of canaries, the epoch before the lowest that acts, what is announced; nothing of shadows."""
    store = Store()
    table = [one(1, C), one(2, A), two(3, "canary"), two(4, "shadow", C), one(5, B, "announced")]
    versions = versions_of(store, *table)
    store.loaded = {A, B, C}
    versions.tend({3})
    assert store.ready() == {"a", "b"}
    versions.tend({2})
    store.loaded = {A, B, C}
    versions.tend({2})
    assert store.ready() == {"a", "b", "c"}, "version c of epoch 1 would act if epoch 2 were revoked"


def test_health_says_what_is_missing() -> None:
    """Of a canary either model; a worker that gave its partitions up says why."""
    store = Store(slow={"b"})
    health = make_health()
    versions = Versions(SPEC, RecordCodec(SPEC), store, health)  # type: ignore[arg-type] # the shape of one
    versions.follow(RolloutTable([one(1, A), two(2, "canary")]))
    versions.tend(set())
    assert (health.checks()["model"].ok, health.checks()["model"].detail) == (False, "version b is loading")
    versions.given_up = {"b": "digest: it differs"}
    versions.tend(set())
    assert health.checks()["model"].detail == "version b digest: it differs"
    versions.given_up, store.slow = {}, set()
    store.prepare(B)
    versions.tend(set())
    assert (health.checks()["model"].ok, health.checks()["model"].detail) == (
        True, "version a is loaded and version b is loaded",
    )  # fmt: skip


def test_a_shadow_follows_the_newest_active_one() -> None:
    """Announced ones are loaded ahead; a revoked one leaves its place to the one before, and to nobody in the end."""
    store = Store()
    target = target_of(store, one(1, A), two(2, "shadow", B), two(3, "shadow", C, "announced"), two(4, "canary", B))
    assert (store.ready(), target.epoch()) == ({"b", "c"}, 2)
    made = target.scoring()
    assert made is not None
    assert (made.version.version, made.version.epoch, target.scoring()) == ("b", 2, made)
    for rollout, version in ((two(3, "shadow", C), "c"), (two(3, "shadow", C, "revoked"), "b")):
        target.table.put(rollout)
        target.announced(rollout)
        found = target.scoring()
        assert found is not None
        assert found.version.version == version
    target.table.put(two(2, "shadow", B, "revoked"))
    assert (target.scoring(), target.epoch()) == (None, 0)
    target.tend()
    assert store.ready() == set()


def test_a_shadow_waits_for_a_model_and_not_for_a_refused_one() -> None:
    """Pairs are not missed for a second of loading; a broken bundle keeps nobody waiting."""
    with pytest.raises(Unavailable):
        target_of(Store(slow={"b"}), two(2, "shadow")).scoring()
    assert target_of(Store(bad={"b": "no"}), two(2, "shadow")).scoring() is None


def test_a_heartbeat_says_what_each_version_did() -> None:
    """Counts of committed batches by loaded version, speeds, memory, and why partitions were given up."""
    clock, metrics, store = ManualClock(), RecordingMetrics(), Store(bad={"c": "no"})
    store.loaded = {A, B}
    probe = Probe(pipeline="shop", topic="in", metrics=metrics, health=make_health(), tracer=NoTracer(), clock=clock)
    for _ in range(2):
        probe.count(
            [
                Count("tailrace_predictions_total", 5, {"version": "a"}),
                Count("tailrace_predictions_total", 7, {"version": "gone"}),
                Count("tailrace_version_rejects_total", 1, {"version": "b"}),
                Count("tailrace_flagged_total", 1, {"flag": "canary"}),
            ]
        )
    told: list[Heartbeat] = []

    def post(topic: str, key: bytes, value: bytes) -> None:
        assert (topic, key) == ("shop.workers", b"scorer-0")
        told.append(msgspec.json.decode(value, type=Heartbeat))

    heart = Heart(
        "scorer-0", "shop.workers", post, probe, store, clock, 1.0, lambda e: e, lambda: None,  # type: ignore[arg-type] # the shape of a store
        speeds=Speeds(clock), given_up=lambda: {"d": "gone"},
    )  # fmt: skip
    heart.beat()
    (said,) = told
    assert (said.scored, said.rejects, said.refused) == ({"a": 10}, {"b": 2}, {"c": "no", "d": "gone"})
    assert (said.ready, said.shadow, said.speeds) == (("a", "b"), False, {})
    assert said.rss_mb > 10
