"""No personal value leaves the scorer: not in a prediction, an observation, a dead letter, a header, a key."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scorer.step import ScorerStep, Scoring
from shared.core.bundle import Column
from shared.core.codec import RecordCodec
from shared.core.deadletter import dead_letters
from shared.core.features import FeatureBuilder
from shared.core.metrics import NullMetrics
from shared.core.pipeline import PrivacySpec
from shared.core.ports import Block, Found, Part, Reject
from shared.core.privacy import Redactor
from shared.core.records import Headers, Position
from shared.core.scoring import Version
from shared.runtime.isolate import isolate
from shared.testing.log import MemoryMessage
from tests.support.spec import make_spec

SECRET = b"0123456789abcdef"
FIELDS = {
    "id": {"type": "string"},
    "person": {"type": "string"},
    "at": {"type": "timestamp"},
    "weight": {"type": "number"},
    "phone": {"type": "string", "required": False},
    "email": {"type": "string", "required": False, "nullable": True},
}
SPEC = make_spec(
    record={"id": "id", "key": "person", "event_time": "at", "fields": FIELDS},
    features=[{"name": "weight"}],
    lookups={},
    privacy={"drop": ["phone"], "hash": ["id", "person", "email"]},
)
CODEC = RecordCodec(SPEC)
REDACTOR = Redactor(SPEC.privacy, SPEC.record, SECRET)
# Long enough that no other text of an output contains one by chance; each may break the step, or the record.
NAMES = st.text(st.sampled_from('ZQ"\\é\n😀x'), min_size=6, max_size=9).map(lambda t: "Jane" + t)


class Lookups:
    """No groups."""

    def get_many(self, entities: Mapping[str, Sequence[str | None]], times: Sequence[int]) -> Found:
        """Nothing."""
        del entities, times
        return Found()


class Tracer:
    """Carries what it is given."""

    def batch(
        self, name: str, *, destination: str, links: Sequence[str], attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[None]:
        """Nothing."""
        del name, destination, links, attributes
        return nullcontext()

    def passes(self, traceparent: bytes) -> bool:
        """Always."""
        del traceparent
        return True

    def pass_all(self, traceparents: Sequence[bytes | None]) -> bool:
        """Always."""
        del traceparents
        return True

    def carry(self, traceparent: str | None) -> str | None:
        """The same."""
        return traceparent


class Half:
    """A model that says 0.5, or quotes what it should not where the weight is 13."""

    def predict(self, matrix: Any) -> Any:
        """Probabilities."""
        if (matrix == 13).any():
            raise ValueError("Jane said it")
        return np.full((len(matrix), 2), 0.5)


STEP = ScorerStep(
    SPEC,
    CODEC,
    Lookups(),
    lambda epoch: Scoring(
        Version(epoch, "v1", "d" * 64, ("on_time", "late"), 0.5),
        FeatureBuilder(SPEC, CODEC, [Column("weight", "numeric")]),
        Half(),
    ),
    REDACTOR,
    ("predictions", "journal"),
    NullMetrics(),
    Tracer(),
)


def everything(blocks: Sequence[Block]) -> bytes:
    """All bytes of keys, values and headers."""
    parts: list[bytes] = []
    for block in blocks:
        parts += [part for part in [*block.keys, *block.values] if part is not None]
        parts += [name.encode() + b"=" + (value or b"") for row in block.headers or () for name, value in row or ()]
    return b"\n".join(parts)


def written(value: bytes, key: bytes | None) -> Sequence[Block]:
    """What leaves the scorer of one record, in its own headers and all."""
    headers: Headers = [
        ("x-name", b"Jane in a header"),
        ("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),
    ]
    message = MemoryMessage(Position("parcels.records", 0, 0), key, value, headers, 1_357_000_000_000)
    result = isolate(STEP, Part([message], [headers], 1))
    letters = (
        [dead_letters("parcels.records.dlq", "parcels.records", result.rejects, REDACTOR.body)]
        if result.rejects
        else []
    )
    return [*result.blocks, *letters]


@settings(max_examples=300, deadline=None)
@given(
    person=NAMES, identity=NAMES, phone=NAMES, email=st.none() | NAMES,
    weight=st.sampled_from([1, 13, 1e300, "Jane as a weight", None]),
    damage=st.sampled_from(["", "truncated", "twice"]),
    keyed=st.booleans(),
)  # fmt: skip
def test_no_personal_value_leaves(
    person: str, identity: str, phone: str, email: str | None, weight: object, damage: str, *, keyed: bool
) -> None:
    """Scored, refused, poisonous, truncated or doubled: none of the four values is in any byte that is written."""
    tree = {"id": identity, "person": person, "at": 1_357_000_000_000, "weight": 1 if weight is None else weight}
    tree |= {"phone": phone, "email": email}
    if isinstance(weight, str):
        tree["weight"], tree["phone"] = [1], weight
    value = msgspec.json.encode(tree)
    value = value[: -len(value) // 3] if damage == "truncated" else value
    value = b'{"person":"Jane twice",' + value[1:] if damage == "twice" else value
    blocks = written(value, person.encode() if keyed else None)
    assert blocks, "every record has an outcome"
    assert b"Jane" not in everything(blocks)


def test_pseudonyms_join_what_belongs_together() -> None:
    """The same person is the same pseudonym in prediction, observation and letter; under another key another one."""
    tree = {"id": "r1", "person": "Jane", "at": 1_357_000_000_000, "weight": 1.0, "phone": "1", "email": None}
    predictions, journal = written(msgspec.json.encode(tree), b"Jane")
    name = REDACTOR.pseudonym("Jane")
    assert (predictions.keys, journal.keys) == ([name.encode()], [name.encode()])
    observed = msgspec.json.decode(journal.values[0] or b"")
    assert observed["record"] == {
        "id": REDACTOR.pseudonym("r1"), "person": name, "at": 1_357_000_000_000, "weight": 1.0, "email": None,
    }  # fmt: skip
    assert observed["prediction"] == msgspec.json.decode(predictions.values[0] or b"")
    assert name != Redactor(SPEC.privacy, SPEC.record, b"another key 1234").pseudonym("Jane")


@pytest.mark.parametrize("secret", [b"", b"x" * 15, b"x" * 65], ids=len)
def test_key_of_the_hash_has_a_length(secret: bytes) -> None:
    """Too short could be guessed, too long the hash does not take."""
    with pytest.raises(ValueError, match="16 to 64 bytes"):
        Redactor(SPEC.privacy, SPEC.record, secret)


def test_no_key_is_needed_where_nothing_is_hashed() -> None:
    """Dropping needs no secret; with nothing declared the redactor is idle."""
    assert Redactor(PrivacySpec(drop=("phone",)), SPEC.record).active
    assert not Redactor(PrivacySpec(), SPEC.record).active


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[1]", b'"Jane"', b"[" * 100_000, b'{"a":"\xff"}', b"null"], ids=lambda v: str(v[:8])
)
def test_what_cannot_be_taken_apart_does_not_leave(value: bytes) -> None:
    """A body that is no object is withheld whole."""
    assert REDACTOR.body(value) is None


def test_reject_without_a_body_keeps_its_reason() -> None:
    """The letter of a null record says so, with personal fields as without."""
    message = MemoryMessage(Position("in", 0, 0), b"Jane", None)
    block = dead_letters("dlq", "in", [Reject(message, "empty")], REDACTOR.body)
    assert (block.keys, block.values) == ([None], [None])
