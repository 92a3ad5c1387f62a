"""What a bench stands on: one kind of pipeline on an open stack, with topics and model, and the programs over it."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.redis_features import RedisAddress, RedisWriter
from shared.core.errors import UserError
from shared.core.pipeline import PipelineSpec
from shared.core.records import BundleRef
from shared.core.topics import TopicName, WantedTopic, topic, wanted
from tailrace.bench.material import FEATURES, FIELDS, GROUP, Kind, Variant, make_model, updates, write_pipeline
from tailrace.bench.pin import on_core
from tailrace.bench.runner import Runner
from tailrace.stack.program import Program
from tailrace.stack.services import Order, scorers, shadow
from tailrace.stack.topics import ensure_topics

BARE_LOOP = Path(__file__).parents[2] / "benchmarks" / "bare_loop.py"
_LOOKUP_TIMEOUT_S = "5"  # of a look-up: one in time is measured, and none may fail, or the two would differ


@dataclass(frozen=True, slots=True)
class Side:
    """A program over the records, the group that it reads as, and the topics that it writes."""

    program: Program
    group: str
    predictions: str
    journal: str


@dataclass(frozen=True, slots=True)
class Ground:
    """One kind, prepared. `core` is where workers go, None for anywhere."""

    runner: Runner
    home: Path
    kind: Kind
    batch: int
    ref: BundleRef
    core: int | None

    @property
    def source(self) -> str:
        """The topic of records."""
        return topic(self.kind.name, "records")

    @property
    def predictions(self) -> str:
        """The topic that our workers answer in."""
        return topic(self.kind.name, "predictions")

    def ours(self, variant: Variant) -> Side:
        """Our worker."""
        (program,) = self.workers(variant, 1)
        return Side(on_core(program, self.core), self.group, self.predictions, topic(self.kind.name, "journal"))

    @property
    def group(self) -> str:
        """That of our workers."""
        return f"tailrace.{self.kind.name}.scorer"

    def shadow(self, variant: Variant) -> list[Program]:
        """The worker that scores the journal with a challenger, not pinned."""
        return shadow(self._order(variant, 1))

    def workers(self, variant: Variant, n: int) -> list[Program]:
        """Several of our workers, not pinned."""
        made = scorers(self._order(variant, n))
        return [replace(one, env={**one.env, "TAILRACE_REDIS__TIMEOUT": _LOOKUP_TIMEOUT_S}) for one in made]

    def bare(self, variant: Variant, gather: float = 0.05) -> Side:
        """The bare loop that does the same.

        Args:
            variant: what differs.
            gather: how long it waits for more than one record, s.

        Raises:
            UserError: this is no checkout.
        """
        if not BARE_LOOP.is_file():
            raise UserError(f"{BARE_LOOP} does not exist", remedy="run the bench from a checkout of the repository")
        target, journal = bare_topics(self.kind)
        job: dict[str, Any] = {
            "servers": self.runner.stack.endpoints.kafka,
            "source": self.source,
            "target": target,
            "model": str(self.home / self.kind.name / "bundle" / "model.onnx"),
            "features": list(FEATURES),
            "digest": self.ref.digest,
            "classes": ["no", "yes"],
            "positive": "yes",
            "batch": self.batch,
            "exactly_once": variant.guarantee == "exactly_once",
            "journal": journal if variant.sample else "",
            "gather": gather,
        }
        if self.kind.lookups:
            prefix = f"tailrace:{{{self.kind.name}}}:{GROUP}:"
            job |= {"redis": self.runner.stack.endpoints.redis, "prefix": prefix, "group": GROUP, "fields": FIELDS}
        argv = (sys.executable, str(BARE_LOOP), msgspec.json.encode(job).decode())
        return Side(on_core(Program("bare-loop", argv), self.core), f"{target}.bare", target, journal)

    def clear(self, *topics: str) -> None:
        """Delete all records of topics: the next run reads and writes anew."""
        client = AdminClient({"log_level": 2, **self.runner.conf})
        parts = [TopicPartition(name, p, OFFSET_END) for name in topics for p in range(self.kind.partitions)]
        for answer in client.delete_records(parts).values():
            answer.result(30)

    def _order(self, variant: Variant, n: int) -> Order:
        stack = self.runner.stack
        return Order(self._folder(variant), stack.endpoints, stack.state.path, n, stack.port)

    def _folder(self, variant: Variant) -> Path:
        folder = self.home / f"{self.kind.name}-{variant.guarantee}-{variant.sample:g}"
        return folder if folder.is_dir() else write_pipeline(self.home, variant, self.batch, self.kind).folder


def prepare(runner: Runner, home: Path, kind: Kind, batch: int, core: int | None, records: int = 0) -> Ground:
    """Make topics and model of a kind; where it looks features up, those of so many records.

    Raises:
        UserError: a part could not be made.
    """
    pipeline = write_pipeline(home, Variant("exactly_once", 0.0), batch, kind)
    ensure_topics(KafkaAdmin(runner.conf), pipeline.spec)
    names: tuple[TopicName, TopicName] = ("predictions", "journal")
    like = [_config(pipeline.spec, name) for name in names]
    made = [WantedTopic(name, kind.partitions, 1, config) for name, config in zip(bare_topics(kind), like, strict=True)]
    KafkaAdmin(runner.conf).create(made)
    (home / kind.name).mkdir()
    ref = make_model(pipeline, runner.settings, home / kind.name, runner.stack.state.path)
    if kind.lookups:
        writer = RedisWriter(RedisAddress(runner.stack.endpoints.redis), kind.name, pipeline.spec.lookups)
        writer.write(updates(records))
        writer.close()
    return Ground(runner, home, kind, batch, ref, core)


def bare_topics(kind: Kind) -> tuple[str, str]:
    """Where the bare loop writes predictions and observations."""
    return f"{kind.name}.bare", f"{kind.name}.bare.journal"


def _config(spec: PipelineSpec, name: TopicName) -> dict[str, str]:
    return next(want.config for want in wanted(spec) if want.name == topic(spec.name, name))
