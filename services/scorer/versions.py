"""Which loaded model scores an epoch, and what is loaded ahead of need."""

from services.scorer.models import LoadedModel, ModelStore
from services.scorer.step import Scoring
from shared.core.codec import RecordCodec
from shared.core.errors import ModelRefused
from shared.core.features import FeatureBuilder
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef, Rollout
from shared.core.rollout import RolloutTable
from shared.core.scoring import Version
from shared.runtime.health import Health


class Versions:
    """Turns epochs into loaded models.

    Args:
        spec: the pipeline.
        codec: of its records.
        store: fetches, verifies and loads.
        health: told whether a model is there (`model`).
    """

    def __init__(self, spec: PipelineSpec, codec: RecordCodec, store: ModelStore, health: Health) -> None:
        self._spec, self._codec, self._store, self._health = spec, codec, store, health
        self._ready: dict[int, Scoring] = {}
        self.table = RolloutTable()

    def follow(self, table: RolloutTable) -> None:
        """Take the table over, and load what is in force or may come; older versions are loaded when asked for."""
        self.table = table
        newest = table.newest_active()
        for rollout in table:
            if newest is None or rollout.epoch >= newest.epoch:
                self.announced(rollout)

    def announced(self, rollout: Rollout) -> None:
        """A new value of `models`: load its bundle now, in the background, so that a barrier finds it ready."""
        self._ready.pop(rollout.epoch, None)
        if rollout.state != "revoked":
            self._store.prepare(rollout.champion)

    def scoring(self, epoch: int) -> Scoring:
        """The model of an acting epoch; waits until it is loaded.

        Raises:
            ModelRefused: it failed its checks, or nothing says what the epoch means.
            Unavailable: it cannot be fetched now.
        """
        known = self._ready.get(epoch)
        if known is not None:
            return known
        rollout = self.table.get(epoch)
        if rollout is None:
            raise ModelRefused(f"epoch {epoch} is in force but not in the models topic")
        made = self._ready[epoch] = self._scoring(epoch, self._store.get(rollout.champion))
        return made

    def acts(self, epoch: int) -> int:
        """The epoch that acts where this one did: itself, or a lower one once it is revoked."""
        rollout = self.table.acting(epoch)
        return epoch if rollout is None else rollout.epoch

    def tend(self, acting: set[int]) -> None:
        """Now and then: say how things stand, and free what is not needed beside these acting epochs."""
        self._look()
        self._keep(acting)

    def _look(self) -> None:
        """Say whether this worker can score what is in force now."""
        newest = self.table.newest_active()
        if newest is None:
            self._health.set("model", False, "no version is in force: run `tailrace train PIPELINE`")
            return
        version = newest.champion.version
        refused = self._store.refused().get(version)
        ready = version in self._store.ready()
        self._health.set("model", ready, f"version {version} " + ("is loaded" if ready else refused or "is loading"))

    def _keep(self, acting: set[int]) -> None:
        """Free models that neither act nor wait: all below the lowest acting epoch but the one before it."""
        if not acting:
            return
        floor = min(acting)
        spare = max((r.epoch for r in self.table if r.state == "active" and r.epoch < floor), default=floor)
        wanted: set[BundleRef] = {r.champion for r in self.table if r.epoch >= spare and r.state != "revoked"}
        self._store.forget(wanted)
        self._ready = {e: s for e, s in list(self._ready.items()) if e >= spare}

    def _scoring(self, epoch: int, model: LoadedModel) -> Scoring:
        manifest = model.manifest
        version = Version(
            epoch, manifest.version, model.ref.digest, manifest.classes, manifest.threshold, manifest.post
        )
        return Scoring(version, FeatureBuilder(self._spec, self._codec, model.columns), model.runtime)
