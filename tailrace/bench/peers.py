"""`tailrace bench peers`: other frameworks beside our scorer and a bare loop, on one broker, over the same records."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.publisher import KafkaPublisher
from shared.core.errors import UserError
from shared.core.records import BundleRef
from shared.core.topics import WantedTopic, topic
from tailrace.bench.answers import At, Outcome, Said, outcome, read_outputs
from tailrace.bench.appended import ends, speed, watch
from tailrace.bench.material import FEATURES, NAME, PARTITIONS, VARIANTS, make_model, preload, write_pipeline
from tailrace.bench.peer_env import PEERS, PEERS_FOLDER, PROGRAM_NAME, WAYS, Peer, environment, locked, read_lock
from tailrace.bench.peer_result import OURS, Result, Row, ratios
from tailrace.bench.pin import on_core, pinned, placed
from tailrace.bench.runner import Runner
from tailrace.bench.scorer import BARE_LOOP, LARGEST
from tailrace.stack.cache import cache_folder
from tailrace.stack.endpoints import Endpoints
from tailrace.stack.jars import kafka_version
from tailrace.stack.program import Program
from tailrace.stack.services import Order, scorers
from tailrace.stack.stack import Stack, to_stderr
from tailrace.stack.supervisor import Supervisor
from tailrace.stack.topics import ensure_topics

BARE = "bare loop"
LEAST = 1_000  # records: fewer cannot be measured
SOURCE, TARGET = topic(NAME, "records"), topic(NAME, "predictions")
PLAIN = {"message.timestamp.type": "LogAppendTime"}
PACKAGES = ("confluent-kafka", "msgspec", "numpy", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Contender:
    """What is run: a program, the topics that it reads and writes, how many records, and what it says of itself."""

    name: str
    program: Program
    source: str
    target: str
    records: int
    version: str
    client: str
    guarantee: str


class Bench:
    """One bench on an open stack.

    Args:
        stack: with Kafka up.
        home: folder for what is made.
        records: how many to score in each run.
        core: where programs go, None for anywhere.
    """

    def __init__(self, stack: Stack, home: Path, records: int, core: int | None) -> None:
        self._stack, self._home, self._records, self._core = stack, home, records, core
        self._runner = Runner(stack)
        self._client = AdminClient({"log_level": 2, **self._runner.conf})
        self._batch = min(LARGEST, max(records // 10, 100))

    def run(self, pythons: Mapping[str, Path], peers: Sequence[Peer], not_run: dict[str, str]) -> Result:
        """Prepare, run everything, compare.

        Args:
            pythons: the interpreter by peer, of those that could be installed.
            peers: those that were asked for.
            not_run: why others do not run; those that fail here are added.

        Raises:
            UserError: the bare loop or our scorer did not run.
        """
        pipeline = write_pipeline(self._home, VARIANTS[0], self._batch)
        admin = KafkaAdmin(self._runner.conf)
        ensure_topics(admin, pipeline.spec)
        ref = make_model(pipeline, self._runner.settings, self._home, self._stack.state.path)
        contenders = [self._bare(ref), self._ours(pipeline.folder)]
        able = [peer for peer in peers if peer.name in pythons]
        contenders += [self._peer(peer, way, pythons[peer.name], ref) for peer in able for way in WAYS]
        made = {c.target for c in contenders} - {TARGET} | {c.source for c in contenders} - {SOURCE}
        admin.create([WantedTopic(name, PARTITIONS, 1, PLAIN) for name in sorted(made)])
        with_records = {c.source: c.records for c in contenders}
        sizes = [preload(KafkaPublisher(self._runner.conf), name, n) for name, n in with_records.items()]
        rows, expected = list[Row](), dict[At, Said]()
        for one in contenders:
            try:
                rows.append(self._row(one, expected))
            except UserError as error:
                if one.name in {BARE, OURS}:
                    raise
                not_run[one.name] = error.what
        return self._result(rows, sizes[0], not_run, peers)

    def _row(self, one: Contender, expected: dict[At, Said]) -> Row:
        """Run one; the first, the bare loop, says what is right."""
        to_stderr(f"running: {one.name}")
        supervisor, conf = self._stack.supervisor, self._runner.conf
        supervisor.start(on_core(one.program, self._core))
        try:
            pid = partial(_alive, supervisor, one.program.name)
            seen = partial(ends, self._client, one.target, PARTITIONS)
            watched = watch(pid, seen, one.records, 120.0 + one.records / 500)
        finally:
            supervisor.stop([one.program.name])
        outputs = read_outputs(conf, one.target, PARTITIONS)
        if one.name == BARE:
            expected.update(outputs.answers)
        right = {at: said for at, said in expected.items() if number(said.id) < one.records}
        if len(outputs.times) < LEAST:
            raise UserError(f"{one.name} wrote {len(outputs.times)} answers, too few to measure", remedy="see its log")
        took = speed(outputs.times, watched)
        return Row(
            name=one.name,
            version=one.version,
            client=one.client,
            guarantee=one.guarantee,
            records_per_s=round(took.n / max(took.seconds, 1e-3), 1),
            cpu_us_per_record=round(took.cpu / took.n * 1e6, 2),
            rss_mb=watched.rss_mb,
            n=took.n,
            outcome=outcome(outputs, right),
        )

    def _ours(self, folder: Path) -> Contender:
        stack = self._stack
        (program,) = scorers(Order(folder, stack.endpoints, stack.state.path, 1, stack.port))
        return Contender(
            OURS, program, SOURCE, TARGET, self._records, version("tailrace"), _client(), VARIANTS[0].guarantee
        )

    def _bare(self, ref: BundleRef) -> Contender:
        target = f"{NAME}.bare"
        job = {**job_of(self._stack.endpoints.kafka, self._home, ref.digest, SOURCE, target), "batch": self._batch}
        argv = (sys.executable, str(BARE_LOOP), msgspec.json.encode(job).decode())
        program = Program("bare-loop", argv)
        return Contender(BARE, program, SOURCE, target, self._records, "", _client(), "exactly_once")

    def _peer(self, peer: Peer, way: str, python: Path, ref: BundleRef) -> Contender:
        name, records = "-".join(filter(None, (peer.name, way))), max(int(self._records * peer.share), LEAST)
        target = f"{NAME}.{name}"
        source = SOURCE if records == self._records else f"{NAME}.first_{records}"
        job = {**job_of(self._stack.endpoints.kafka, self._home, ref.digest, source, target), "group": target}
        folder = self._home / "peers" / name
        folder.mkdir(parents=True)
        argv = (str(python), str(peer.folder / PROGRAM_NAME), msgspec.json.encode(job).decode(), way)
        env = {"PYTHONPATH": str(PEERS_FOLDER.parents[1]), "PYTHONUNBUFFERED": "1"}
        pins = locked(read_lock(peer))
        return Contender(
            peer.called(way),
            Program(name, argv, env=env, cwd=folder, restart=False),
            source,
            target,
            records,
            pins[peer.package],
            f"{peer.client} {pins[peer.client]}",
            peer.guarantee,
        )

    def _result(self, rows: list[Row], size: int, not_run: dict[str, str], peers: Sequence[Peer]) -> Result:
        found = ratios(rows, peers)
        once = Outcome(right=self._records, wrong=0, missing=0, duplicates=0, transactions=True)
        return Result(
            ok=not not_run and all(ratio.reached for ratio in found.values()) and rows[1].outcome == once,
            rows=rows,
            ratios=found,
            not_run=not_run,
            records=self._records,
            record_bytes=size,
            cores=os.cpu_count() or 1,
            load=round(os.getloadavg()[0], 2),
            note=placed(self._core),
            versions={name: version(name) for name in PACKAGES}
            | {"python": platform.python_version(), "kafka": kafka_version()},
        )


def job_of(servers: str, home: Path, digest: str, source: str, target: str) -> dict[str, Any]:
    """What every program is told; the bare loop's batch or a peer's group comes on top."""
    return {
        "servers": servers,
        "source": source,
        "target": target,
        "model": str(home / "bundle" / "model.onnx"),
        "features": list(FEATURES),
        "digest": digest,
        "classes": ["no", "yes"],
        "positive": "yes",
    }


def measure(folder: Path, records: int, names: Sequence[str] = (), *, pin: bool = True) -> Result:
    """Install the peers, run the bench on an embedded Kafka in this folder, and stop it.

    Args:
        folder: for all that is made, but for the environments, which stay in the cache.
        records: how many to score in each run.
        names: of peers; all when empty.
        pin: give each program in turn a core to itself.

    Raises:
        UserError: no such peer, or something could not be started; nothing is left running.
    """
    peers, pythons, not_run = chosen(names), dict[str, Path](), dict[str, str]()
    for peer in peers:
        try:
            pythons[peer.name] = environment(peer, cache_folder())
        except UserError as error:
            not_run[peer.title] = error.what
    with pinned(wish=pin) as core, Stack(folder / "state", parts=("kafka",), external=Endpoints()) as stack:
        return Bench(stack, folder, records, core).run(pythons, peers, not_run)


def chosen(names: Sequence[str]) -> Sequence[Peer]:
    """The peers of these names; all when there are none.

    Raises:
        UserError: no peer has such a name.
    """
    known = {peer.name: peer for peer in PEERS}
    for name in names:
        if name not in known:
            raise UserError(f"there is no peer {name}", remedy=f"one of {', '.join(known)}")
    return [known[name] for name in names] or PEERS


def number(record_id: str) -> int:
    """How many records were made before this one: ids are `r0`, `r1` and so on."""
    return int(record_id[1:])


def _client() -> str:
    return f"confluent-kafka {version('confluent-kafka')}"


def _alive(supervisor: Supervisor, name: str) -> int | None:
    status = next(one for one in supervisor.status() if one.name == name)
    if status.last_exit:
        last = status.log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise UserError(f"{name} ended ({status.last_exit}): {last[:200]}", remedy="run it again with --peer")
    return status.pid
