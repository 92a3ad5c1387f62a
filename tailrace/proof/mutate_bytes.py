"""Mutations of a record as bytes: what a cable, a codec, a half-written file or another program makes of it."""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

MOST = 800_000  # bytes: one record and its letter fit every topic
ODD_BYTES = (
    *(b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\r\n"),
    *(b'"', b"\\", b"{", b"}", b"[", b",", b":", b"null", b"NaN", b"1e400", b"\x1b[31m", b"\x80\x04\x95", b"%n"),
)


@dataclass(frozen=True, slots=True)
class Company:
    """What a mutation may need beside the record: another good one, and the size that the pipeline allows, bytes."""

    other: bytes
    max_bytes: int


Change = Callable[[bytes, random.Random, Company], bytes | None]


def flip(value: bytes, dice: random.Random, _: Company) -> bytes:
    """One to eight bits the other way round."""
    changed = bytearray(value)
    for _n in range(dice.choice((1, 1, 1, 2, 8)) if changed else 0):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def truncate(value: bytes, dice: random.Random, _: Company) -> bytes:
    """The beginning alone."""
    return value[: dice.randrange(len(value) + 1)]


def cut(value: bytes, dice: random.Random, _: Company) -> bytes:
    """A piece out of the middle is missing."""
    begin, end = _span(value, dice)
    return value[:begin] + value[end:]


def repeat(value: bytes, dice: random.Random, _: Company) -> bytes:
    """A piece twice."""
    begin, end = _span(value, dice)
    return value[:end] + value[begin:]


def splice(value: bytes, dice: random.Random, company: Company) -> bytes:
    """The beginning of this record and the end of another."""
    return value[: dice.randrange(len(value) + 1)] + company.other[dice.randrange(len(company.other) + 1) :]


def insert(value: bytes, dice: random.Random, _: Company) -> bytes:
    """Some bytes too many."""
    at = dice.randrange(len(value) + 1)
    new = dice.choice(ODD_BYTES) if dice.random() < 0.7 else dice.randbytes(dice.randrange(1, 9))  # noqa: PLR2004 - mostly
    return value[:at] + new + value[at:]


def overwrite(value: bytes, dice: random.Random, _: Company) -> bytes:
    """Bytes in the place of others."""
    new = dice.choice(ODD_BYTES)
    at = dice.randrange(len(value) + 1)
    return value[:at] + new + value[at + len(new) :]


def encode(value: bytes, dice: random.Random, _: Company) -> bytes:
    """The same text in another encoding, or with a byte order mark."""
    text = value.decode("utf-8", "replace")
    how = dice.choice(("mark", "utf-16", "utf-16-le", "utf-32", "latin-1"))
    return b"\xef\xbb\xbf" + value if how == "mark" else text.encode(how, "replace")


def wrap(value: bytes, dice: random.Random, company: Company) -> bytes:
    """Two records, or one in something else: an array, a text, a schema's frame, compressed."""
    kind = dice.randrange(6)
    shapes: tuple[Callable[[], bytes], ...] = (
        lambda: value + company.other,
        lambda: value + b"\n" + value,
        lambda: b"[" + value + b"]",
        lambda: b'"' + value.replace(b'"', b'\\"') + b'"',
        lambda: b"\x00\x00\x00\x00\x01" + value,  # the magic byte and schema id of a registry
        lambda: zlib.compress(value),
    )
    return shapes[kind]()


def pad(value: bytes, dice: random.Random, company: Company) -> bytes:
    """White space up to the size limit: one below, at it, one above."""
    wanted = company.max_bytes + dice.choice((-1, 0, 1))
    return value + b" " * max(wanted - len(value), 0) if wanted <= MOST else value


def nothing(_value: bytes, dice: random.Random, _: Company) -> bytes | None:
    """No value at all, or one that says nothing."""
    return dice.choice((None, b"", b"null", b"{}", b"[]", b"0", b'""', b" "))


def noise(_value: bytes, dice: random.Random, _: Company) -> bytes:
    """Random bytes."""
    return dice.randbytes(dice.randrange(1, 200))


BYTE_MUTATIONS: tuple[Change, ...] = (
    flip, flip, flip, truncate, truncate, cut, repeat, splice, insert, insert, overwrite, encode, wrap, nothing, noise,
)  # fmt: skip


def _span(value: bytes, dice: random.Random) -> tuple[int, int]:
    a, b = dice.randrange(len(value) + 1), dice.randrange(len(value) + 1)
    return min(a, b), max(a, b)
