"""A topic of one partition, read from an offset to its end as of now: in order, without a gap, without a group."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.kafka.reasons import RIGHTS, Reasons
from shared.core.errors import Unavailable

Entry = tuple[int, bytes, bytes]
"""Offset, key and value."""
_MANY = 1_000
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})  # noqa: SLF001 - public codes
_FORBIDDEN = KafkaError.TOPIC_AUTHORIZATION_FAILED
_NO_MATTER = KafkaError.GROUP_AUTHORIZATION_FAILED  # the group is never joined, and needs no right
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
        self._refused: KafkaError | None = None
        own = {
            "group.id": "tailrace-log",  # the client wants one; it is never joined and nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",  # what has been deleted by now is gone
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "topic.metadata.propagation.max.ms": int(timeout * 250),  # a topic that is not there is said in time
        }
        self._consumer = Consumer({**own, **conf, "error_cb": self._heard})

    def since(self, offset: int) -> Iterator[list[Entry]]:
        """What can be read from this offset on, up to the end as of this call or later; in pieces, none empty.

        The end is where the broker has nothing more to give: markers and what was aborted are passed, and what stands
        behind an open transaction is not waited for. Messages without a value are left out.

        Raises:
            Unavailable: the broker does not answer in time, or lacks the topic, or the right to read it.
        """
        self._refused = None
        self._consumer.assign([TopicPartition(self._topic, 0, offset)])
        try:
            ended, deadline = False, time.monotonic() + self._timeout
            while not ended:
                found = self._consumer.consume(_MANY, 0.1)
                ends = [self._is_end(message) for message in found]
                if self._refused is not None:
                    raise self._refusal(self._refused)
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
        error = message.error()
        if error is not None and error.code() != _END:
            self._heard(error)
            self._bad(error.str())
        return error is not None and error.code() == _END

    def _heard(self, error: KafkaError) -> None:
        """An error of the client; it calls this, too. What concerns the topic is not mended by waiting."""
        if error.code() == _FORBIDDEN or error.code() in _UNKNOWN:
            self._refused = error
        elif error.code() != _NO_MATTER:
            self._reasons.heard(error)

    def _refusal(self, error: KafkaError) -> Unavailable:
        remedy = RIGHTS if error.code() == _FORBIDDEN else "run `tailrace topics apply PIPELINE`"
        return Unavailable(f"topic {self._topic}: {error.str()}; {remedy}")

    def _late(self) -> Unavailable:
        said = f"{self._topic} could not be read to its end: nothing came for {self._timeout:g} s"
        code = KafkaError.NO_ERROR  # of the call itself nothing is known but that it took too long
        return Unavailable(
            str(self._reasons.error(said, code, self._timeout)) if self._reasons.explains(code) else f"kafka: {said}"
        )


def _entries(message: Message) -> Iterator[Entry]:
    offset, value = message.offset(), message.value()
    if message.error() is None and offset is not None and value is not None:
        yield offset, _bytes(message.key()), _bytes(value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
