"""`tailrace bench scorer`: the real worker and a bare loop over the same records, on a broker of their own."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.adapters.pipeline_yaml import Pipeline
from shared.core.errors import UserError
from shared.core.records import BundleRef
from shared.core.topics import WantedTopic, topic, wanted
from tailrace.bench.material import FEATURES, NAME, PARTITIONS, VARIANTS, Variant, make_model, preload, write_pipeline
from tailrace.bench.runner import Row, Runner
from tailrace.bench.same import differences, outputs
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.program import Program
from tailrace.stack.services import Order, scorers
from tailrace.stack.stack import Stack, to_stderr
from tailrace.stack.topics import ensure_topics

BARE = "bare loop, exactly_once"
BARE_LOOP = Path(__file__).parents[2] / "benchmarks" / "bare_loop.py"
SOURCE, TARGET, BARE_TARGET = topic(NAME, "records"), topic(NAME, "predictions"), f"{NAME}.bare"
GROUP, BARE_GROUP = f"tailrace.{NAME}.scorer", f"{BARE_TARGET}.bare"
PACKAGES = ("confluent-kafka", "msgspec", "numpy", "onnxruntime")
LARGEST = 10_000  # records of a batch: the default of a pipeline


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` prints. `ratios`: each row's records/s and CPU by those of the bare loop.

    `identical` counts the predictions that both wrote alike: bytes, headers, partition; `different` the others.
    """

    ok: bool
    rows: list[Row]
    ratios: dict[str, dict[str, float]]
    records: int
    record_bytes: int
    batch: int
    identical: int
    different: int
    cores: int
    load: float
    note: str
    versions: dict[str, str]


class Bench:
    """One bench on an open stack.

    Args:
        stack: with Kafka up.
        home: folder for what is made.
        records: how many to score in each run.
    """

    def __init__(self, stack: Stack, home: Path, records: int) -> None:
        self._stack, self._home, self._records = stack, home, records
        self._runner = Runner(stack)
        self._conf, self._admin = self._runner.conf, KafkaAdmin(self._runner.conf)
        self.batch = min(LARGEST, max(records // 10, 100))  # ten batches at least, or nothing could be measured

    def run(self) -> Result:
        """Prepare, run every row, compare.

        Raises:
            UserError: a part could not be started, or did not finish.
        """
        pipelines = {variant: write_pipeline(self._home, variant, self.batch) for variant in VARIANTS}
        first = pipelines[VARIANTS[0]]
        ensure_topics(self._admin, first.spec)
        self._admin.create([WantedTopic(BARE_TARGET, PARTITIONS, 1, self._topic_config(first))])
        ref = make_model(first, self._runner.settings, self._home, self._stack.state.path)
        size = preload(KafkaPublisher(self._conf), SOURCE, self._records)
        to_stderr(f"{self._records:,} records of {size} bytes are in the topic; batches of at most {self.batch:,}")
        rows = [self._bare(ref)]
        for variant, pipeline in pipelines.items():
            rows.append(self._ours(variant, pipeline))
            if variant == VARIANTS[0]:
                same, other = differences(*(outputs(self._conf, name) for name in (TARGET, BARE_TARGET)))
        return self._result(rows, size, same, other)

    def _ours(self, variant: Variant, pipeline: Pipeline) -> Row:
        stack = self._stack
        (program,) = scorers(Order(pipeline.folder, stack.endpoints, stack.state.path, 1, stack.port))
        return self._runner.row(variant.name, program, GROUP, SOURCE, self._records)

    def _bare(self, ref: BundleRef) -> Row:
        if not BARE_LOOP.is_file():
            raise UserError(f"{BARE_LOOP} does not exist", remedy="run the bench from a checkout of the repository")
        job = {
            "servers": self._stack.endpoints.kafka,
            "source": SOURCE,
            "target": BARE_TARGET,
            "model": str(self._home / "bundle" / "model.onnx"),
            "features": list(FEATURES),
            "digest": ref.digest,
            "classes": ["no", "yes"],
            "positive": "yes",
            "batch": self.batch,
        }
        argv = (sys.executable, str(BARE_LOOP), msgspec.json.encode(job).decode())
        return self._runner.row(BARE, Program("bare-loop", argv), BARE_GROUP, SOURCE, self._records)

    def _topic_config(self, pipeline: Pipeline) -> dict[str, str]:
        return next(dict(want.config) for want in wanted(pipeline.spec) if want.name == TARGET)

    def _result(self, rows: list[Row], size: int, same: int, other: int) -> Result:
        bare = rows[0]
        versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
        return Result(
            ok=other == 0 and same == self._records,
            rows=rows,
            ratios={
                row.name: {
                    "records_per_s": round(row.records_per_s / bare.records_per_s, 3),
                    "cpu_us_per_record": round(row.cpu_us_per_record / bare.cpu_us_per_record, 3),
                }
                for row in rows[1:]
            },
            records=self._records,
            record_bytes=size,
            batch=self.batch,
            identical=same,
            different=other,
            cores=os.cpu_count() or 1,
            load=round(os.getloadavg()[0], 2),
            note="broker, worker and whatever else ran shared these cores; the worker was not pinned to one",
            versions={**versions, "kafka": "4.3.1"},
        )


def measure(folder: Path, records: int) -> Result:
    """Run the bench on an embedded Kafka in this folder, and stop it.

    Raises:
        UserError: something could not be started; nothing is left running.
    """
    with Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        return Bench(stack, folder, records).run()


def table(result: Result) -> str:
    """The result, for a person."""
    lines = [f"{'':<36}{'records/s':>10}{'CPU us/record':>15}{'peak MB':>9}{'by bare loop':>22}"]
    for row in result.rows:
        ratio = result.ratios.get(row.name)
        beside = f"{ratio['records_per_s']:.2f} rate, {ratio['cpu_us_per_record']:.2f} CPU" if ratio else ""
        lines.append(
            f"{row.name:<36}{row.records_per_s:>10,.0f}{row.cpu_us_per_record:>15.2f}{row.rss_mb:>9.0f}{beside:>22}"
        )
    same = f"{result.identical:,} of {result.records:,} predictions are the same bytes in both"
    lines += [same, f"{result.cores} cores, load {result.load:g}; {result.note}"]
    return "\n".join(lines)
