"""What is remembered of one id: its observation, its label, and until when.

In the store an item stands under one key, the observation behind it as it stands in the journal. What comes later (a
label, a shadow, a longer life) is small and stands under a key of its own: the observation is not written again.
"""

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


PREFIX, LATER = b"i", b"l"


class Item(msgspec.Struct, gc=False, array_like=True):
    """Everything of one id, from its first entry on until the watermark is beyond `dies`.

    Each entry about an id makes it live at least as long as that entry alone would. So whoever begins to read in the
    middle never remembers an id for longer than one who read it all, and comes to the same in the end.

    Attributes:
        dies: ms, a multiple of the grain.
        first: (offset, watermark before it) of its first entry.
        held: labels that wait, of rising revisions; none once there is an observation.
        known: the champion's observation.
        key: of its entry in the journal.
        shadows: observations by shadows, of distinct versions.
        label: the one in force.
        raw: the champion's observation as it stands in the journal; behind the item in the store, not in it.
        stored: whether the store has the observation.
    """

    dies: int
    first: tuple[int, int]
    held: tuple[Held, ...] = ()
    known: Known | None = None
    key: str = ""
    shadows: tuple[Known, ...] = ()
    label: AnyTruth | None = None
    raw: bytes = b""
    stored: bool = False


class Later(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What has changed of an item since its observation was written."""

    dies: int
    first: tuple[int, int]
    shadows: tuple[Known, ...]
    label: AnyTruth | None


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


class LaterLife(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The same of what came later."""

    dies: int
    first: tuple[int, int]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Item).decode
_decode_later = msgspec.msgpack.Decoder(Later).decode
_decode_life = msgspec.msgpack.Decoder(ItemLife).decode
decode_later_life = msgspec.msgpack.Decoder(LaterLife).decode
_SIZE = 4  # bytes of the length of what stands before the observation


def encode(item: Item) -> bytes:
    """An item as a value, with its observation behind it."""
    head = _encode((item.dies, item.first, item.held, item.known, item.key, item.shadows, item.label))
    return len(head).to_bytes(_SIZE) + head + item.raw


def encode_later(item: Item) -> bytes:
    """What is not in the value that the store has of it."""
    return _encode((item.dies, item.first, item.shadows, item.label))


def decode(value: bytes) -> Item:
    """An item from its value."""
    end = _SIZE + int.from_bytes(value[:_SIZE])
    item = _decode(value[_SIZE:end])
    item.raw = value[end:]
    item.stored = item.known is not None
    return item


def amend(item: Item, value: bytes) -> None:
    """Let an item be as it was when this was written of it."""
    later = _decode_later(value)
    item.dies, item.first, item.shadows, item.label = later.dies, later.first, later.shadows, later.label


def decode_life(value: bytes) -> ItemLife:
    """The head of an item."""
    return _decode_life(value[_SIZE : _SIZE + int.from_bytes(value[:_SIZE])])


def identity_of(key: bytes) -> str:
    """The id whose item, or what came later, stands under a key."""
    return key[1:].decode()  # a lone surrogate is no JSON text, so no id has one
