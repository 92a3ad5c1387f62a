"""What is to be told of a simulated stream: its size, its changes, and how good the best answers would be."""

from pathlib import Path

import msgspec
import numpy as np

from shared.simulation.quality import FIGURES_OF, best_quality, part
from shared.simulation.world import Change, Request, World


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The truth of a stream in short; times in ms of event time.

    `best` has the figures of somebody who knows the truth's own distribution, over all records; `best_before` the
    same on the records before the first change (all of them where nothing changes).
    """

    scenario: str
    text: str
    seed: int
    records: int
    entities: int
    features: int
    labels: int
    corrected: int
    unlabelled: int
    first_ms: int
    last_ms: int
    changes: tuple[Change, ...]
    best: dict[str, float]
    best_before: dict[str, float]


def facts(world: World, request: Request) -> Facts:
    """The facts of a world that has at least one record."""
    names = tuple(FIGURES_OF[world.task])
    before = len(world)
    if world.changes:
        before = max(int(np.searchsorted(world.times, min(change.start_ms for change in world.changes))), 1)
    return Facts(
        scenario=request.scenario.name,
        text=request.scenario.text,
        seed=request.seed,
        records=len(world),
        entities=len(np.unique(world.records[world.key_field])),
        features=sum(len(updates.time) for updates in world.updates),
        labels=len(world.labels.index),
        corrected=int(np.count_nonzero(world.labels.revision)),
        unlabelled=len(world) - len(np.unique(world.labels.index)),
        first_ms=int(world.times[0]),
        last_ms=int(world.times[-1]),
        changes=world.changes,
        best=best_quality(world.task, names, world.truth),
        best_before=best_quality(world.task, names, part(world.truth, slice(0, before))),
    )


def write_facts(found: Facts, path: Path) -> None:
    """Write them as JSON for people and programs."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
