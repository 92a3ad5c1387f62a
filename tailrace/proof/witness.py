"""A foreign witness: Kafka's own Java console consumer reads what we read, and must have read the same."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import msgspec

from tailrace.proof.tape import Row
from tailrace.stack.cache import cache_folder
from tailrace.stack.jars import provision
from tailrace.stack.kafka import installed, tool
from tailrace.stack.program import Program
from tailrace.stack.stack import Stack

_QUIET_MS = 8_000  # without a message for so long, it has read all
_TIMEOUT_S = 300.0
_CLASS = "org.apache.kafka.tools.consumer.ConsoleConsumer"
_PARTITION, _OFFSET = b"Partition:", b"Offset:"

Place = tuple[int, int]


class Testimony(msgspec.Struct, frozen=True):
    """How many messages the witness read of each topic, and in how many places it saw something else than we did."""

    client: str
    read: dict[str, int]
    different: int

    @property
    def ok(self) -> bool:
        """Whether it saw exactly what we saw."""
        return self.different == 0


class Witness:
    """The Java consumer, under the supervisor of a stack.

    Args:
        stack: with Kafka up.
        pipeline: whose topics.
    """

    def __init__(self, stack: Stack, pipeline: str) -> None:
        self._stack, self._pipeline = stack, pipeline
        self._jars = installed() or provision(cache_folder(), stack.supervisor, lambda _: None)

    @property
    def version(self) -> str:
        """Of the jars that broker and witness come from."""
        names = [path.stem.removeprefix("kafka-clients-") for path in self._jars.glob("kafka-clients-*.jar")]
        return names[0] if names else "unknown"

    def hear(self, topics: Sequence[str], ours: Sequence[Row]) -> Testimony:
        """Read topics (short names) to their ends under read_committed, and compare with what we have of them."""
        with ThreadPoolExecutor(len(topics)) as pool:
            heard = dict(zip(topics, pool.map(self._read, topics), strict=True))
        different = 0
        for topic in topics:
            mine = {(row.partition, row.offset): row.crc for row in ours if row.topic == topic}
            theirs = heard.get(topic, {})
            different += sum(1 for place in mine.keys() | theirs.keys() if mine.get(place) != theirs.get(place))
        client = f"{_CLASS.rpartition('.')[2]} {self.version}, read_committed"
        return Testimony(client, {topic: len(heard.get(topic, {})) for topic in topics}, different)

    def _read(self, topic: str) -> dict[Place, int]:
        shown = ("partition=true", "offset=true", "value=true", "key=false", "timestamp=false")
        wanted = (word for one in shown for word in ("--property", f"print.{one}"))  # in every Kafka 4
        argv = tool(
            self._jars, _CLASS, "--bootstrap-server", self._stack.endpoints.kafka,
            "--topic", f"{self._pipeline}.{topic}", "--from-beginning", "--isolation-level", "read_committed",
            "--timeout-ms", str(_QUIET_MS), *wanted,
        )  # fmt: skip
        ended = self._stack.supervisor.run(Program(f"witness-{topic}", argv, restart=False), _TIMEOUT_S)
        return parse(ended.log)


def parse(log: Path) -> dict[Place, int]:
    """What it printed: a checksum of the value by partition and offset. Lines of its own log are left out."""
    found = {}
    with log.open("rb") as file:
        for line in file:
            partition, offset, value = (*line.rstrip(b"\n").split(b"\t", 2), b"", b"")[:3]
            if partition.startswith(_PARTITION) and offset.startswith(_OFFSET):
                place = int(partition[len(_PARTITION) :]), int(offset[len(_OFFSET) :])
                found[place] = crc32(value)
    return found
