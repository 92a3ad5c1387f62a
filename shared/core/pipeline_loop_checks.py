"""What the sections of a pipeline's file that close the loop mean as a whole: mistakes, and what is only unwise."""

from collections.abc import Iterator

from shared.core import durations
from shared.core.mistakes import Mistake
from shared.core.pipeline import PipelineSpec

_LONGEST = 4  # a clock slower than this part of the window loses much of what retraining gives


def retraining(spec: PipelineSpec) -> Iterator[Mistake]:
    """When a model is asked for, and what of."""
    asked = spec.retraining
    if asked.cooldown <= 0:
        yield Mistake("retraining.cooldown", "would let every look ask", "write 1d or 7d")
    if asked.every is not None and asked.every <= 0:
        yield Mistake("retraining.every", "would ask at every look", "write 7d, or null for no clock")
    if asked.alarm_period is not None and asked.alarm_period <= 0:
        yield Mistake("retraining.alarm_period", "would act on every alarm", "write 7d, or leave it out for `every`")
    if asked.window is not None and asked.window <= 0:
        yield Mistake("retraining.window", "leaves nothing to learn from", "write 56d, or null for everything")
    if asked.short <= 0:
        yield Mistake("retraining.short", "leaves nothing to learn from", "write a share of the window, up to 1")
    if list(asked.follow_ups) != sorted({after for after in asked.follow_ups if after > 0}):
        what = "do not rise" if min(asked.follow_ups) > 0 else "are not all after the alarm"
        yield Mistake("retraining.follow_ups", what, "list the earliest first, such as [3d, 7d, 14d]; [] for none")


def gate(spec: PipelineSpec) -> Iterator[Mistake]:
    """What a challenger must show, and what its training may use."""
    asked, limits = spec.retraining.gate, spec.retraining.limits
    if asked.block <= 0:
        yield Mistake("retraining.gate.block", "must be longer than nothing", "write 1d")
    elif asked.holdout < 2 * asked.block and asked.mode != "none":
        what = f"{durations.write(asked.holdout)} has fewer than two blocks of {durations.write(asked.block)}"
        yield Mistake("retraining.gate.holdout", what, "nothing could ever be judged: raise it, or lower gate.block")
    if asked.errors <= 0:
        yield Mistake("retraining.gate.errors", "must be above 0", "leave it out for 2 standard errors")
    if limits.time <= 0:
        yield Mistake("retraining.limits.time", "leaves no time to train", "write 1h, or leave it out")


def cautions(spec: PipelineSpec) -> list[str]:
    """What is no mistake, but costs quality, as a sentence each; `tailrace validate` shows them."""
    asked = spec.retraining
    if asked.every is None or asked.window is None or asked.data != "recent":
        return []
    if asked.every <= asked.window / _LONGEST:
        return []
    every, window = durations.write(asked.every), durations.write(asked.window)
    eighth = durations.write(round(asked.window / 8_000) * 1_000)
    words = f"retraining.every: {every} is more than a quarter of the window ({window}); an eighth is usual"
    return [f"{words}: write {eighth}, or a longer window"]
