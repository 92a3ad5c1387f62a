"""Worlds of the simulated pipelines, small, and what a model would be shown of them."""

import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retrainer.dataset import Dataset, Files, load_dataset
from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.codec import RecordCodec
from shared.core.pipeline import PipelineSpec
from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import Request, World
from shared.simulation.writer import write_folder

ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000


@cache
def module_of(pipeline: str) -> dict[str, Any]:
    """The names of a pipeline's generate.py."""
    return runpy.run_path(str(ROOT / "pipelines" / pipeline / "generate.py"))


@cache
def world_of(pipeline: str, scenario: str = "stationary", records: int = 4_000, seed: int = 7) -> World:
    """A small world; the seed is printed."""
    print(f"{pipeline} {scenario}: seed {seed}")
    world = module_of(pipeline)["simulate"](Request(SCENARIOS[scenario], records, seed))
    assert isinstance(world, World)
    return world


def spec_of(pipeline: str) -> PipelineSpec:
    """The pipeline's file."""
    return load_pipeline(ROOT / "pipelines" / pipeline).spec


def shown(pipeline: str, world: World, folder: Path) -> tuple[RecordCodec, Dataset]:
    """The labelled records of a world as training has them: through files, the codec and the look-ups."""
    request = Request(SCENARIOS["stationary"], len(world), 0)
    write_folder(world, request, folder)
    spec = spec_of(pipeline)
    codec = RecordCodec(spec)
    files = Files(folder / "records.parquet", folder / "features.parquet", folder / "labels.parquet")
    return codec, load_dataset(spec, codec, files, until=2**50, progress=lambda _: None)


def column(dataset: Dataset, group: str, name: str) -> NDArray[np.float64]:
    """One looked-up value of each record, NaN where there is none."""
    values = [None if found is None else found.get(name) for found in dataset.found.values[group]]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def delays_of(world: World) -> NDArray[np.float64]:
    """Days from each record to each of its labels, in the order of the labels."""
    return np.asarray((world.labels.time - world.times[world.labels.index]) / DAY_MS, dtype=np.float64)


def halves(world: World, values: NDArray[Any]) -> tuple[float, float]:
    """The means before and after the first change, of values that are there."""
    start = world.changes[0].start_ms
    numbers = np.array([np.nan if value is None else float(value) for value in values.tolist()])
    return float(np.nanmean(numbers[world.times < start])), float(np.nanmean(numbers[world.times >= start]))


def absent(values: NDArray[Any]) -> NDArray[np.float64]:
    """1 where there is no value."""
    return np.array([value is None for value in values.tolist()], dtype=np.float64)
