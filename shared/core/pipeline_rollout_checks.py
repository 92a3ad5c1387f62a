"""Checks of the section `rollout`: steps that lead somewhere, and limits that mean something."""

from collections.abc import Iterator

from shared.core.mistakes import Mistake
from shared.core.pipeline import PipelineSpec


def rollout(spec: PipelineSpec) -> Iterator[Mistake]:
    """Every mistake of the section, each with its path."""
    asked, before = spec.rollout, 0.0
    for i, step in enumerate(asked.canary):
        if step.share <= before:
            remedy = "list the steps by rising shares, such as 0.05, 0.25, 0.5, 1.0"
            yield Mistake(f"rollout.canary[{i}].share", f"{step.share:g} is not above {before:g}", remedy)
        before = max(before, step.share)
    steps = [(f"canary[{i}]", step.time, step.records) for i, step in enumerate(asked.canary)]
    if asked.shadow is not None:
        steps.append(("shadow", asked.shadow.time, asked.shadow.records))
    for path, time, records in steps:
        if time < 0:
            yield Mistake(f"rollout.{path}.time", "is before it begins", "write 1h, or 0s for no least time")
        if records < 0:
            yield Mistake(f"rollout.{path}.records", "is less than none", "write 1000, or 0")
    if asked.errors <= 0:
        yield Mistake("rollout.errors", "would take back whatever is worse by chance", "write 3")
    for name in ("slower", "heavier"):
        if getattr(asked, name) <= 1:
            yield Mistake(f"rollout.{name}", "would take back what is as good as the champion", "write 2 or more")
