"""The retrainer on a real broker and registry: one training a request, whatever becomes of its processes."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from services.retrainer.archive.names import Log, Part
from services.retrainer.settled import wait_for_archive
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.positions import GroupPositions
from shared.adapters.mlflow_models import Registry
from shared.core.registry import CHALLENGER, CHAMPION
from shared.core.retraining import Training
from shared.core.topics import topic
from shared.runtime.settings import ArchiveSettings, KafkaSettings, Settings
from shared.testing.clock import ManualClock
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.watch import Backoff
from tests.support.bundles import HOUR, START, write_history
from tests.support.retrainers import Retrainers
from tests.support.wait import until
from tests.support.world import World

pytestmark = pytest.mark.system
DAY = 24 * HOUR
END = START + 1_500 * HOUR
SECTIONS = {
    "history": {"records": "records.csv", "features": "features.jsonl", "labels": "labels.jsonl", "holdout": 0.25},
    "retraining": {"cooldown": "7d", "every": None, "gate": {"holdout": "15d"}},
    "model": {
        "estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "runtimes": ["treelite"],
        "parameters": {"max_iter": 5, "early_stopping": False},
    },
}  # fmt: skip
STEPS = ("train", "gate", "log", "register", "announce", "alias")
QUICK = {"TAILRACE_LOOP__SESSION_TIMEOUT": "6", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def retrainers(world: Callable[..., World], mlflow_url: str) -> Iterator[Callable[..., Retrainers]]:
    """Makes retrainers of a world with a history of 1,500 parcels, whose version 1 has learnt the first 600."""
    made: list[Retrainers] = []

    def make(module: str = "services.retrainer.serve", **env: str) -> Retrainers:
        w = world(**SECTIONS)
        w.supervisor = Supervisor(w.folder / "state" / "logs", backoff=Backoff(longest=0.2))
        write_history(w.folder, n=1_500)
        made.append(Retrainers(w, mlflow_url, {**QUICK, **env}, module))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ended(found: Retrainers, id_: str) -> Callable[[], bool]:
    """A condition: this training has ended."""
    return lambda: found.trainings().get(id_, Training(id="", request="", trigger="", state="running", at=0)).state in (
        "done", "refused", "failed",
    )  # fmt: skip


@pytest.mark.timeout(600)  # seven lives, each with the imports of a training
def test_it_dies_at_each_step_and_one_version_comes_of_it(
    retrainers: Callable[..., Retrainers], tmp_path: Path
) -> None:
    """F43, I14, I15: killed at every step, it goes on or begins again: one version announced, gate first, no orphan."""
    fuses = tmp_path / "fuses"
    fuses.mkdir()
    found = retrainers(
        "tests.support.faulty_retrainer",
        TAILRACE_TEST_FAULT=",".join(STEPS),
        TAILRACE_TEST_FUSE=str(fuses),
        TAILRACE_KAFKA__STATIC_MEMBERSHIP="true",  # each life goes on at once
    )
    found.tell(END)
    found.ask("storm", END)
    found.start()
    until(ended(found, "storm"), "the training's end", 300)
    assert sorted(path.name for path in fuses.iterdir()) == sorted(STEPS), found.log()[-3_000:]
    training = found.trainings()["storm"]
    print(msgspec.json.encode(training).decode())
    assert (training.state, training.champion) == ("done", "1")
    assert training.gate is not None
    assert training.gate.judged
    registry, name = Registry(found.mlflow), found.world.spec.name
    versions = {info.version: info for info in registry.versions(name)}
    complete = [info for info in versions.values() if info.state == "complete"]
    assert [info.ref for info in complete] == [training.challenger]
    assert {info.state for info in versions.values()} <= {"complete", "failed"}
    assert complete[0].tags["tailrace.training"] == "storm"
    assert complete[0].tags["tailrace.gate"] == "passed"
    assert registry.aliases(name)[CHALLENGER] == complete[0].version
    states = {epoch: (one.champion.version, one.state) for epoch, one in found.models().items()}
    assert states == {1: ("1", "active"), 2: (complete[0].version, "announced")}
    seen = [one.state for one in found.words("storm")]
    order = ["running", "passed", "announced", "done"]
    assert [state for i, state in enumerate(seen) if i == 0 or seen[i - 1] != state] == order
    (said,) = {one.version: one for one in found.verdicts()}.values()
    assert (said.version, said.verdict, said.n) == (complete[0].version, "ok", training.gate.whole.labels)


def test_twins_train_once_and_bad_requests_never(retrainers: Callable[..., Retrainers]) -> None:
    """F44, F45, B37: two retrainers, a thousand replays and every kind of nonsense are one training; one is frozen."""
    found = retrainers()
    found.tell(END)
    w = found.world
    for value in (b"{", b"\xff", msgspec.json.encode({"id": "x"})):
        w.send("retrain", [("x", value, None)])
    found.ask("../../x", END)
    found.ask("past", END, pipeline="../flights")
    found.ask("far", END + 30 * DAY)
    found.ask("new", END, version="9")
    found.start(0)
    found.start(1)
    until(lambda: "takes over" in found.log(0) + found.log(1), "one that works", 60)
    good = msgspec.json.encode(
        {"id": "good", "pipeline": w.spec.name, "version": "1", "trigger": "errors", "block": "0", "at": END,
         "reasons": []}
    )  # fmt: skip
    w.send("retrain", [("x", good, None)] * 1_000)
    until(lambda: "good" in found.trainings(), "the training's begin", 60)
    working = 0 if "takes over" in found.log(0) else 1
    found.signal(working, signal.SIGSTOP)
    until(lambda: "takes over" in found.log(1 - working), "the other one at work", 60)
    found.signal(working, signal.SIGCONT)
    until(ended(found, "good"), "the training's end", 200)
    found.tell(END + DAY)
    found.ask("soon", END + DAY)
    until(lambda: "soon" in found.trainings(), "an answer", 60)
    trainings = found.trainings()
    assert {name: one.state for name, one in trainings.items()} == {"good": "done", "soon": "declined"}
    assert (
        "cool" in trainings["soon"].reason
        or "at most" in trainings["soon"].reason
        or "kept" in trainings["soon"].reason
    )
    assert found.book().refused == {"malformed": 3, "name": 1, "pipeline": 1, "future": 1, "version": 1}
    complete = [info for info in Registry(found.mlflow).versions(w.spec.name) if info.state == "complete"]
    assert [info.ref for info in complete] == [trainings["good"].challenger]
    assert [one.champion.version for one in found.models().values()] == ["1", complete[0].version]
    assert CHAMPION in Registry(found.mlflow).aliases(w.spec.name)


def test_a_training_waits_for_the_archive(retrainers: Callable[..., Retrainers]) -> None:
    """What stands in `outcomes` when a training begins is archived before it reads; a late archiver is given up on."""
    w = retrainers().world
    w.send("outcomes", [("k", b"{}", None)] * 3)
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=w.kafka), archive=ArchiveSettings(url=(w.folder / "archive").as_uri())
    )
    name = topic(w.spec.name, "outcomes")
    generation = KafkaAdmin(w.conf).generation(name)
    with closing(GroupPositions(w.conf, "x", name)) as asked:
        ends = {p: end for p, end in asked.readable().items() if end}
    told, slept = list[str](), list[float]()
    clock = ManualClock()

    def archived(end: int) -> None:
        for partition in ends:
            file = w.folder / "archive" / w.spec.name / Part(Log(name, generation, partition), 0, end).name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)
        if len(slept) == 2:
            archived(3)

    wait_for_archive(w.spec, settings, told.append, clock, sleep)
    assert (told, slept) == ([], [])
    archived(2)
    wait_for_archive(w.spec, settings, told.append, clock, sleep)
    assert (told, len(slept)) == ([], 2)
    w.send("outcomes", [("k", b"{}", None)])
    wait_for_archive(w.spec, settings, told.append, clock, sleep)
    assert len(told) == 1
    assert "lacks the newest outcomes of 1 partitions" in told[0]
