"""Which version scores which record: a pure function of the epoch in force at the record's offset.

`models` says what an epoch means, a barrier in `records` says from where on it holds, and a revocation takes an
epoch's version away without a barrier: then the highest active epoch below it acts instead. In a canary's epoch the
key decides between two versions: `version_for`. A shadow's epoch never acts: it scores nothing of `records`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from shared.core import reasons
from shared.core.ports import Message, Part, Reject
from shared.core.records import CONTROL_HEADER, TRACEPARENT, Application, Barrier, BundleRef, Headers, Note, Rollout

Cause = Literal["first", "barrier", "revoked", "local"]
CANARY: Final = b"tailrace-canary"
"""The salt of a canary's hash. It is the same for all epochs, so that a larger share only adds keys to a smaller one;
and another than the sample's of what is observed, or a canary's keys would be observed more, or less, than others."""
_PLACES: Final = 2**64
_decode_barrier = msgspec.json.Decoder(Barrier).decode


def canary_place(key: bytes | str) -> int:
    """Where a key lies among all keys, 0 to 2**64 - 1: BLAKE2b of 8 bytes with the salt `CANARY`, big end first."""
    raw = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return int.from_bytes(blake2b(raw, digest_size=8, salt=CANARY).digest())


def in_canary(key: bytes | str, share: float) -> bool:
    """Whether a key is among the share (0 to 1) that a canary's challenger scores."""
    return canary_place(key) < share * _PLACES  # exact: a power of two changes no digit of the share


def version_for(rollout: Rollout, key: bytes | str) -> BundleRef:
    """The version that scores a record of this key where this rollout acts.

    Args:
        rollout: the one in force at the record's offset.
        key: the entity as predictions and observations name it (UTF-8): of a personal key its pseudonym.
    """
    if rollout.mode == "canary" and rollout.challenger is not None and in_canary(key, rollout.share):
        return rollout.challenger
    return rollout.champion


class RolloutTable:
    """The `models` topic as last read: epoch -> rollout. A later value of an epoch replaces the earlier one."""

    def __init__(self, rollouts: Iterable[Rollout] = ()) -> None:
        self._by_epoch = {r.epoch: r for r in rollouts}

    def put(self, rollout: Rollout) -> None:
        """Take a newer value of an epoch."""
        self._by_epoch[rollout.epoch] = rollout

    def get(self, epoch: int) -> Rollout | None:
        """The rollout of an epoch, in whatever state."""
        return self._by_epoch.get(epoch)

    def may_stand_in_log(self, epoch: int) -> bool:
        """Whether a barrier of this epoch is genuine: its intent was written here before the barrier was.

        A shadow has none: one that a producer made up would let an epoch below it begin before its own barrier.
        """
        known = self._by_epoch.get(epoch)
        return known is not None and known.state != "announced" and known.mode != "shadow"

    def acting(self, epoch: int) -> Rollout | None:
        """The rollout that scores where `epoch` is the newest barrier: the highest active one at or below it."""
        below = [r for e, r in list(self._by_epoch.items()) if e <= epoch and _acts(r)]
        return max(below, key=lambda r: r.epoch, default=None)

    def oldest_active(self) -> Rollout | None:
        """Where a partition without any history begins."""
        return min(filter(_acts, self), key=lambda r: r.epoch, default=None)

    def newest_active(self) -> Rollout | None:
        """What `activation: local` goes to at once. A shadow is not meant: it takes part in no scoring."""
        return max(filter(_acts, self), key=lambda r: r.epoch, default=None)

    def shadowing(self) -> Rollout | None:
        """The newest active shadow: whose challenger scores beside the champion."""
        shadows = (r for r in self if r.state == "active" and r.mode == "shadow" and r.challenger is not None)
        return max(shadows, key=lambda r: r.epoch, default=None)

    def __iter__(self) -> Iterator[Rollout]:
        return iter(sorted(self._by_epoch.values(), key=lambda r: r.epoch))

    def __len__(self) -> int:
        return len(self._by_epoch)


def _acts(rollout: Rollout) -> bool:
    return rollout.state == "active" and rollout.mode != "shadow"


@dataclass(slots=True)
class Split:
    """A batch cut at its barriers.

    `parts` are in ascending epoch, so each partition's records stay in order; `notes` holds each partition's note after
    the batch; `controls` counts what became of control records; `partitions` has that of each message of the batch.
    """

    parts: list[Part] = field(default_factory=list)
    notes: dict[int, Note] = field(default_factory=dict)
    applications: list[Application] = field(default_factory=list)
    forged: list[Reject] = field(default_factory=list)
    controls: dict[str, int] = field(default_factory=dict)
    stranded: set[int] = field(default_factory=set)
    partitions: Sequence[int] = ()

    def count(self, what: str) -> None:
        """One more control record of this kind."""
        self.controls[what] = self.controls.get(what, 0) + 1


def split(messages: Sequence[Message], notes: Mapping[int, Note], table: RolloutTable, *, local: bool = False) -> Split:
    """Cut a batch into parts of one acting epoch each.

    Args:
        messages: the batch, in input order a partition.
        notes: the note of each partition before the batch.
        table: what epochs mean, at least as new as the newest genuine barrier in the batch.
        local: `rollout.activation: local`: the newest active epoch acts from the first record on.

    Returns:
        The parts. A partition for which no active epoch is left is in `stranded`, and in none of the parts.
    """
    partitions, headers = [m.partition() for m in messages], [m.headers() for m in messages]
    owned = sorted(set(partitions))
    result = Split(notes={partition: notes[partition] for partition in owned}, partitions=partitions)
    for partition in owned:  # a revocation or a local change acts from its first record on
        _settle(result, partition, messages[partitions.index(partition)].offset(), table, local=local)
    acting = {note.acting for note in result.notes.values()}
    odd = [h for h in headers if h is None or len(h) != 1 or h[0][0] != TRACEPARENT]  # nearly always: none, or all None
    if not result.stranded and len(acting) == 1 and not any(is_control(h) for h in odd if h):  # one part as it came
        result.parts = [Part(messages, headers, acting.pop(), not odd, partitions)]
    else:
        _cut(result, zip(messages, partitions, headers, strict=True), table, local=local)
    return result


def _cut(
    result: Split, records: Iterable[tuple[Message, int, Headers | None]], table: RolloutTable, *, local: bool
) -> None:
    """Record by record: each into the part of the epoch that acts at its offset."""
    taken: dict[int, tuple[list[Message], list[Headers | None]]] = {}
    for message, partition, headers in records:
        if partition in result.stranded:
            continue
        if headers and is_control(headers):
            _control(result, message, table, local=local)
            continue
        bucket = taken.setdefault(result.notes[partition].acting, ([], []))
        bucket[0].append(message)
        bucket[1].append(headers)
    result.parts = [Part(m, h, epoch) for epoch, (m, h) in sorted(taken.items(), key=lambda item: item[0])]


def is_control(headers: Headers) -> bool:
    """Whether a record claims to be a barrier."""
    for name, _ in headers:  # noqa: SIM110 - a third of any(...)'s cost, and asked for every record
        if name == CONTROL_HEADER:
            return True
    return False


def _settle(result: Split, partition: int, offset: int, table: RolloutTable, *, local: bool) -> None:
    note = result.notes[partition]
    cause: Cause = "revoked" if note.acting else "first"
    if local and (newest := table.newest_active()) and newest.epoch > note.epoch:
        note, cause = replace_note(note, epoch=newest.epoch), "local"
    elif not note.epoch and (oldest := table.oldest_active()):
        note = replace_note(note, epoch=oldest.epoch)
    _act(result, partition, offset, note, table, cause)


def _control(result: Split, message: Message, table: RolloutTable, *, local: bool) -> None:
    note = result.notes[message.partition()]
    try:
        epoch = _decode_barrier(message.value() or b"").epoch
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # anybody may have sent it
        epoch = -1
    if not table.may_stand_in_log(epoch):
        result.count("forged")
        detail = f"epoch {epoch} is not in the models topic; producers may not send {CONTROL_HEADER}"
        result.forged.append(Reject(message, reasons.FORGED_CONTROL, detail))
    elif local or epoch <= note.epoch:
        result.count("ignored")
    else:
        result.count("applied")
        after = message.offset() + 1
        _act(result, message.partition(), after, replace_note(note, epoch=epoch), table, "barrier")


def _act(result: Split, partition: int, offset: int, note: Note, table: RolloutTable, cause: Cause) -> None:
    acting = table.acting(note.epoch)
    if acting is None:
        result.stranded.add(partition)
        return
    if acting.epoch != note.acting:
        result.applications.append(_application(partition, acting, offset, cause, note.epoch))
        note = replace_note(note, acting=acting.epoch)
    result.notes[partition] = note


def _application(partition: int, acting: Rollout, offset: int, cause: Cause, barrier: int) -> Application:
    one = Application(partition, acting.epoch, offset, cause, acting.champion.version, barrier)
    if acting.mode != "canary" or acting.challenger is None:
        return one
    return msgspec.structs.replace(one, challenger=acting.challenger.version, share=acting.share)


def replace_note(note: Note, *, epoch: int | None = None, acting: int | None = None) -> Note:
    """A note with another epoch or acting epoch."""
    return msgspec.structs.replace(
        note, epoch=note.epoch if epoch is None else epoch, acting=note.acting if acting is None else acting
    )


def last_application(applications: Iterable[Application], partition: int, offset: int) -> Note:
    """The note of a partition whose metadata is gone: from its last application at or before `offset`.

    Of two at one offset (a barrier, and a revocation before any record came) the one that was written later counts.
    """
    before = [a for a in applications if a.partition == partition and a.offset <= offset]
    if not before:
        return Note()
    last = max(reversed(before), key=lambda a: (a.offset, a.barrier))
    return Note(epoch=last.barrier, acting=last.epoch)
