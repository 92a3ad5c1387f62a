"""`tailrace verify bad-input`: mutated records through a real broker and a real worker; each must end somewhere."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline, read_tree
from shared.core.errors import UserError
from shared.core.topics import topic
from tailrace.proof.audit import Reader
from tailrace.proof.bad_input_books import Books, Ended, Verdict
from tailrace.proof.mutants import Mutants
from tailrace.proof.scene import Say, Scene, scene
from tailrace.stack.services import Order, scorers

STILL_S = 60.0  # s without any new outcome after which what is missing is called missing
TELL_EVERY = 10.0
POOL = 5_000
SLOT = 0
# A partition that drains into dead letters stops, by design; here nearly all records may be dead.
UNLIMITED = {"in_a_row": 1_000_000_000, "share": 1.0}


class Run:
    """One run on an open scene.

    Args:
        scene_: what it plays on.
        records: how many mutants.
        seed: of the mutants.
        say: told of progress.
    """

    def __init__(self, scene_: Scene, records: int, seed: int, say: Say) -> None:
        self._scene, self._records, self._seed, self._say = scene_, records, seed, say
        self._books, self._began = Books(), time.monotonic()

    def verdict(self) -> Verdict:
        """Send all, wait until each has an outcome or nothing happens any more, and add up.

        Raises:
            UserError: the worker did not become ready.
            Unavailable: the broker did not take the mutants, or does not give the topics back.
        """
        scene_ = self._scene
        self._start()
        scene_.start_others()
        scene_.wait_ready(SLOT)
        before = scene_.supervisor.pid(scene_.worker(SLOT))
        self._say(f"{self._records:,} mutated records for one worker")
        began = time.monotonic()
        self._send()
        took = self._wait() - began
        status = next(s for s in scene_.supervisor.status() if s.name == scene_.worker(SLOT))
        ended = Ended(
            restarts=status.restarts,
            same_process=status.pid is not None and status.pid == before,
            seconds=took,
            wall_s=round(time.monotonic() - self._began, 1),
            cluster_id=KafkaAdmin(scene_.conf).broker().cluster_id,
        )
        return self._books.close(scene_.name, self._seed, ended)

    def _start(self) -> None:
        """The product's own worker, as `tailrace scorer` starts it."""
        scene_ = self._scene
        order = Order(scene_.pipeline.folder, scene_.stack.endpoints, scene_.stack.state.path, 1, scene_.stack.port)
        scene_.supervisor.start(*scorers(order))

    def _send(self) -> None:
        scene_, publisher = self._scene, KafkaPublisher(self._scene.conf)
        where = topic(scene_.name, "records")
        mutants = Mutants(scene_.pipeline.spec, scene_.pool.records[:POOL], self._seed)
        for mutant in mutants.take(self._records):
            publisher.send(where, mutant.key, mutant.value, mutant.headers, self._sent(mutant.kinds))
        publisher.flush(STILL_S)

    def _sent(self, kinds: tuple[str, ...]) -> Callable[[int, int], None]:
        return lambda partition, offset: self._books.sent((partition, offset), kinds)

    def _wait(self) -> float:
        """Read outcomes until there is one for each, or none came for a while; when the last came."""
        moved = told = time.monotonic()
        with Reader(self._scene.conf, self._scene.name, {}) as reader:
            while self._books.open and time.monotonic() - moved < STILL_S:
                rows = reader.read(0.2)
                for name, message in rows:
                    self._books.read(name, message)
                if any(name != "records" for name, _ in rows):
                    moved = time.monotonic()
                if time.monotonic() - told > TELL_EVERY:
                    told = time.monotonic()
                    self._say(f"{self._books.open:,} without an outcome so far")
            ends = reader.ends()  # an outcome too many may stand behind the last one that was needed
            while not reader.reached(ends) and time.monotonic() - moved < STILL_S:
                for name, message in reader.read(0.2):
                    self._books.read(name, message)
        return moved


def bad_input(pipeline: Pipeline, records: int, seed: int, home: Path, say: Say) -> Verdict:
    """Build a stack of its own in an empty folder, send mutants of the pipeline's own records, and close the books.

    Args:
        pipeline: what is scored. Its limit of dead letters is lifted in the copy that runs.
        records: how many mutants.
        seed: of the mutants.
        home: an empty folder.
        say: told of progress.

    Raises:
        UserError: a part could not be prepared; nothing is left running.
        Unavailable: the broker did not take the mutants, or does not give the topics back.
    """
    with scene(_unlimited(pipeline, home / "without-limit"), "exactly_once", home, records=POOL, say=say) as made:
        if not made.pool.records:
            raise UserError(f"{made.name} has no records after its training", remedy="give its history more records")
        return Run(made, records, seed, say).verdict()


def _unlimited(pipeline: Pipeline, home: Path) -> Pipeline:
    """The same pipeline, its folder linked, with no limit of dead letters."""
    folder = home / pipeline.folder.name
    folder.mkdir(parents=True)
    for path in pipeline.folder.iterdir():
        if path.name not in {"pipeline.yaml", "__pycache__"}:
            (folder / path.name).symlink_to(path.absolute())
    tree = read_tree(pipeline.folder / "pipeline.yaml")
    tree["delivery"] = {**tree.get("delivery", {}), "dead_letters": UNLIMITED}
    (folder / "pipeline.yaml").write_text(msgspec.json.encode(tree).decode(), encoding="utf-8")
    return load_pipeline(folder)
