"""A topic of one partition, read from an offset to its end as of now: in order, without a gap, without a group."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.kafka.reasons import FORBIDDEN, RIGHTS, Reasons
from shared.core.errors import Unavailable

Entry = tuple[int, bytes, bytes]
"""Offset, key and value."""
_MANY = 1_000
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})  # noqa: SLF001 - public codes
_END = KafkaError._PARTITION_EOF  # noqa: SLF001 - the same


class LogReader:
    """Reads what is committed of a topic with one partition.

    Nothing is remembered between two calls but the connection: who asks says from where. So what is given is whole by
    construction, whatever happened before, and nothing is fetched that nobody asked for.

    Args:
        conf: connection settings of the client.
        topic: the topic.
        timeout: s within which something must come, or the end.
        bad: told of errors of the client; the reader goes on.
    """

    def __init__(
        self, conf: Mapping[str, Any], topic: str, timeout: float, bad: Callable[[str], None] = lambda _: None
    ) -> None:
        self._topic, self._timeout, self._bad = topic, timeout, bad
        self._reasons = Reasons(conf)
        own = {
            "group.id": "tailrace-log",  # the client wants one; it is never joined and nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",  # what has been deleted by now is gone
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
        self._consumer = Consumer({**own, **conf, "error_cb": self._reasons.heard})

    def since(self, offset: int) -> Iterator[list[Entry]]:
        """What can be read from this offset on, up to the end as of this call or later; in pieces, none empty.

        The end is where the broker has nothing more to give: markers and what was aborted are passed, and what stands
        behind an open transaction is not waited for. Messages without a value are left out.

        Raises:
            Unavailable: the broker does not answer in time, or lacks the topic, or the right to read it.
        """
        self._consumer.assign([TopicPartition(self._topic, 0, offset)])
        try:
            ended, deadline = False, time.monotonic() + self._timeout
            while not ended:
                found = self._consumer.consume(_MANY, 0.1)
                ends = [self._is_end(message) for message in found]
                ended = any(ends)
                entries = [entry for message in found for entry in _entries(message)]
                if entries:
                    yield entries
                    deadline = time.monotonic() + self._timeout
                elif not ended and (self._reasons.hopeless() or time.monotonic() > deadline):
                    raise self._late()
        except KafkaException as error:
            raise Unavailable(f"kafka: {self._topic}: {error.args[0].str()}") from error
        finally:
            self._consumer.unassign()
        self._reasons.forget()

    def close(self) -> None:
        """Let the client go."""
        self._consumer.close()

    def _is_end(self, message: Message) -> bool:
        """Whether this is the end.

        Raises:
            Unavailable: it is an error that no waiting mends.
        """
        error = message.error()
        if error is None or error.code() == _END:
            return error is not None
        if error.code() in FORBIDDEN:
            raise Unavailable(f"topic {self._topic}: {error.str()}; {RIGHTS}")
        if error.code() in _UNKNOWN:
            raise Unavailable(f"topic {self._topic}: {error.str()}; run `tailrace topics apply PIPELINE`")
        self._bad(error.str())
        return False

    def _late(self) -> Unavailable:
        said = f"{self._topic} could not be read to its end: nothing came for {self._timeout:g} s"
        code = KafkaError._TIMED_OUT  # noqa: SLF001 - a public code
        return Unavailable(str(self._reasons.error(said, code, self._timeout)))


def _entries(message: Message) -> Iterator[Entry]:
    offset, value = message.offset(), message.value()
    if message.error() is None and offset is not None and value is not None:
        yield offset, _bytes(message.key()), _bytes(value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
