"""Which epoch a new bundle gets when it is announced."""

from collections.abc import Iterable

from shared.core.records import BundleRef, Rollout


def next_rollout(pipeline: str, known: Iterable[Rollout], ref: BundleRef, now_ms: int) -> Rollout:
    """The rollout that announces a bundle.

    Where nothing is in force it is active at once, since nothing else could score; else it waits to be activated. A
    bundle that was announced before keeps its epoch, so that a repeated announcement changes nothing. The epochs of a
    plan, a shadow's and a canary's, announce nothing: they are the controller's.

    Args:
        pipeline: its name.
        known: all that stands on its `models` topic.
        ref: the bundle.
        now_ms: wall time in ms.
    """
    rollouts = sorted((r for r in known if r.pipeline == pipeline), key=lambda r: r.epoch)
    for rollout in reversed(rollouts):
        if rollout.champion == ref and rollout.mode == "champion":
            return rollout
    epoch = rollouts[-1].epoch + 1 if rollouts else 1
    if any(r.state == "active" and r.mode != "shadow" for r in rollouts):
        return Rollout(pipeline, epoch, ref, "announced", "trained", now_ms)
    return Rollout(pipeline, epoch, ref, "active", "nothing else was in force", now_ms)
