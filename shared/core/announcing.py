"""Which epoch a new bundle gets when it is announced."""

from collections.abc import Iterable

from shared.core.records import BundleRef, Rollout


def next_rollout(pipeline: str, known: Iterable[Rollout], ref: BundleRef, now_ms: int) -> Rollout:
    """The rollout that announces a bundle.

    The first one of a pipeline is active at once, since nothing else could score; a later one waits to be activated. A
    bundle that was announced before keeps its epoch, so that a repeated announcement changes nothing.

    Args:
        pipeline: its name.
        known: all that stands on its `models` topic.
        ref: the bundle.
        now_ms: wall time in ms.
    """
    rollouts = sorted((r for r in known if r.pipeline == pipeline), key=lambda r: r.epoch)
    for rollout in reversed(rollouts):
        if rollout.champion == ref:
            return rollout
    if not rollouts:
        return Rollout(pipeline, 1, ref, "active", "first training", now_ms)
    return Rollout(pipeline, rollouts[-1].epoch + 1, ref, "announced", "trained", now_ms)
