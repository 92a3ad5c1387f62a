"""Which answer is asked about: a locator, an id, or the newest of a key."""

import re
from dataclasses import dataclass

from shared.core.errors import UserError
from shared.core.partitioning import partition_of
from shared.core.pipeline import PipelineSpec
from shared.core.ports import Message
from shared.core.privacy import Redactor
from tailrace.why.entries import Head, head_of, words_of
from tailrace.why.locate import Wanted

_LOCATOR = re.compile(r"(?:(?P<topic>[A-Za-z0-9._-]+)?\[(?P<in>\d{1,9})\]|(?P<p>\d{1,9}))@(?P<offset>\d{1,18})")


@dataclass(frozen=True, slots=True)
class Locator:
    """A position in `records`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"records[{self.partition}]@{self.offset}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What to look for from the newest entry backwards, in one partition or in all (None)."""

    wanted: Wanted
    partition: int | None
    said: str

    def __str__(self) -> str:
        return self.said


def asked(which: str, key: str, spec: PipelineSpec, secret: bytes) -> Locator | Scan:
    """Understand what the user gave.

    Args:
        which: a locator such as `2@1041` or `flights.records[2]@1041`, else an id; empty where `key` is given.
        key: an entity.
        spec: the pipeline.
        secret: of its keyed hash; without it, a personal id or key is looked for as its pseudonym only.

    Raises:
        UserError: neither or both are given, or a position of another topic.
    """
    if bool(which) == bool(key):
        raise UserError("which answer?", remedy="name a locator (2@1041) or an id, or the newest of an entity: --key")
    if key:
        return _of_key(key, spec, secret)
    found = _LOCATOR.fullmatch(which)
    if found is None:
        return _of_id(which, spec, secret)
    if (found["topic"] or "records") not in {"records", f"{spec.name}.records"}:
        raise UserError(f"{which} is a position in another topic", remedy=f"give one of {spec.name}.records")
    return Locator(int(found["in"] or found["p"]), int(found["offset"]))


def _of_key(key: str, spec: PipelineSpec, secret: bytes) -> Scan:
    names, hidden = _names(key, spec, secret, spec.record.key)
    keys = {name.encode() for name in names}

    def wanted(message: Message) -> Head | None:
        return head_of(message) if message.key() in keys else None

    # A pseudonym does not tell in which partition its entity is.
    partition = None if hidden and not secret else partition_of(key.encode(), spec.partitions)
    return Scan(wanted, partition, f"key {key}")


def _of_id(name: str, spec: PipelineSpec, secret: bytes) -> Scan:
    names, _ = _names(name, spec, secret, spec.record.id)
    words = [words_of(one) for one in names]

    def wanted(message: Message) -> Head | None:
        value = message.value() or b""
        head = head_of(message) if any(one in value for one in words) else None
        return head if head is not None and head.prediction is not None and head.prediction.id in names else None

    return Scan(wanted, None, f"id {name}")


def _names(given: str, spec: PipelineSpec, secret: bytes, field: str) -> tuple[list[str], bool]:
    """A personal value stands in the journal as its pseudonym, and may be given as either."""
    hidden = field in spec.privacy.hash
    if not (hidden and secret):
        return [given], hidden
    return [given, Redactor(spec.privacy, spec.record, secret).pseudonym(given)], hidden
