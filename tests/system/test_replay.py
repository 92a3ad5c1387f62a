"""The replay on a real broker: complete after interruptions, in order, and held back by what it must wait for."""

import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.ingest.replay.main import Options, replay
from services.ingest.replay.plan import Selection
from services.ingest.replay.terms import Hooks, Report
from shared.adapters.history import HistoryFiles, history_files
from shared.adapters.pipeline_yaml import Pipeline, load_pipeline
from shared.core.errors import UserError
from shared.core.records import Application, BundleRef, Rollout
from shared.runtime.settings import KafkaSettings
from tests.support.replay import write_csv
from tests.support.wait import until

ROWS, KEYS, MINUTE = 4_000, 40, 60_000
SHOP = Path(__file__).parents[1] / "support" / "shop.yaml"
RUN = """
import sys, typer
from shared.core.errors import UserError
from tailrace.cli.replay import register
app = typer.Typer()
register(app)
try:
    app()
except UserError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def shop(tmp_path: Path, kafka: str, topic_prefix: str) -> Pipeline:
    """A pipeline with topics of its own and a history of 4,000 records, one a minute, with labels 30 minutes later."""
    name = topic_prefix.replace("-", "_")
    (tmp_path / "pipeline.yaml").write_text(SHOP.read_text().replace("NAME", name))
    who = [f"k{n * 7 % KEYS}" for n in range(ROWS)]
    write_csv(
        tmp_path / "records.csv",
        [{"id": f"r{n}", "who": who[n], "at": n * MINUTE, "amount": n} for n in range(ROWS)],
    )
    write_csv(
        tmp_path / "labels.csv",
        [{"id": f"r{n}", "value": "yes", "time": (n + 30) * MINUTE} for n in range(ROWS)],
    )
    write_csv(
        tmp_path / "features.csv",
        [{"group": "past", "entity": f"k{n % KEYS}", "time": n * MINUTE, "values.mean": n} for n in range(0, ROWS, 30)],
    )
    topics = [f"{name}.{t}" for t in ("records", "features", "labels", "models", "rollouts")]
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics([NewTopic(t, 2, 1) for t in topics]).values():
        future.result(20)
    until(lambda: led(kafka, topics), "leaders of the new topics")
    return load_pipeline(tmp_path)


@pytest.fixture
def files(shop: Pipeline, tmp_path: Path) -> HistoryFiles:
    """Its history."""
    return history_files(shop, tmp_path)


def led(kafka: str, topics: list[str]) -> bool:
    """Whether every partition can be asked for its end."""
    asking = Consumer({"bootstrap.servers": kafka, "group.id": "asking"})
    try:
        for topic in topics:
            for number in (0, 1):
                asking.get_watermark_offsets(TopicPartition(topic, number), timeout=10, cached=False)
    except KafkaException:
        return False
    finally:
        asking.close()
    return True


def read(kafka: str, topic: str) -> list[Message]:
    """Everything in a topic, partition by partition."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "reader", "auto.offset.reset": "earliest"})
    messages: list[Message] = []
    try:
        for number in (0, 1):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            consumer.assign([TopicPartition(topic, number, low)])
            left = high - low
            while left > 0:
                got = consumer.consume(min(left, 5_000), 5)
                assert got, f"{left} messages of {topic} did not come"
                messages += got
                left -= len(got)
    finally:
        consumer.close()
    return messages


def first_seen(messages: list[Message]) -> dict[str, list[int]]:
    """Event times by key in the order of the log, each id counted where it came first."""
    seen: set[str] = set()
    times: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        row = msgspec.json.decode(message.value() or b"")
        if row["id"] not in seen:
            seen.add(row["id"])
            times[(message.key() or b"").decode()].append(row["at"])
    return times


def command(shop: Pipeline, kafka: str, *more: str) -> "subprocess.Popen[str]":
    """`tailrace replay` in a process of its own, at 2,000 records/s."""
    free = ("--no-wait-features", "--no-wait-labels", "--max-lag", "0")
    arguments = [str(shop.folder), "--rate", "2000", *free, "--json", *more]
    env = os.environ | {"TAILRACE_KAFKA__BOOTSTRAP_SERVERS": kafka, "TAILRACE_STATE": str(shop.folder / "state")}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def interrupt(process: "subprocess.Popen[str]", number: signal.Signals, kafka: str, topic: str, count: int) -> None:
    """Send a signal once so many messages stand in a topic, and progress of it was stored at least once."""
    asking = Consumer({"bootstrap.servers": kafka, "group.id": "asking"})

    def there() -> bool:
        marks = [asking.get_watermark_offsets(TopicPartition(topic, p), timeout=10, cached=False) for p in (0, 1)]
        return sum(high for _, high in marks) >= count

    try:
        until(there, f"{count} messages in {topic}", 60)
    finally:
        asking.close()
        process.send_signal(number)


def test_killed_and_resumed_every_record_is_there(kafka: str, shop: Pipeline) -> None:
    """After kill -9 in the middle, --resume leaves nothing out: at most a tail is there twice, order a key is kept."""
    name = shop.spec.name
    process = command(shop, kafka)
    interrupt(process, signal.SIGKILL, kafka, f"{name}.records", 2_500)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL

    out, err = command(shop, kafka, "--resume").communicate(timeout=60)

    report = msgspec.json.decode(out)
    messages = read(kafka, f"{name}.records")
    times = first_seen(messages)
    assert sum(map(len, times.values())) == ROWS
    assert all(t == sorted(t) for t in times.values())
    assert 0 < report["resumed_at"] < ROWS, err
    assert report["records"] == ROWS - report["resumed_at"]
    # What is there twice is what was sent after the last checkpoint, made once a second.
    assert len(messages) - ROWS <= 2 * 2_000


def test_after_ctrl_c_nothing_is_sent_twice(kafka: str, shop: Pipeline) -> None:
    """Ctrl-C ends with 130 once all is acknowledged and remembered; the rest follows exactly, labels included."""
    name = shop.spec.name
    process = command(shop, kafka)
    interrupt(process, signal.SIGINT, kafka, f"{name}.records", 500)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert msgspec.json.decode(out)["interrupted"]

    command(shop, kafka, "--resume").communicate(timeout=60)

    assert len(read(kafka, f"{name}.records")) == ROWS
    labels = [(m.key(), msgspec.json.decode(m.value() or b"")["id"]) for m in read(kafka, f"{name}.labels")]
    assert sorted(labels) == sorted((f"k{n * 7 % KEYS}".encode(), f"r{n}") for n in range(ROWS))
    features = read(kafka, f"{name}.features")
    assert len(features) == len(range(0, ROWS, 30))
    assert {m.key() for m in features} == {f"past:k{n % KEYS}".encode() for n in range(0, ROWS, 30)}


class Follower:
    """A consumer group that commits all that is there, twenty times a second, once it is started."""

    def __init__(self, kafka: str, group: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": kafka, "enable.auto.commit": False, "group.id": group})
        self._parts = [TopicPartition(topic, p) for p in (0, 1)]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._end.set()
        self._thread.join()
        self._consumer.close()

    def _follow(self) -> None:
        while not self._end.wait(0.05):
            ends = [
                TopicPartition(p.topic, p.partition, self._consumer.get_watermark_offsets(p, timeout=10)[1])
                for p in self._parts
            ]
            self._consumer.commit(offsets=ends, asynchronous=False)


def test_lag_and_features_hold_it_back(kafka: str, shop: Pipeline, files: HistoryFiles, tmp_path: Path) -> None:
    """No record before its features are written, no more than the bound before the scorer goes on, then all."""
    name = shop.spec.name
    writer = Follower(kafka, f"tailrace.{name}.features", f"{name}.features")
    scorer = Follower(kafka, f"tailrace.{name}.scorer", f"{name}.records")
    run = Run(
        shop, files, kafka, Options(state=tmp_path, max_lag=1_000, wait_labels=False, selection=Selection(lead_ms=0))
    )

    run.wait_for("feature messages still to write")
    before = len(read(kafka, f"{name}.records"))
    writer.start()
    run.wait_for("lags by")
    between = len(read(kafka, f"{name}.records"))
    scorer.start()
    report = run.result()
    writer.stop()
    scorer.stop()

    assert before == 0
    assert 1_000 < between <= 1_500
    assert report.records == len(read(kafka, f"{name}.records")) == ROWS


class Run:
    """A replay in a thread, with what it says it waits for."""

    def __init__(self, shop: Pipeline, files: HistoryFiles, kafka: str, options: Options) -> None:
        self._said: set[str] = set()
        self._reports: list[Report] = []
        hooks = Hooks(on_progress=lambda progress: self._said.add(progress.holding))
        settings = KafkaSettings(bootstrap_servers=kafka)
        self._thread = threading.Thread(
            target=lambda: self._reports.append(replay(shop.spec, files, settings, options, hooks=hooks)), daemon=True
        )
        self._thread.start()

    def wait_for(self, words: str) -> None:
        """Until it says that it waits for this."""
        until(lambda: any(words in said for said in self._said), words, 30)

    def result(self) -> Report:
        """Its report, once it has ended."""
        self._thread.join(60)
        return self._reports[0]


def test_lockstep_waits_for_a_rollout(kafka: str, shop: Pipeline, files: HistoryFiles, tmp_path: Path) -> None:
    """An epoch that one partition does not score with yet holds every record back, until `rollouts` says it does."""
    name = shop.spec.name
    producer = Producer({"bootstrap.servers": kafka})

    def post(topic: str, value: Rollout | Application) -> None:
        producer.produce(f"{name}.{topic}", msgspec.json.encode(value), b"k")
        assert producer.flush(10) == 0

    for epoch in (1, 2):
        post("models", Rollout(name, epoch, BundleRef(str(epoch), "file:///x", "d"), "active"))
    for partition, epoch in ((0, 1), (1, 1), (0, 2)):
        post("rollouts", Application(partition, epoch, epoch, "barrier", str(epoch), epoch))
    run = Run(
        shop, files, kafka, Options(state=tmp_path, max_lag=0, wait_features=False, wait_labels=False, lockstep=True)
    )

    run.wait_for("epoch 2 does not act yet in partition 1")
    before = read(kafka, f"{name}.records")
    post("rollouts", Application(1, 2, 2, "barrier", "2", 2))

    assert before == []
    assert run.result().records == ROWS


def test_a_missing_topic_is_named(kafka: str, shop: Pipeline, files: HistoryFiles, tmp_path: Path) -> None:
    """It says which topic is missing and how to make it, and leaves no half of a replay."""
    spec = msgspec.structs.replace(shop.spec, name="nowhere")
    with pytest.raises(UserError, match=r"topic nowhere\.records does not exist; .*topics apply"):
        replay(spec, files, KafkaSettings(bootstrap_servers=kafka), Options(state=tmp_path))
