"""A search on Dask: the same folds and seeds are the same model; schedulers that do not answer, and random draws."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import msgspec
import numpy as np
import pytest

from services.retrainer import dask_crew
from services.retrainer.dataset import load_dataset
from services.retrainer.learn import Learned, learn
from services.retrainer.search import combinations, search
from services.retrainer.tables import table
from shared.core.codec import RecordCodec
from shared.core.errors import TailraceError, UserError
from shared.core.pipeline import PipelineSpec
from tests.support.bundles import write_history
from tests.support.spec import make_spec, make_tree

GRID = {"max_iter": [2, 20], "max_leaf_nodes": [3, 15]}


def spec_with(address: str | None, **model: Any) -> PipelineSpec:
    """The parcels with a search; an address means Dask."""
    tree = make_tree()["model"] | {"runtimes": ["treelite"], "search": GRID, "folds": {"count": 2}, "seed": 5}
    tree["parameters"] = {"early_stopping": False, "max_iter": 10, "max_leaf_nodes": 31, "max_features": 0.5}
    on = {} if address is None else {"backend": "dask", "dask_address": address}
    return make_spec(model=tree | model, retraining=on)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A scheduler with two workers."""
    dask: Any = distributed  # which has no types
    with dask.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as made:
        yield str(made.scheduler_address)


def trained(spec: PipelineSpec, folder: Path) -> Learned:
    """Search, and a fit with the best."""
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, write_history(folder), until=None, progress=lambda _: None)
    return learn(spec, codec, data, lambda _: None, watch=lambda _: None)


def test_a_search_on_dask_gives_the_same_model(cluster: str, tmp_path: Path) -> None:
    """Every figure of every combination, the best one, and each bit of the exported model."""
    here, there = trained(spec_with(None), tmp_path), trained(spec_with(cluster), tmp_path)
    assert here.searched is not None
    assert there.searched is not None
    assert msgspec.structs.replace(here.searched, seconds=0) == msgspec.structs.replace(there.searched, seconds=0)
    assert here.searched.fits == 8
    assert here.content.metrics == there.content.metrics
    assert here.content.chosen.content == there.content.chosen.content
    assert here.fingerprint == there.fingerprint


def test_a_fault_of_the_data_is_told_as_it_is(cluster: str) -> None:
    """What a fit raises on a worker is raised here; nothing of the search stays on the cluster."""
    with pytest.raises(UserError, match="planted"):
        list(dask_crew.spread_on_dask("work", [1, 2], refuse, cluster))
    assert list(dask_crew.spread_on_dask("work", [1], echo, cluster)) == [(1, ("work", 1))]


def test_a_worker_that_dies_again_and_again_is_told(cluster: str) -> None:
    """A fit that ends its process every time is no endless loop."""
    with pytest.raises(TailraceError, match="ended from outside"):
        list(dask_crew.spread_on_dask("work", [1], die, cluster))


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there, somebody who says nothing, and what is no address: key, address and remedy."""
    monkeypatch.setattr(dask_crew, "TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        deaf = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        for address in ("tcp://127.0.0.1:9", deaf, "nowhere://x"):
            with pytest.raises(UserError, match=rf"retraining\.dask_address: no Dask scheduler answers at {address}"):
                list(dask_crew.spread_on_dask("work", [1], echo, address))


def test_draws_are_a_part_of_the_grid() -> None:
    """As many as declared, each once, the same ones for a seed; more than there are is the whole grid."""
    whole = combinations(spec_with(None))
    some = combinations(spec_with(None, draws=3))
    assert (len(whole), len(some), len({tuple(sorted(one.items())) for one in some})) == (4, 3, 3)
    assert all(one in whole for one in some)
    assert some == combinations(spec_with(None, draws=3))
    assert any(combinations(spec_with(None, draws=3, seed=seed)) != some for seed in range(9))
    assert combinations(spec_with(None, draws=9)) == whole


def test_a_draw_is_what_is_fitted(tmp_path: Path) -> None:
    """Two combinations on two folds are four fits."""
    spec = spec_with(None, draws=2)
    codec = RecordCodec(spec)
    data = load_dataset(spec, codec, write_history(tmp_path), until=None, progress=lambda _: None)
    found = search(spec, table(spec, codec, data, np.arange(len(data))), lambda _: None, jobs=1)
    assert (found.fits, len(found.table)) == (4, 2)


def echo(work: Any, task: Any) -> Any:
    """What it was given."""
    return work, task


def refuse(work: Any, task: Any) -> Any:
    """A user's mistake."""
    raise UserError(f"planted {work} {task}", remedy="none")


def die(*_: Any) -> Any:
    """A process that is killed."""
    os._exit(9)
