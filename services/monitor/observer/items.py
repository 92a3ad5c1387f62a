"""What is remembered of one id: its observation, its label, and until when. One small value in the store."""

import msgspec

from services.monitor.observer.entries import AnyTruth


class Known(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What joining needs of one observation.

    `slices[i]` is the place of its value in declared slice i, `rate` the sample's share (millionths) that took it.
    """

    version: str
    time: int
    score: float
    label: str | float
    probabilities: dict[str, float] | None = None
    slices: tuple[int, ...] = ()
    rate: int = 1_000_000


class Held(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A label that waits for its observation: until the watermark is beyond `reach`; `window` is its account's."""

    label: AnyTruth
    at: tuple[int, int]
    reach: int
    window: int


PREFIX = b"i"


class Item(msgspec.Struct, gc=False, array_like=True):
    """Everything of one id, from its first entry on until the watermark is beyond `dies`.

    Each entry about an id makes it live at least as long as that entry alone would. So whoever begins to read in the
    middle never remembers an id for longer than one who read it all, and comes to the same in the end.

    Attributes:
        dies: ms, a multiple of the grain.
        first: (offset, watermark before it) of its first entry.
        held: labels that wait, of rising revisions.
        known: the champion's observation.
        raw: the same as it stands in the journal, keyed `key` there.
        shadows: observations by shadows, of distinct versions.
        label: the one in force.
    """

    dies: int
    first: tuple[int, int]
    held: tuple[Held, ...] = ()
    known: Known | None = None
    raw: bytes = b""
    key: str = ""
    shadows: tuple[Known, ...] = ()
    label: AnyTruth | None = None


class HeldLife(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The part of a held label that says how long it waits."""

    label: msgspec.Raw
    at: msgspec.Raw
    reach: int


class ItemLife(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The head of an item, for whoever reads all of them."""

    dies: int
    first: tuple[int, int]
    held: tuple[HeldLife, ...] = ()


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Item).decode
decode_life = msgspec.msgpack.Decoder(ItemLife).decode


def key_of(identity: str) -> bytes:
    """The key of an id's item in the store."""
    return PREFIX + identity.encode()  # a lone surrogate is no JSON text, so no id has one


def identity_of(key: bytes) -> str:
    """The id whose item stands under a key."""
    return key[len(PREFIX) :].decode()
