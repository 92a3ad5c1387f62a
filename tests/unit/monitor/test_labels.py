"""The label router: what is refused and why, where the others go, and when idle partitions get a tick."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.labels.step import CONFIRM, LabelStep, letter_body
from shared.core.monitor_records import LabelEntry, Tick
from shared.core.partitioning import partition_of
from shared.core.pipeline import PrivacySpec
from shared.core.ports import Part, Result
from shared.core.privacy import Redactor
from shared.core.records import Headers
from shared.core.sampling import OBSERVED, sampled
from tests.support.journals import HOUR, T0, make

SECRET = b"0123456789abcdef"


@dataclass(frozen=True)
class Given:
    """One message of `labels`."""

    body: bytes | None
    at: tuple[int, int] = (0, 0)
    name: bytes | None = b"D1"

    def partition(self) -> int:
        """Where it stands."""
        return self.at[0]

    def offset(self) -> int:
        """Where it stands."""
        return self.at[1]

    def key(self) -> bytes | None:
        """The entity."""
        return self.name

    def value(self) -> bytes | None:
        """The label."""
        return self.body

    def headers(self) -> Headers | None:
        """None."""
        return None

    def timestamp(self) -> tuple[int, int]:
        """Log-append time."""
        return (1, T0 + 1)


def body(**changes: Any) -> bytes:
    """A good label, changed."""
    return json.dumps({"id": "r1", "value": "late", "time": T0} | changes).encode()


def router(task: str = "binary", privacy: PrivacySpec | None = None, sample: float = 1.0) -> LabelStep:
    """The step of one pipeline."""
    spec = make(task, sample=sample)
    return LabelStep(spec, Redactor(privacy or PrivacySpec(), spec.record, SECRET), "journal")


def run(step: LabelStep, messages: Sequence[Given]) -> Result:
    """One batch."""
    return step(Part(messages, [None] * len(messages), 0))


def entries(result: Result) -> list[tuple[bytes | None, int, LabelEntry | Tick]]:
    """What went to the journal: key, partition and entry."""
    return [
        (key, partition, msgspec.json.decode(value or b"", type=LabelEntry | Tick))
        for block in result.blocks
        for key, partition, value in zip(block.keys, block.partitions or (), block.values, strict=True)
    ]


BAD = {
    "null": (None, "empty"),
    "empty": (b"", "empty"),
    "no JSON": (b"{", "not_json"),
    "no object": (b"[]", "wrong_type"),
    "no value": (b'{"id":"r1","time":1}', "missing_field"),
    "a misspelt key": (body(revison=1), "unknown_field"),
    "a key twice": (body()[:-1] + b',"value":"on_time"}', "duplicate_key"),
    "a value that is null": (body(value=None), "wrong_type"),
    "a value that is a list": (body(value=["late"]), "wrong_type"),
    "a number for a class": (body(value=1), "wrong_type"),
    "an unknown class": (body(value="never"), "unknown_class"),
    "an id that is a number": (body(id=1), "wrong_type"),
    "an empty id": (body(id=""), "bad_id"),
    "a line break in the id": (body(id="a\nb"), "bad_id"),
    "an id that no record has": (body(id="a" * 257), "too_long"),
    "seconds for milliseconds": (body(time=T0 // 1000), "bad_event_time"),
    "microseconds for milliseconds": (body(time=T0 * 1000), "bad_event_time"),
    "a time that is text": (body(time="2026-01-01T00:00:00Z"), "wrong_type"),
    "a partition that is not there": (body(at=[4, 0]), "out_of_range"),
    "an offset before the first": (body(at=[0, -1]), "out_of_range"),
    "a locator of one number": (body(at=[0]), "wrong_type"),
    "a negative revision": (body(revision=-1), "out_of_range"),
    "a huge revision": (body(revision=2**31), "out_of_range"),
    "another schema": (body(v=2), "unknown_schema"),
    "too large": (body(id="a" * 9_000), "too_large"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_b34_a_bad_label_is_a_dead_letter(case: str) -> None:
    """Each with its reason; the good one beside it goes on."""
    value, reason = BAD[case]
    result = run(router(), [Given(value), Given(body(), (0, 1))])
    assert [reason] == [reject.reason for reject in result.rejects]
    assert ["r1"] == [entry.label.id for _, _, entry in entries(result) if isinstance(entry, LabelEntry)]


def test_without_a_key_a_label_needs_a_locator() -> None:
    """Nobody knows where its record is; with a locator the key may be missing."""
    result = run(router(), [Given(body(), name=None), Given(body(at=[2, 7]), (0, 1), name=None)])
    assert ["bad_key"] == [reject.reason for reject in result.rejects]
    assert [(None, 2)] == [(key, partition) for key, partition, _ in entries(result)]


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        ("binary", True, "late"), ("binary", False, "on_time"), ("binary", "on_time", "on_time"),
        ("multiclass", "early", "early"), ("multiclass", True, None),
        ("regression", 3, 3.0), ("regression", -1.5, -1.5), ("regression", True, None), ("regression", "3", None),
    ],
)  # fmt: skip
def test_a_value_is_the_classes_own_name_or_a_number(task: str, value: Any, expected: Any) -> None:
    """True and false are the positive class and the other; nothing else is converted."""
    result = run(router(task), [Given(body(value=value))])
    found = [entry.label.value for _, _, entry in entries(result) if isinstance(entry, LabelEntry)]
    assert ([] if expected is None else [expected]) == found


def test_a_label_goes_where_its_observation_is() -> None:
    """To the partition of its locator, else to that of its key; in the order in which labels came."""
    result = run(router(), [Given(body(at=[3, 1])), Given(body(id="r2"), (1, 5), name=b"D7")])
    first, second = entries(result)
    assert (b"D1", 3, (0, 0)) == (first[0], first[1], first[2].at if isinstance(first[2], LabelEntry) else None)
    assert (b"D7", partition_of(b"D7", 4), (1, 5)) == (
        second[0], second[1], second[2].at if isinstance(second[2], LabelEntry) else None,
    )  # fmt: skip


@given(st.binary(max_size=40), st.integers(1, 64))
def test_keys_belong_where_javas_producers_put_them(key: bytes, partitions: int) -> None:
    """The hash agrees with that of a client that agrees with Java's."""
    assert (murmur2(key) & 0x7FFFFFFF) % partitions == partition_of(key, partitions)


def test_what_the_sample_left_out_is_said_with_the_label() -> None:
    """By the record's own id, as the scorer decided it, whatever the id becomes on its way out."""
    step = router(privacy=PrivacySpec(hash=("id", "depot")), sample=0.5)
    names = [f"r{i}" for i in range(50)]
    made = entries(run(step, [Given(body(id=name), (0, i)) for i, name in enumerate(names)]))
    said = [entry.sampled for _, _, entry in made if isinstance(entry, LabelEntry)]
    assert [sampled(name, 0.5, OBSERVED) for name in names] == said


def test_personal_ids_and_keys_leave_as_pseudonyms() -> None:
    """The same ones as the scorer's, to the partition of the key itself; in dead letters too."""
    privacy = PrivacySpec(hash=("id", "depot"))
    redactor = Redactor(privacy, make().record, SECRET)
    ((key, partition, entry),) = entries(run(router(privacy=privacy), [Given(body())]))
    assert isinstance(entry, LabelEntry)
    assert (redactor.pseudonym("r1"), redactor.key(b"D1")) == (entry.label.id, key)
    assert partition_of(b"D1", 4) == partition
    letter = letter_body(redactor)
    assert {"id": redactor.pseudonym("r1"), "value": None} == json.loads(letter(b'{"id":"r1","value":null}'))
    assert letter(b"{") is letter(b"[]") is None
    keys_only = letter_body(Redactor(PrivacySpec(hash=("depot",)), make().record, SECRET))
    assert {"id": "r1"} == json.loads(keys_only(b'{"id":"r1"}'))


def ticks(result: Result) -> dict[int, int]:
    """The tick of each partition."""
    return {partition: entry.time for _, partition, entry in entries(result) if isinstance(entry, Tick)}


def test_f34_idle_partitions_get_a_tick() -> None:
    """Once eight labels have passed a moment, every partition that had none as new is told; and not again so soon."""
    step = router()
    times = [T0 + i * HOUR for i in range(CONFIRM)]
    batch = [Given(body(id=f"r{i}", time=time, at=[2, i]), (0, i)) for i, time in enumerate(times)]
    assert {0: T0, 1: T0, 3: T0} == ticks(run(step, batch))
    assert {} == ticks(run(step, [Given(body(at=[2, 9], time=T0 + 1_000), (0, CONFIRM))]))


def test_f34_labels_in_a_rush_leave_no_partition_behind() -> None:
    """Six hours of labels in one batch: a tick for each step that a silent partition lacks, the rest with the next."""
    step = router()
    run(step, [Given(body(id=f"r{i}", at=[2, i]), (0, i)) for i in range(CONFIRM)])
    late = [Given(body(id=f"q{i}", time=T0 + 6 * HOUR, at=[2, i]), (0, CONFIRM + i)) for i in range(2 * CONFIRM)]
    made = [
        [partition for _, partition, entry in entries(run(step, late[at : at + CONFIRM])) if isinstance(entry, Tick)]
        for at in (0, CONFIRM)
    ]
    assert [[0] * 16 + [1] * 16 + [3] * 16, [0] * 8 + [1] * 8 + [3] * 8] == made


def test_one_wrong_clock_moves_nobody() -> None:
    """A label that is a year ahead is an entry of its own partition, and no tick to the others."""
    step = router()
    batch = [Given(body(id=f"r{i}", at=[2, i]), (0, i)) for i in range(CONFIRM)]
    batch.append(Given(body(id="r9", time=T0 + 300 * 24 * HOUR, at=[2, 9]), (0, 9)))
    assert {T0} == set(ticks(run(step, batch)).values())


def test_a_batch_that_comes_again_ticks_again() -> None:
    """It was not committed, and neither were its ticks: both tries give the same."""
    step = router()
    batch = [Given(body(id=f"r{i}", at=[2, i]), (0, i)) for i in range(CONFIRM)]
    first = run(step, batch)
    assert ticks(first)
    assert first == run(step, batch)
