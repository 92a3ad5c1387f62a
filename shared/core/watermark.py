"""How far event time has come in one partition of `journal`, entry by entry. Times are milliseconds."""

from shared.core.pipeline import PipelineSpec

STEPS = 8


def advance(mark: int, time: int, max_step: int) -> int:
    """The watermark after an entry of this time; -1 is one that has seen nothing, and begins with its first entry."""
    if mark < 0:
        return time
    if time <= mark:
        return mark
    most = mark + max_step
    return time if time < most else most  # noqa: FURB136 - asked for every entry: a call of `min` is half of its time


def max_step(spec: PipelineSpec) -> int:
    """The most that one entry may advance it: as declared, else an eighth of a window; 1 at least."""
    wish = spec.monitoring.max_step
    return max(round((spec.monitoring.window / STEPS if wish is None else wish) * 1_000), 1)
