"""The broker's own side: topics, configs, offsets, limits. Every call has an end; who does not answer is named."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # the package re-exports without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from shared.adapters.kafka.reasons import FORBIDDEN, RIGHTS, Reasons
from shared.core.errors import UserError
from shared.core.topic_plan import ActualTopic
from shared.core.topics import WantedTopic

T = TypeVar("T")
LIMITS = (
    "transaction.max.timeout.ms",
    "group.min.session.timeout.ms",
    "group.max.session.timeout.ms",
    "message.max.bytes",
    "offset.metadata.max.bytes",
)
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART,)
_SILENT = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE)  # noqa: SLF001 - librdkafka's public codes
_MOVING = (
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH,
)  # fmt: skip
_REFUSED = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL)  # noqa: SLF001 - the same
_SLICE_S = 0.1  # between two looks at why there is no answer yet


class _MovingError(UserError):
    """Who leads a partition has just changed: the same question has an answer in a moment."""


@dataclass(frozen=True, slots=True)
class Broker:
    """The cluster. `limits` has those of `LIMITS` that the broker names (ms and bytes)."""

    cluster_id: str
    brokers: int
    limits: Mapping[str, int]


class KafkaAdmin:
    """Asks and changes what a broker holds.

    Args:
        conf: from `client_config`.
        timeout: seconds for each call; then it ends in `UserError`.
    """

    def __init__(self, conf: Mapping[str, Any], *, timeout: float = 10.0) -> None:
        self._address = str(conf["bootstrap.servers"])
        self._timeout = timeout
        self._reasons = Reasons(conf)
        # Failures are raised with their reason; librdkafka would print each attempt besides.
        quiet = {"log_level": 2, "socket.connection.setup.timeout.ms": 3_000}
        self._settings: dict[str, Any] = {**quiet, **conf, "error_cb": self._reasons.heard}
        self._client = AdminClient(self._settings)

    def broker(self) -> Broker:
        """The cluster's id and the limits of one of its brokers.

        Raises:
            UserError: nothing answers, or it lets nobody in.
        """
        cluster = self._wait(self._client.describe_cluster(request_timeout=self._timeout), "the cluster")
        entries = self._configs([ConfigResource(ResourceType.BROKER, str(cluster.controller.id))])
        values = next(iter(entries.values()))
        limits = {name: int(values[name]) for name in LIMITS if values.get(name, "").lstrip("-").isdigit()}
        return Broker(cluster.cluster_id, len(cluster.nodes), limits)

    def topics(self, names: Sequence[str]) -> dict[str, ActualTopic]:
        """The named topics that exist, with every config value in force.

        Raises:
            UserError: nothing answers, or the topics may not be described.
        """
        asked = self._client.describe_topics(TopicCollection(list(names)), request_timeout=self._timeout)
        found = {name: self._unless(future, name, _MISSING) for name, future in asked.items()}
        there = {name: description for name, description in found.items() if description is not None}
        configs = self._configs([ConfigResource(ResourceType.TOPIC, name) for name in there]) if there else {}
        return {
            name: ActualTopic(
                partitions=len(topic.partitions),
                replication=min((len(part.replicas) for part in topic.partitions), default=0),
                config=configs.get(name, {}),
            )
            for name, topic in there.items()
        }

    def generation(self, name: str) -> str:
        """Eight digits of the topic's id: a topic that is deleted and made again has others.

        Raises:
            UserError: nothing answers, or there is no such topic.
        """
        asked = self._client.describe_topics(TopicCollection([name]), request_timeout=self._timeout)
        return f"{self._wait(asked[name], name).topic_id.get_most_significant_bits() & (2**64 - 1):016x}"[:8]

    def create(self, wanted: Sequence[WantedTopic]) -> None:
        """Create topics; one that came to be meanwhile is fine. Waits until all are really there.

        Raises:
            UserError: the broker refuses one (names it and why), or they are not there in time.
        """
        if not wanted:
            return
        new = [NewTopic(w.name, w.partitions, w.replication, config=w.config) for w in wanted]
        asked = self._client.create_topics(new, operation_timeout=self._timeout, request_timeout=self._timeout)
        for name, future in asked.items():
            self._unless(future, name, (KafkaError.TOPIC_ALREADY_EXISTS,))
        self.wait_for([w.name for w in wanted])

    def wait_for(self, names: Sequence[str]) -> None:
        """Return once every partition of the topics has a leader: right after a creation some have none.

        Raises:
            UserError: they are not there in time.
        """
        self._until(lambda: self._leaderless(names), "topics without a leader")

    def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set these config values of a topic and leave its others alone. Waits until they are in force.

        Raises:
            UserError: the broker refuses (says why).
        """
        operation = AlterConfigOpType.SET
        entries = [ConfigEntry(key, value, incremental_operation=operation) for key, value in config.items()]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        asked = self._client.incremental_alter_configs([resource], request_timeout=self._timeout)
        for future in asked.values():
            self._wait(future, name)
        # The answer comes from the controller; the brokers learn of it a moment later.
        self._until(lambda: self._differing(name, config), f"values of {name} that are not in force")

    def offsets(self, topic: str, partitions: Iterable[int], at: Literal["start", "end", "stable"]) -> dict[int, int]:
        """The first offset, the next one to be written, or the end as a read_committed reader sees it.

        Raises:
            UserError: nothing answers, or a partition does not exist.
        """
        deadline, wanted = time.monotonic() + self._timeout, list(partitions)
        while True:
            try:
                return self._offsets(topic, wanted, at)
            except _MovingError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_SLICE_S)  # the client asks who leads, and is told so in a moment

    def _offsets(self, topic: str, partitions: Iterable[int], at: Literal["start", "end", "stable"]) -> dict[int, int]:
        spec = OffsetSpec.earliest() if at == "start" else OffsetSpec.latest()  # type: ignore[no-untyped-call] # untyped there
        level = IsolationLevel.READ_COMMITTED if at == "stable" else IsolationLevel.READ_UNCOMMITTED
        wish = {TopicPartition(topic, partition): spec for partition in partitions}
        asked = self._client.list_offsets(wish, isolation_level=level, request_timeout=self._timeout)
        return {part.partition: self._wait(future, topic).offset for part, future in asked.items()}

    def committed(self, group: str, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, str]]:
        """A group's committed offsets with their metadata; a partition without one is left out.

        Raises:
            UserError: nothing answers.
        """
        # A consumer that never joins is asked: librdkafka's admin client ends the process with a segmentation fault
        # when the coordinator answers that it is none, as a young broker's does (issue 5040, seen with 2.15.1).
        consumer = Consumer({**self._settings, "group.id": group, "isolation.level": "read_uncommitted"})
        try:
            answers = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=self._timeout)
        except KafkaException as error:
            raise self._user_error(error.args[0], f"group {group}") from error
        finally:
            consumer.close()
        for answer in answers:
            if answer.error is not None:
                raise self._user_error(answer.error, f"group {group}")
        return {a.partition: (a.offset, a.metadata or "") for a in answers if a.offset >= 0}

    def _leaderless(self, names: Sequence[str]) -> list[str]:
        asked = self._client.describe_topics(TopicCollection(list(names)), request_timeout=self._timeout)
        found = {name: self._unless(future, name, _MISSING) for name, future in asked.items()}
        return [
            name
            for name, topic in found.items()
            if topic is None or not topic.partitions or any(part.leader is None for part in topic.partitions)
        ]

    def _differing(self, name: str, config: Mapping[str, str]) -> list[str]:
        now = self._configs([ConfigResource(ResourceType.TOPIC, name)])[name]
        return [key for key, value in config.items() if now.get(key) != value]

    def _until(self, rest: Callable[[], list[str]], what: str) -> None:
        deadline = time.monotonic() + self._timeout
        while waiting := rest():
            if time.monotonic() > deadline:
                said = f"Kafka at {self._address}: {what} after {self._timeout:g} s: {', '.join(waiting)}"
                raise UserError(said, remedy="look at the broker's log")
            time.sleep(0.05)

    def _configs(self, resources: list[ConfigResource]) -> dict[str, dict[str, str]]:
        asked = self._client.describe_configs(resources, request_timeout=self._timeout)
        answers = {resource.name: self._wait(future, resource.name) for resource, future in asked.items()}
        return {
            name: {k: e.value for k, e in entries.items() if e.value is not None} for name, entries in answers.items()
        }

    def _unless(self, future: Future[T], about: str, codes: tuple[int, ...]) -> T | None:
        """The answer, or None where the broker gave one of these codes."""
        deadline = time.monotonic() + self._timeout + 5.0
        while True:
            try:
                answer = future.result(_SLICE_S)
            except KafkaException as error:
                if error.args[0].code() in codes:
                    return None
                raise self._user_error(error.args[0], about) from None
            except TimeoutError:
                self._client.poll(0)  # serves the callback, which knows why a connection failed
                if self._reasons.hopeless() or time.monotonic() > deadline:
                    raise self._reasons.error("no answer", KafkaError._TIMED_OUT, self._timeout) from None  # noqa: SLF001 - a public code
            else:
                self._reasons.forget()
                return answer

    def _wait(self, future: Future[T], about: str) -> T:
        return cast("T", self._unless(future, about, ()))  # without codes every error is raised

    def _user_error(self, error: KafkaError, about: str) -> UserError:
        self._client.poll(0)  # the last word on the connection
        if error.code() in _SILENT + _REFUSED:
            return self._reasons.error(error.str(), error.code(), self._timeout)
        kind = _MovingError if error.code() in _MOVING else UserError
        return kind(f"Kafka at {self._address} refuses {about} ({error.str()})", remedy=_remedy(error))


def _remedy(error: KafkaError) -> str:
    if error.code() in FORBIDDEN:
        return RIGHTS
    if error.code() in _MOVING:
        return "try again in a moment: the partition's leader is changing"
    if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
        return "lower `replication` in the pipeline's file to the number of brokers"
    return "mend the pipeline's file, or the broker's configuration"
