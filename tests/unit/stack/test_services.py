"""Services of pipelines become programs that find their servers, their slot and their port."""

import json
from itertools import count
from pathlib import Path

import pytest

from shared.adapters.pipeline_yaml import load_pipeline
from shared.core.errors import UserError
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.services import SERVICE_PROGRAMS, Order, check_service, pipeline_folder
from tests.support.spec import make_tree


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A folder that looks like a pipeline."""
    folder = tmp_path / "flights"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text("")
    return folder


def test_unknown_service_is_named() -> None:
    """A misspelt service is refused with the list of services."""
    with pytest.raises(UserError, match=r"scoer:flights is no service; one of kafka, .*scorer:PIPELINE"):
        check_service("scoer:flights")


def test_missing_pipeline_is_named() -> None:
    """A pipeline that is not there is refused before anything starts."""
    with pytest.raises(UserError, match=r"no pipeline ghosts: looked at ghosts/pipeline\.yaml, pipelines/ghosts"):
        check_service("scorer:ghosts")


def test_pipeline_is_found_by_path_and_by_name(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder anywhere works, a name is looked up where TAILRACE_PIPELINES says, a slash at its end does no harm."""
    monkeypatch.setenv("TAILRACE_PIPELINES", str(pipeline.parent))
    assert [pipeline_folder(name) for name in (str(pipeline), "flights", "flights/")] == [pipeline] * 3


def test_pipeline_of_ours_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up --pipelines flights` works wherever `train flights` does."""
    monkeypatch.chdir(tmp_path)
    assert pipeline_folder("flights") == load_pipeline("flights").folder


def test_each_scorer_has_its_own_slot_and_port(pipeline: Path) -> None:
    """Two workers differ in name, slot and port, and know the same servers."""
    ports = count(5_000)
    order = Order(pipeline, Endpoints(kafka="k:1"), pipeline.parent, 2, lambda _: next(ports))
    programs = SERVICE_PROGRAMS["scorer"](order)

    assert [one.name for one in programs] == ["scorer-flights-0", "scorer-flights-1"]
    assert [one.env["TAILRACE_WORKER__SLOT"] for one in programs] == ["0", "1"]
    assert [one.env["TAILRACE_HTTP__PORT"] for one in programs] == ["5000", "5001"]
    assert {one.env["TAILRACE_KAFKA__BOOTSTRAP_SERVERS"] for one in programs} == {"k:1"}
    assert {one.argv[1:] for one in programs} == {("-m", "services.scorer.main", str(pipeline))}


def test_aggregates_need_two_processes_or_none(tmp_path: Path) -> None:
    """Where a group is kept from records there is a route and a fold; elsewhere nothing runs."""
    tree = make_tree()
    days = {"take": "count", "over": "1d"}
    kept = tree | {"lookups": tree["lookups"] | {"past": {"key": "depot", "aggregates": {"n": days}, "max_age": "1d"}}}
    made = {}
    for name, one in (("none", tree), ("kept", kept)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pipeline.yaml").write_text(json.dumps(one))
        order = Order(tmp_path / name, Endpoints(kafka="k:1"), tmp_path, 3, lambda _: 5_000)
        made[name] = SERVICE_PROGRAMS["aggregates"](order)
    assert [] == made["none"]
    assert ["aggregates-kept-route", "aggregates-kept-fold"] == [program.name for program in made["kept"]]
    assert ["services.ingest.aggregates.route.main", "services.ingest.aggregates.fold.main"] == [
        program.argv[2] for program in made["kept"]
    ]
