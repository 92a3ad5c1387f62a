"""Which challenger scores beside the champion: that of the newest active shadow in `models`."""

import msgspec

from services.scorer.models import LoadedModel, ModelStore
from services.scorer.step import Scoring
from shared.core.codec import RecordCodec, Row
from shared.core.errors import Unavailable
from shared.core.features import FeatureBuilder
from shared.core.left import narrowed
from shared.core.pipeline import PipelineSpec
from shared.core.records import Rollout
from shared.core.rollout import RolloutTable
from shared.core.scoring import Version
from shared.runtime.health import Health


class Target:
    """Follows the shadows of one pipeline.

    Args:
        spec: the pipeline.
        store: fetches, verifies and loads.
        health: told how things stand (`model`).
    """

    def __init__(self, spec: PipelineSpec, store: ModelStore, health: Health) -> None:
        self._spec, self._store, self._health = spec, store, health
        self._codec = RecordCodec(journalled(spec))
        self._decode = msgspec.json.Decoder(self._codec.row_type).decode
        self._made: Scoring | None = None
        self.table = RolloutTable()

    def follow(self, table: RolloutTable) -> None:
        """Take the table over, and load what scores or may come."""
        self.table = table
        for rollout in table:
            self.announced(rollout)

    def announced(self, rollout: Rollout) -> None:
        """A new value of `models`: a shadow's challenger is loaded, so that workers are ready before it begins."""
        newest = self.table.shadowing()
        wanted = rollout.mode == "shadow" and rollout.state != "revoked"
        if wanted and rollout.challenger is not None and (newest is None or rollout.epoch >= newest.epoch):
            self._store.prepare(rollout.challenger)

    def row(self, record: bytes | msgspec.Raw) -> Row:
        """A record of the journal, as the builder wants it. Raises what `msgspec` raises."""
        return self._decode(record)

    def epoch(self) -> int:
        """The epoch of the shadow that scores now; 0: none."""
        rollout = self.table.shadowing()
        return 0 if rollout is None else rollout.epoch

    def scoring(self) -> Scoring | None:
        """What scores now; None where there is no shadow, or where its model was refused (heartbeats say so).

        Raises:
            Unavailable: its model is on its way: what waits can still be scored.
        """
        rollout = self.table.shadowing()
        if rollout is None or rollout.challenger is None:
            self._made = None
            return None
        ref, made = rollout.challenger, self._made
        if made is not None and (made.version.epoch, made.version.digest) == (rollout.epoch, ref.digest):
            return made
        if why := self._store.lacks(ref):
            if ref.version in self._store.refused():
                return None
            raise Unavailable(why)
        self._made = self._scoring(rollout.epoch, self._store.get(ref))
        return self._made

    def tend(self) -> None:
        """Now and then: say how things stand, and free what scores no more."""
        newest = self.table.shadowing()
        floor = 0 if newest is None else newest.epoch
        shadows = [r for r in self.table if r.mode == "shadow" and r.state != "revoked" and r.epoch >= floor]
        self._store.forget({r.challenger for r in shadows if r.challenger is not None})
        if newest is None or newest.challenger is None:
            self._health.set("model", True, "no challenger scores beside the champion")
            return
        version = newest.challenger.version
        ready = version in self._store.ready()
        why = self._store.refused().get(version, "is loading")
        self._health.set("model", ready, f"version {version} " + ("is loaded" if ready else why))

    def _scoring(self, epoch: int, model: LoadedModel) -> Scoring:
        manifest = model.manifest
        version = Version(
            epoch, manifest.version, model.ref.digest, manifest.classes, manifest.threshold, manifest.post
        )
        return Scoring(version, FeatureBuilder(self._spec, self._codec, model.columns), model.runtime)


def journalled(spec: PipelineSpec) -> PipelineSpec:
    """The pipeline with a record of its features' fields alone, as a scorer has let them pass into the journal.

    Personal fields are gone from there, and no feature is one; no bounds are asked again.
    """
    wanted = {feature.source for feature in spec.features if not feature.lookup}
    return narrowed(spec, wanted)
