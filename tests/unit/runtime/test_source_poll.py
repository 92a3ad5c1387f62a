"""A rebalance in the middle of gathering a batch: no record is given twice, none is left out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.adapters.kafka import source
from shared.core.records import Committed


class Record:
    """A message, by shape."""

    def __init__(self, partition: int, offset: int) -> None:
        self._partition, self._offset = partition, offset

    def partition(self) -> int:
        """Where."""
        return self._partition

    def offset(self) -> int:
        """Where in it."""
        return self._offset

    def error(self) -> None:
        """None."""

    def headers(self) -> None:
        """None."""


class Listener:
    """Hears nothing."""

    def assigned(self, positions: Mapping[int, Committed]) -> None:
        """See `Listener`."""

    def revoked(self, partitions: Sequence[int]) -> None:
        """See `Listener`."""

    def lost(self, partitions: Sequence[int]) -> None:
        """See `Listener`."""


class Client:
    """A consumer that does what its script says at each `consume`; everything is committed up to 10."""

    script: list[Callable[["Client"], list[Record]]]

    def __init__(self, conf: object) -> None:
        del conf
        self.calls: list[tuple[str, list[int]]] = []

    def subscribe(self, topics: object, **callbacks: Any) -> None:
        """Keep the callbacks."""
        del topics
        self.callbacks = callbacks

    def consume(self, n: int, wait: float) -> list[Record]:
        """The next line of the script."""
        del n, wait
        return self.script.pop(0)(self)

    def committed(self, parts: Sequence[TopicPartition], **_: object) -> list[TopicPartition]:
        """Ten, everywhere."""
        return [TopicPartition(p.topic, p.partition, 10) for p in parts]

    def consumer_group_metadata(self) -> object:
        """Something."""
        return object()

    def incremental_assign(self, parts: Sequence[TopicPartition]) -> None:
        """Note it."""
        self.calls.append(("assign", [p.partition for p in parts]))

    def incremental_unassign(self, parts: Sequence[TopicPartition]) -> None:
        """Note it."""
        self.calls.append(("unassign", [p.partition for p in parts]))

    def offsets_for_times(self, parts: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        """Note it; no broker answers."""
        self.calls.append(("ask", sorted(p.partition for p in parts)))
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"after {timeout} s"))

    def rebalance(self, kind: str, *partitions: int) -> None:
        """Call back, as the client does inside `consume`."""
        self.callbacks[kind](self, [TopicPartition("t", p) for p in partitions])


def assigned(client: Client) -> list[Record]:
    """Both partitions come, and the first record of one."""
    client.rebalance("on_assign", 1, 2)
    return [Record(2, 10)]


def polled(monkeypatch: pytest.MonkeyPatch, *script: Callable[[Client], list[Record]]) -> list[list[tuple[int, int]]]:
    """What two polls give."""
    monkeypatch.setattr(source, "Consumer", Client)
    Client.script = list(script)
    made = source.KafkaSource({}, topic="t", listener=Listener(), call_timeout=1.0, gap=lambda *_: None)
    batches = [made.poll(10, 0.01, 0.1) for _ in range(2)]
    return [[(m.partition(), m.offset()) for m in batch.messages] for batch in batches]


@pytest.mark.parametrize("kind", ["on_revoke", "on_lost"])
def test_a_partition_that_goes_and_comes_back_gives_its_record_once(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Its position is the committed one again, so the record in hand comes with the next batch, and only then."""

    def gone_and_back(client: Client) -> list[Record]:
        client.rebalance(kind, 2)
        client.rebalance("on_assign", 2)
        return []

    found = polled(monkeypatch, assigned, gone_and_back, lambda _: [Record(2, 10)], lambda _: [Record(2, 11)])
    assert found == [[], [(2, 10), (2, 11)]]


def test_a_record_stays_in_hand_when_another_partition_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own position is past it: it will not come again."""

    def other_gone(client: Client) -> list[Record]:
        client.rebalance("on_revoke", 1)
        return [Record(2, 11)]

    found = polled(monkeypatch, assigned, other_gone, lambda _: [], lambda _: [])
    assert found == [[(2, 10), (2, 11)], []]


def test_partitions_that_stay_are_asked_for_once_the_client_holds_them_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client does not wake up by itself; a broker that does not answer takes nothing away."""
    seen: list[Client] = []

    def others_go_and_come(client: Client) -> list[Record]:
        seen.append(client)
        client.rebalance("on_revoke", 1)
        client.rebalance("on_assign", 3)
        client.rebalance("on_assign")
        client.rebalance("on_lost", 2, 3)
        return []

    polled(monkeypatch, assigned, others_go_and_come, lambda _: [])
    assert [
        *(("assign", [1, 2]), ("unassign", [1]), ("ask", [2]), ("assign", [3]), ("ask", [2])),
        *(("assign", []), ("ask", [2, 3]), ("unassign", [2, 3])),
    ] == seen[0].calls
