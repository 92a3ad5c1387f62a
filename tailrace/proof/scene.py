"""The proof's own stack: a broker, a cache, two signed versions of the pipeline's model, traced workers."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from services.retrainer.announce import announcing
from services.retrainer.bundle import Content, write_bundle
from services.retrainer.dataset import Files, load_dataset
from services.retrainer.gate import DataRefused
from services.retrainer.learn import learn
from shared.adapters.history import history_files
from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.config import client_config
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline, read_tree
from shared.adapters.signing import Signer, make_keys
from shared.core.codec import RecordCodec
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef
from shared.core.topics import topic
from shared.runtime.clock import SystemClock
from shared.runtime.model_files import public_key, signing_key
from shared.runtime.settings import Settings, load_settings, read_secret
from tailrace.proof.material import Pool, take_pool
from tailrace.stack.cache import cache_folder
from tailrace.stack.ready import is_ready
from tailrace.stack.services import Order, aggregates, feature_writer, scorers
from tailrace.stack.stack import Stack
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.topics import ensure_topics
from tailrace.stack.watch import Backoff

READY_S = 120.0
VERSIONS = ("1", "2")
# Faults come by design here, not by a crash loop: a worker is started again at once, as after a single crash.
_BACKOFF = Backoff(first=0.2, longest=1.0)

Say = Callable[[str], None]
Train = Callable[[Pipeline, Settings, Files, Pool, Path, Path], dict[str, BundleRef]]
"""Writes versions: of a pipeline, with whose keys (settings, and the last folder), from what, cut where, and where."""


@dataclass(slots=True)
class Scene:
    """What a proof plays on. `trails` is the folder where workers write what they do."""

    pipeline: Pipeline
    stack: Stack
    settings: Settings
    conf: dict[str, Any]
    pool: Pool
    refs: dict[str, BundleRef]
    trails: Path
    supervisor: Supervisor
    env: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return self.pipeline.spec.name

    def worker(self, slot: int) -> str:
        """The program of a slot."""
        return f"scorer-{self.pipeline.folder.name}-{slot}"

    def start(self, slot: int) -> None:
        """Start the traced worker of a slot; returns at once."""
        program = scorers(self._order(slot + 1))[slot]
        argv = tuple("tailrace.proof.worker" if word == "services.scorer.main" else word for word in program.argv)
        # A killed worker leaves its temporary folders behind: they go with the scene.
        env = {**program.env, "PROOF_TRAIL": str(self.trails), "TMPDIR": str(self.trails), **self.env}
        self.supervisor.start(replace(program, argv=argv, env=env))

    def wait_ready(self, *slots: int) -> None:
        """Wait until workers own partitions and have their model.

        Raises:
            UserError: one is not ready in time.
        """
        deadline = time.monotonic() + READY_S
        for slot in slots:
            while not self.ready(slot):
                if time.monotonic() > deadline:
                    log = self.stack.state.path / "workers" / f"{self.worker(slot)}.log"
                    said = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-3:])
                    raise UserError(
                        f"{self.worker(slot)} is not ready after {READY_S:g} s\n{said}", remedy=f"see {log}"
                    )
                time.sleep(0.1)

    def ready(self, slot: int) -> bool:
        """Whether the worker of a slot owns partitions and has its model."""
        status = next(s for s in self.supervisor.status() if s.name == self.worker(slot))
        return is_ready(status.address)

    def _order(self, workers: int) -> Order:
        return Order(self.pipeline.folder, self.stack.endpoints, self.stack.state.path, workers, self.stack.port)

    def start_others(self) -> None:
        """The services beside the scorer that this pipeline has, and the features that its records look up."""
        if not self.pipeline.spec.lookups:
            return
        programs = [*feature_writer(self._order(1)), *aggregates(self._order(1))]
        self.stack.start(*programs)
        publisher = KafkaPublisher(self.conf)
        for key, value in self.pool.features:
            publisher.send(topic(self.name, "features"), key, value, None, None)
        publisher.flush(60.0)
        deadline = time.monotonic() + READY_S
        while not all(is_ready(program.address) for program in programs) and time.monotonic() < deadline:
            time.sleep(0.1)


@contextmanager
def scene(
    where: Pipeline, guarantee: str, home: Path, *, records: int, say: Say,
    also: Sequence[str] = (), changes: Mapping[str, Any] | None = None, train: Train | None = None,
) -> Iterator[Scene]:  # fmt: skip
    """Build the scene in an empty folder, and stop everything afterwards.

    Args:
        where: the pipeline that is copied.
        guarantee: of its delivery.
        home: an empty folder.
        records: how many of the history the pool has.
        say: told of progress.
        also: parts of the stack beside broker and cache.
        changes: sections of the pipeline file, laid over what it says.
        train: makes the versions, the first of which is announced; None: two of different ages.

    Raises:
        UserError: a part could not be prepared.
    """
    pipeline = _copied(where, guarantee, home, changes or {})
    spec = pipeline.spec
    found = history_files(where, cache_folder(), say=say)
    files = Files(found.records, found.features, found.labels)
    pool = take_pool(spec, files, records)
    parts = ("kafka", *(("redis",) if spec.lookups else ()), *also)
    with Stack(home / "stack", parts=parts, say=say) as stack:
        settings = _settings(stack)
        conf = client_config(settings.kafka, read_secret)
        ensure_topics(KafkaAdmin(conf), spec)
        say("training versions")
        refs = (train or _train)(pipeline, settings, files, pool, home, stack.state.path)
        with announcing(spec, settings, SystemClock()) as announce:
            announce(refs[VERSIONS[0]])
        trails = home / "trails"
        trails.mkdir()
        with Supervisor(stack.state.path / "workers", backoff=_BACKOFF) as supervisor:
            yield Scene(pipeline, stack, settings, conf, pool, refs, trails, supervisor)


def _settings(stack: Stack) -> Settings:
    """Those of the environment; our own clients say nothing of a broker that is away by design."""
    settings, _ = load_settings({**os.environ, **stack.endpoints.env()})
    client = {**settings.kafka.client, "log_level": "2"}
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, client=client))


def announce_second(scene_: Scene) -> str:
    """Announce the second version; it is not in force yet."""
    with announcing(scene_.pipeline.spec, scene_.settings, SystemClock()) as announce:
        announce(scene_.refs[VERSIONS[1]])
    return VERSIONS[1]


def _copied(where: Pipeline, guarantee: str, home: Path, changes: Mapping[str, Any]) -> Pipeline:
    """The same pipeline in a folder of its own, with the guarantee and the changes that are asked for."""
    folder = home / where.folder.name
    shutil.copytree(where.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    tree = read_tree(where.folder / "pipeline.yaml")
    tree["delivery"] = {**tree.get("delivery", {}), "guarantee": guarantee}
    for section, said in changes.items():
        tree[section] = {**tree.get(section, {}), **said}
    (folder / "pipeline.yaml").write_text(msgspec.json.encode(tree).decode(), encoding="utf-8")
    return load_pipeline(folder)


def _train(
    pipeline: Pipeline, settings: Settings, files: Files, pool: Pool, home: Path, state: Path
) -> dict[str, BundleRef]:
    """The first version has learned of two thirds of what the second one has, where that is enough to learn from."""
    spec = pipeline.spec
    make_keys(signing_key(settings.models, state), public_key(settings.models, state))
    sign, codec = Signer(signing_key(settings.models, state)).sign, RecordCodec(spec)
    refs = {}
    for version, until in zip(VERSIONS, (pool.older, pool.start), strict=True):
        try:
            content = _learnt(spec, codec, files, until)
        except DataRefused:
            content = _learnt(spec, codec, files, pool.start)
        refs[version] = write_bundle(content, version, home / "bundles" / version, sign)
    return refs


def _learnt(spec: PipelineSpec, codec: RecordCodec, files: Files, until: int) -> Content:
    data = load_dataset(spec, codec, files, until=until, progress=lambda _: None)
    return learn(spec, codec, data, lambda _: None).content
