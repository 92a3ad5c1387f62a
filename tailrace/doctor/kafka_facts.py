"""What the doctor reads of one pipeline on Kafka. It joins no group and writes nothing; each function ends in time."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka.admin import KafkaAdmin
from shared.adapters.kafka.table import TableReader
from shared.core.deadletter import REASON
from shared.core.errors import Unavailable
from shared.core.pipeline import PipelineSpec
from shared.core.records import Heartbeat, Note, Rollout
from shared.core.topic_plan import ActualTopic
from shared.core.topics import TopicName, topic, wanted
from shared.runtime.follow import RolloutFollower
from tailrace.doctor.facts import Letters, Pinned

CALL_S = 3.0  # for one call
YOUNG_S = 8.0  # until a young broker has a coordinator for a group that it is asked of for the first time
READ_S = 2.0  # for reading messages
HOUR_MS = 3_600_000
TAIL = 5_000  # heartbeats that are read at most
MANY = 5_000  # dead letters that are read at most
PINNABLE: tuple[TopicName, ...] = ("records", "predictions", "journal", "records.dlq")
Place = tuple[str, int]
# A young broker makes the topic of groups when it is first asked for one.
_MOVING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class Lookout:
    """Asks a broker about one pipeline.

    Args:
        conf: connection settings of the client.
        spec: the pipeline.
    """

    def __init__(self, conf: Mapping[str, Any], spec: PipelineSpec) -> None:
        self._conf, self._spec = conf, spec
        self._admin = KafkaAdmin(conf, timeout=CALL_S)
        self._group = f"tailrace.{spec.name}.scorer"
        self._records = topic(spec.name, "records")

    def topics(self) -> dict[str, ActualTopic]:
        """The pipeline's topics that exist."""
        return self._admin.topics([want.name for want in wanted(self._spec)])

    def rollouts(self) -> tuple[Rollout, ...]:
        """Every epoch in `models`."""
        reader = TableReader(self._conf, topic(self._spec.name, "models"), CALL_S)
        try:
            return tuple(RolloutFollower(reader, self._spec.name, lambda _: None).refresh(True))
        finally:
            reader.close()

    def beats(self) -> list[tuple[int, Heartbeat]]:
        """The newest heartbeats, oldest first, and when (ms) the broker appended each."""
        found: list[tuple[int, Heartbeat]] = []
        with self._reader() as reader:
            name = topic(self._spec.name, "workers")
            start, end = _marks(reader, name, 0)
            for message in _read(reader, {(name, 0): max(start, end - TAIL)}, {(name, 0): end}):
                try:
                    said = msgspec.json.decode(message.value() or b"", type=Heartbeat)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue  # whoever writes nonsense there is no worker
                found.append((message.timestamp()[1], said))
        return found

    def committed(self) -> dict[int, tuple[int, Note]]:
        """Where the scorers' group stands, with its notes; partitions without a commit are left out.

        A consumer that never joins is asked: librdkafka's admin client ends the process with a segmentation fault when
        the group's coordinator answers that it is none, as a young broker's does (librdkafka issue 5040).
        """
        asked = [TopicPartition(self._records, p) for p in range(self._spec.partitions)]
        # Under read_committed the broker answers only once no transaction has offsets pending.
        with self._reader(isolation="read_uncommitted", group=self._group) as reader:
            answers = reader.committed(asked, timeout=CALL_S)
        return {a.partition: (a.offset, _note(a.metadata or "")) for a in answers if a.error is None and a.offset >= 0}

    def ends(self) -> dict[int, int]:
        """The high watermark of each partition of `records`."""
        return self._admin.offsets(self._records, range(self._spec.partitions), "end")

    def waiting(self, committed: Mapping[int, int]) -> dict[int, int]:
        """When (ms) the first record beyond each of these offsets was appended; partitions without one are left out.

        Positions stop before transaction markers, so only a record that is really there counts as waiting.
        """
        with self._reader() as reader:
            return {
                p: at for (_, p), at in _firsts(reader, {(self._records, p): o for p, o in committed.items()}).items()
            }

    def pinned(self) -> tuple[Pinned, ...]:
        """Partitions whose last stable offset lies below their end, since the record there was appended."""
        places: dict[Place, int] = {}
        for name in PINNABLE:
            full, partitions = topic(self._spec.name, name), range(self._spec.partitions)
            stable, ends = self._admin.offsets(full, partitions, "stable"), self._admin.offsets(full, partitions, "end")
            places |= {(full, p): stable[p] for p in partitions if stable[p] < ends[p]}
        if not places:
            return ()
        with self._reader(isolation="read_uncommitted") as reader:
            found = _firsts(reader, places)
        return tuple(Pinned(name, p, places[name, p], at) for (name, p), at in found.items())

    def members(self) -> dict[str, int]:
        """How many members of the scorers' group have each client id."""
        admin = AdminClient({"log_level": 2, **self._conf})
        deadline = time.monotonic() + YOUNG_S
        while True:
            asked = admin.describe_consumer_groups([self._group], request_timeout=CALL_S)
            try:
                return dict(Counter(member.client_id for member in asked[self._group].result(CALL_S + 1).members))
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.GROUP_ID_NOT_FOUND:
                    return {}
                if code not in _MOVING or time.monotonic() > deadline:
                    raise Unavailable(f"{error.args[0].name()}: the group has no coordinator") from None
            time.sleep(0.2)

    def letters(self, now: int) -> Letters:
        """Records and dead letters of the last hour before `now` (ms)."""
        dead = topic(self._spec.name, "records.dlq")
        reasons: Counter[str] = Counter()
        with self._reader() as reader:
            since = {name: _since(reader, name, self._spec.partitions, now - HOUR_MS) for name in (self._records, dead)}
            came = sum(end - start for start, end in since[self._records].values())
            begin = {
                (dead, p): max(start, end - MANY // self._spec.partitions) for p, (start, end) in since[dead].items()
            }
            for message in _read(reader, begin, {(dead, p): end for p, (_, end) in since[dead].items()}):
                reason = dict(message.headers() or []).get(REASON)
                reasons[reason.decode("utf-8", "replace") if isinstance(reason, bytes) else "unknown"] += 1
        return Letters(came, dict(reasons), all(begin[dead, p] == start for p, (start, _) in since[dead].items()))

    @contextmanager
    def _reader(self, isolation: str = "read_committed", group: str = "tailrace-doctor") -> Iterator[Consumer]:
        own = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        reader = Consumer(
            {**own, "isolation.level": isolation, "enable.partition.eof": True, "fetch.wait.max.ms": 10, "log_level": 2}
            | dict(self._conf)
        )
        try:
            yield reader
        except KafkaException as error:
            raise Unavailable(error.args[0].str()) from None
        finally:
            reader.close()


def _firsts(reader: Consumer, places: Mapping[Place, int]) -> dict[Place, int]:
    """When (ms) the first message at or after each place was appended, where there is one."""
    found: dict[Place, int] = {}
    for message in _take(reader, places, lambda _: True):
        found.setdefault((message.topic() or "", message.partition() or 0), message.timestamp()[1])
    return found


def _read(reader: Consumer, begin: Mapping[Place, int], ends: Mapping[Place, int]) -> Iterator[Message]:
    """Every message from these places to these ends."""
    begin = {place: at for place, at in begin.items() if at < ends[place]}

    def last(message: Message) -> bool:
        return (message.offset() or 0) + 1 >= ends[message.topic() or "", message.partition() or 0]

    return _take(reader, begin, last)


def _take(reader: Consumer, begin: Mapping[Place, int], last: Callable[[Message], bool]) -> Iterator[Message]:
    """Messages of each place until its last one, its end, or the time is up."""
    left, deadline = set(begin), time.monotonic() + READ_S
    reader.assign([TopicPartition(name, p, offset) for (name, p), offset in begin.items()])
    while left and time.monotonic() < deadline:
        for message in reader.consume(1_000, 0.05):
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is not None:
                left -= {place} if error.code() == KafkaError._PARTITION_EOF else set()  # noqa: SLF001 - a public code
            elif place in left:
                left -= {place} if last(message) else set()
                yield message


def _marks(reader: Consumer, name: str, partition: int) -> tuple[int, int]:
    marks = reader.get_watermark_offsets(TopicPartition(name, partition), timeout=CALL_S)
    if marks is None:
        raise Unavailable(f"no answer about the end of {name}")
    return marks


def _since(reader: Consumer, name: str, partitions: int, since: int) -> dict[int, tuple[int, int]]:
    """The first offset appended at or after `since` (ms), and the end, by partition."""
    asked = [TopicPartition(name, p, since) for p in range(partitions)]
    found = {}
    for answer in reader.offsets_for_times(asked, timeout=CALL_S):
        end = _marks(reader, name, answer.partition)[1]
        found[answer.partition] = (end if answer.offset in (OFFSET_END, -1) else answer.offset, end)
    return found


def _note(metadata: str) -> Note:
    try:
        return msgspec.json.decode(metadata, type=Note) if metadata else Note()
    except msgspec.DecodeError:
        return Note()
