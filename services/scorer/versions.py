"""Which loaded model scores an epoch, and what is loaded ahead of need."""

from dataclasses import replace

from services.scorer.models import LoadedModel, ModelStore
from services.scorer.step import Scoring
from shared.core.codec import RecordCodec
from shared.core.errors import CannotScore, ModelRefused, Unavailable
from shared.core.features import FeatureBuilder
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef, Rollout
from shared.core.rollout import RolloutTable
from shared.core.scoring import Version
from shared.runtime.health import Health


def refs_of(rollout: Rollout) -> tuple[BundleRef, ...]:
    """The bundles that a scorer needs where this rollout acts."""
    if rollout.mode == "canary" and rollout.challenger is not None:
        return rollout.champion, rollout.challenger
    return (rollout.champion,)


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
        self.given_up: dict[str, str] = {}
        """Why this worker stays out of the group, by version; empty while it takes part."""
        self.table = RolloutTable()

    def follow(self, table: RolloutTable) -> None:
        """Take the table over, and load what is in force or may come; older versions are loaded when asked for."""
        self.table = table
        newest = table.newest_active()
        for rollout in table:
            if newest is None or rollout.epoch >= newest.epoch:
                self.announced(rollout)

    def announced(self, rollout: Rollout) -> None:
        """A new value of `models`: load its bundles now, in the background, so that a barrier finds them ready.

        Those of a shadow are no affair of scorers: it has workers of its own.
        """
        self._ready.pop(rollout.epoch, None)
        if rollout.state != "revoked" and rollout.mode != "shadow":
            for ref in refs_of(rollout):
                self._store.prepare(ref)

    def scoring(self, epoch: int) -> Scoring:
        """The models of an acting epoch; waits until they are loaded, for `models.timeout` at most.

        Raises:
            CannotScore: one failed its checks or cannot be fetched, or nothing says what the epoch means.
        """
        known = self._ready.get(epoch)
        if known is not None:
            return known
        rollout = self.table.get(epoch)
        if rollout is None:
            raise CannotScore(epoch, "it is in force but not in the models topic")
        try:
            models = [self._scoring(epoch, self._store.get(ref)) for ref in refs_of(rollout)]
        except (ModelRefused, Unavailable) as error:
            raise CannotScore(epoch, str(error)) from error
        made = models[0] if len(models) == 1 else replace(models[0], challenger=models[1], share=rollout.share)
        self._ready[epoch] = made
        return made

    def lacking(self, epoch: int = 0) -> dict[str, str]:
        """Why this worker could not score where an epoch acts, by version; asked for, they are loaded.

        Args:
            epoch: 0: the newest in force. Where nothing is in force, nothing is lacking.
        """
        rollout = self.table.acting(epoch) if epoch else self.table.newest_active()
        refs = () if rollout is None else refs_of(rollout)
        return {ref.version: why for ref in refs if (why := self._store.lacks(ref))}

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
        versions, ready = [ref.version for ref in refs_of(newest)], self._store.ready()
        wrong = {**{v: "is loading" for v in versions if v not in ready}, **self._refused(versions), **self.given_up}
        said = "; ".join(f"version {v} {why}" for v, why in wrong.items())
        self._health.set("model", not wrong, said or " and ".join(f"version {v} is loaded" for v in versions))

    def _refused(self, versions: list[str]) -> dict[str, str]:
        return {v: why for v, why in self._store.refused().items() if v in versions}

    def _keep(self, acting: set[int]) -> None:
        """Free models that neither act nor wait: all below the lowest acting epoch but the one before it."""
        if not acting:
            return
        floor = min(acting)
        spare = max((r.epoch for r in self.table if r.state == "active" and r.epoch < floor), default=floor)
        needed = (r for r in self.table if r.epoch >= spare and r.state != "revoked" and r.mode != "shadow")
        wanted = {ref for rollout in needed for ref in refs_of(rollout)}
        self._store.forget(wanted)
        for ref in wanted:  # one that was announced again just now may have been let go as the table was looked at
            self._store.prepare(ref)
        self._ready = {e: s for e, s in list(self._ready.items()) if e >= spare}

    def _scoring(self, epoch: int, model: LoadedModel) -> Scoring:
        manifest = model.manifest
        version = Version(
            epoch, manifest.version, model.ref.digest, manifest.classes, manifest.threshold, manifest.post
        )
        return Scoring(version, FeatureBuilder(self._spec, self._codec, model.columns), model.runtime)
