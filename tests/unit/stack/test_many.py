"""Several pipelines: every mistake in any file is told before anything starts, and names do not collide."""

import shutil
from pathlib import Path

import msgspec
import pytest

from shared.core.errors import UserError
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.many import train, wanted
from tailrace.stack.ports import free_port
from tailrace.stack.serve import UpRequest, detach, serve
from tailrace.stack.state import ProgramEntry, StackFile, StateFolder
from tailrace.stack.status import by_pipeline, look
from tailrace.stack.supervisor import Supervisor

PARCELS = Path("tests/data/parcels").absolute()


def test_every_mistake_of_every_file_is_told(tmp_path: Path) -> None:
    """A wrong service, a missing folder and two broken files are one error with all of them."""
    for name, text in (("one", "name: one"), ("two", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pipeline.yaml").write_text(text)
    asked = [f"scorer:{tmp_path / 'one'}", f"scorer:{tmp_path / 'two'}", "scoer:flights", "scorer:ghosts"]
    with pytest.raises(UserError) as caught:
        wanted([*asked, f"features:{tmp_path / 'one'}", f"scorer:{PARCELS}"])
    said = str(caught.value)
    assert said.count("one/pipeline.yaml: 5 mistakes") == 1
    assert "two/pipeline.yaml" in said
    assert "scoer:flights is no service" in said
    assert "no pipeline ghosts" in said


@pytest.mark.parametrize("bring_up", [lambda request: serve(request, lambda _: None), detach])
def test_a_mistake_ends_it_before_anything_starts(tmp_path: Path, bring_up: object) -> None:
    """Neither a server nor the sound pipeline beside it is started, and no folder is made."""
    request = UpRequest(state=str(tmp_path / "state"), services=["kafka", f"scorer:{PARCELS}", "scorer:ghosts"])
    with pytest.raises(UserError, match="no pipeline ghosts"):
        bring_up(request)  # type: ignore[operator] # both take a request
    assert not (tmp_path / "state").exists()


def test_pipelines_that_would_share_names_are_refused(tmp_path: Path) -> None:
    """Two folders with one name in their files share topics; two of one folder name share logs and ports."""
    shutil.copytree(PARCELS, tmp_path / "parcels")
    shutil.copytree(PARCELS, tmp_path / "other")
    with pytest.raises(UserError, match=r"other and .*parcels are both named parcels; rename one of them"):
        wanted([f"scorer:{tmp_path / 'other'}", f"scorer:{PARCELS}"])
    text = (tmp_path / "parcels" / "pipeline.yaml").read_text()
    (tmp_path / "parcels" / "pipeline.yaml").write_text(text.replace("name: parcels", "name: letters", 1))
    with pytest.raises(UserError, match=r"parcels and .*parcels both have a folder named parcels; rename one"):
        wanted([f"scorer:{tmp_path / 'parcels'}", f"scorer:{PARCELS}"])


def test_one_folder_named_in_two_ways_is_one_pipeline() -> None:
    """Its services are gathered, each once."""
    (one,) = wanted([f"scorer:{PARCELS}", "features:tests/data/parcels", "scorer:tests/data/parcels/"])
    assert (one.name, one.services) == ("parcels", ["scorer", "features"])


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    """The error is what the command itself says, in one line, with its log."""
    (one,) = wanted([f"scorer:{PARCELS}"])
    nowhere = Endpoints(kafka=f"127.0.0.1:{free_port()}", mlflow=f"http://127.0.0.1:{free_port()}")
    with Supervisor(tmp_path / "logs") as supervisor, pytest.raises(UserError) as caught:
        train(one, nowhere, tmp_path, supervisor)
    assert str(caught.value).startswith(f"no Kafka answers at {nowhere.kafka}")
    assert str(caught.value).endswith(f"see {tmp_path / 'logs' / 'train-parcels.log'}")


def test_status_has_the_parts_of_each_pipeline_together(tmp_path: Path) -> None:
    """Servers first; a pipeline that was left out is there with its reason, and the whole is not ok."""
    state = StateFolder(tmp_path)
    state.acquire()
    names = (("kafka", ""), ("scorer-a-0", "a"), ("scorer-b-0", "b"), ("features-a", "a"))
    last = {"restarts": 0, "last_exit": "", "started_at": 0.0, "log": "", "address": ""}
    entries = [
        msgspec.convert({"name": name, "state": "failed", "pid": None, "pipeline": of, **last}, ProgramEntry)
        for name, of in names
    ]
    left = {"c": "topic c.records has 3 partitions"}
    state.write(StackFile(pid=1, up=True, started_at=0.0, endpoints={}, programs=entries, left_out=left))
    status = look(state, 1.0)
    groups = {name: [part.name for part in parts] for name, parts in by_pipeline(status).items()}
    assert groups == {"": ["kafka"], "a": ["scorer-a-0", "features-a"], "b": ["scorer-b-0"], "c": ["c"]}
    assert (status.parts[-1].state, status.parts[-1].last_exit, status.ok) == ("left out", left["c"], False)
    state.release()
