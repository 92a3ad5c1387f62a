"""Each of the four simulated pipelines through the demo's own machinery, on one shared stack, at a reduced size."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from shared.adapters.history import history_files
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.adapters.tables import read_rows
from shared.core.quality import is_better
from tailrace.demo.main import Request, play
from tailrace.demo.screen import Screen
from tailrace.demo.summary import conclusion
from tailrace.stack.endpoints import Endpoints

pytestmark = pytest.mark.system
SCORED = 5_000
SMALL = """
import runpy
from shared.simulation.scenario import SCENARIOS
from shared.simulation.world import START_MS, Request
from shared.simulation.writer import write_folder


def write(folder, seed):
    request = Request(SCENARIOS["stationary"], RECORDS, seed)
    write_folder(runpy.run_path("GENERATE")["simulate"](request), request, folder)
"""


def small(name: str, called: str, folder: Path, records: int) -> Pipeline:
    """A pipeline as its file declares it, under another name, with a smaller world."""
    whole = load_pipeline(name)
    (folder / called).mkdir()
    (folder / called / "small.py").write_text(
        SMALL.replace("GENERATE", str(whole.folder / "generate.py")).replace("RECORDS", str(records))
    )
    text = (whole.folder / "pipeline.yaml").read_text(encoding="utf-8")
    text = text.replace(f"\nname: {name}\n", f"\nname: {called}\n").replace("hook: generate.py", "hook: small.py")
    (folder / called / "pipeline.yaml").write_text(text)
    made = load_pipeline(folder / called)
    assert (made.spec.name, made.spec.history.hook) == (called, "small.py")
    return made


@pytest.fixture
def servers(kafka: str, redis_url: str, mlflow_url: str) -> Endpoints:
    """The one stack that all of them share."""
    return Endpoints(kafka=kafka, redis=redis_url, mlflow=mlflow_url)


@pytest.mark.parametrize(
    ("name", "learnt", "kill"),
    [
        ("obesity", 9_000, False),
        ("churn", 9_000, False),
        ("taxi", 9_000, True),
        ("heavy_equipment", 20_000, False),  # a year and a half: its prices take 45 days to be known
    ],
)
def test_each_pipeline_is_played(
    *,
    name: str,
    learnt: int,
    kill: bool,
    servers: Endpoints,
    tmp_path: Path,
    unique: Callable[[str], str],
) -> None:
    """Every record has one outcome; ours is better than a linear model and worse than the truth, by each goal."""
    pipeline = small(name, unique(name).replace("-", "_"), tmp_path, learnt + SCORED + 500)
    cache, spec = tmp_path / "cache", pipeline.spec
    times = sorted(int(row[spec.record.event_time]) for row in read_rows(history_files(pipeline, cache).records))
    request = Request(records=SCORED, rate=0, workers=2, seed=7, start=times[learnt], kill=kill)
    with Screen(spec, quiet=True) as screen:
        found = play(
            pipeline,
            request,
            state=tmp_path / "state",
            external=servers,
            screen=screen,
            began=time.monotonic(),
            cache=cache,
        )
    print(conclusion(found, spec.labels.unit))

    assert (found.ok, found.lost, found.doubled, found.stray) == (True, 0, 0, 0)
    assert found.predictions == SCORED
    assert found.records == SCORED + sum(found.dead_letters.values())
    assert (found.restarts > 0) == kill
    assert list(found.quality) == list(spec.monitoring.goal)
    assert found.labelled > SCORED / 2
    for metric, one in found.quality.items():
        assert one.linear is not None
        assert one.best is not None
        assert one.goal == spec.monitoring.goal[metric]
        assert is_better(metric, one.ours, one.linear), (metric, msgspec.to_builtins(one))
        assert is_better(metric, one.best, one.ours), (metric, msgspec.to_builtins(one))
    assert (found.intervals is not None) == (spec.model.interval is not None)
    if found.intervals is not None:
        assert abs(found.intervals.held - found.intervals.asked) < 0.1
