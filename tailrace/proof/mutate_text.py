"""Mutations of a record as JSON text: types, keys, numbers, texts, depth, times. Each changes one draft in place.

A draft is a list of pairs of JSON texts and not a mapping, so that a key can stand twice and be spelt in several ways.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.core.pipeline import RecordSpec

SHORT_NEST, DEEP_NEST = (3, 30, 300), (3_000, 30_000, 100_000)
RARELY = 0.04  # share of the mutations of a kind that take its largest form: they cost a thousand times the others
NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "1e39", "-3.5e38", "-0.0", "-0", "0", "1.0", "1e2"),
    *("01", "+1", "1.", ".5", "1e", "--1", "0x10", "1_000", "9007199254740993", "9223372036854775808", "1" + "0" * 30),
    *("-9223372036854775809", "18446744073709551616", "9" * 400, "9" * 4_299, "9" * 5_000, "0." + "3" * 500),
)
TEXTS = (
    *('""', '" "', r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', r'"a\nb"', r'"a\r\nSET x 1"', r'"\u0000"'),
    *(r'"\u001b[31m"', '"a\u2028b"', '"a\u202eb"', '"\u0430bc"', '"../../etc/passwd"', '"=1+1"', '"*"', '"{x}:y"'),
    *('"%s%n%x"', '"${jndi:ldap://x}"', r'"\"}\n{\"event\": \"forged\""', '"\x01"', r'"\x"', '"unended', "'single'"),
    *('"\ufeffx"', '"e\u0301"', '"1,5"', '"0x10"', '"1.5"', '"true"', '"NaN"'),
)
VALUES = ("null", "true", "false", "[]", "{}", "[1]", '{"x":1}', '{"x":1,"x":2}', "tru", "", "undefined", "1", '"1"')
TIMES = (
    *("0", "-1", "1", "1700000000", "1700000000000000", "1700000000000000000", "253402300799000", "315532800000"),
    *("315532799999", "1.7e12", '"1700000000000"', '"9999-12-31T23:59:59Z"', '"0001-01-01T00:00:00Z"'),
    *('"2013-01-01T00:00:00"', '"2013-01-01"', '"2013-02-30T00:00:00Z"', '"2013-01-01T24:00:00Z"', '"now"'),
    *('"2013-01-01T23:59:60Z"', '"2013-01-01T00:00:00+25:00"', '"2013-01-01T00:00:00.000001-05:00"'),
)
SPACES = (" ", "\n", "\t", "\r\n", "\u00a0", "\x0b", "/**/")


@dataclass(slots=True)
class Draft:
    """A record that is being spoilt: pairs of JSON texts (name, value), and what stands between tokens."""

    record: RecordSpec
    pairs: list[tuple[str, str]]
    gap: str = ""

    @classmethod
    def of(cls, record: RecordSpec, fields: dict[str, Any]) -> "Draft":
        """The draft of a good record."""
        return cls(record, [(json.dumps(name), json.dumps(value)) for name, value in fields.items()])

    def text(self) -> bytes:
        """The draft as bytes; lone surrogates stay what they are."""
        gap = self.gap
        inner = ",".join(f"{gap}{name}{gap}:{gap}{value}{gap}" for name, value in self.pairs)
        return f"{{{inner}}}".encode("utf-8", "surrogatepass")

    def put(self, dice: random.Random, value: str, name: str = "") -> None:
        """Replace the value of a field, any by default."""
        if not self.pairs:
            return
        wanted = json.dumps(name)
        places = [i for i, (known, _) in enumerate(self.pairs) if known == wanted] if name else []
        at = places[0] if places else dice.randrange(len(self.pairs))
        self.pairs[at] = (self.pairs[at][0], value)


def retype(draft: Draft, dice: random.Random) -> None:
    """A value of another type."""
    draft.put(dice, dice.choice(VALUES))


def number(draft: Draft, dice: random.Random) -> None:
    """A number that parsers disagree on, or none at all."""
    numeric = [name for name, field in draft.record.fields.items() if field.type in {"number", "integer"}]
    draft.put(dice, dice.choice(NUMBERS), dice.choice(numeric) if numeric else "")


def words(draft: Draft, dice: random.Random) -> None:
    """A text with surrogates, control characters, injections; sometimes a long one."""
    texts = [name for name, field in draft.record.fields.items() if field.type == "string"]
    value = dice.choice(TEXTS)
    if dice.random() < RARELY:
        value = json.dumps("x" * dice.choice((256, 257, 5_000, 70_000)))
    draft.put(dice, value, dice.choice(texts))


def moment(draft: Draft, dice: random.Random) -> None:
    """Another event time: in other units, far off, without an offset, no date at all."""
    draft.put(dice, dice.choice(TIMES), draft.record.event_time)


def drop(draft: Draft, dice: random.Random) -> None:
    """A field less."""
    if draft.pairs:
        draft.pairs.pop(dice.randrange(len(draft.pairs)))


def twice(draft: Draft, dice: random.Random) -> None:
    """A key that stands twice, with the same value or another, perhaps in another spelling."""
    if not draft.pairs:
        return
    name, value = dice.choice(draft.pairs)
    again = dice.choice((value, value, "null", "1", '"x"'))
    draft.pairs.insert(dice.randrange(len(draft.pairs) + 1), (_spelt(name) if dice.random() < 0.3 else name, again))  # noqa: PLR2004 - a third


def rename(draft: Draft, dice: random.Random) -> None:
    """A key in another case, another spelling (which is the same key), or with something added."""
    if not draft.pairs:
        return
    at = dice.randrange(len(draft.pairs))
    name, value = draft.pairs[at]
    changed = dice.choice((name.upper(), name.title(), _spelt(name), name[:-1] + ' "', '"' + name[2:], '""', "null"))
    draft.pairs[at] = (changed, value)


def extra(draft: Draft, dice: random.Random) -> None:
    """A field that nobody declared, sometimes nested."""
    value = dice.choice((*VALUES, *NUMBERS[:8], *TEXTS[:6], '{"a":{"b":[1,{"c":null}]}}'))
    draft.pairs.insert(dice.randrange(len(draft.pairs) + 1), ('"surprise"', value))


def swap(draft: Draft, dice: random.Random) -> None:
    """Two fields with each other's values."""
    if len(draft.pairs) > 1:
        a, b = dice.sample(range(len(draft.pairs)), 2)
        (one, first), (other, second) = draft.pairs[a], draft.pairs[b]
        draft.pairs[a], draft.pairs[b] = (one, second), (other, first)


def order(draft: Draft, dice: random.Random) -> None:
    """The fields in another order, which changes nothing."""
    dice.shuffle(draft.pairs)


def space(draft: Draft, dice: random.Random) -> None:
    """White space between tokens, of which some is none to JSON."""
    draft.gap = dice.choice(SPACES)


def nest(draft: Draft, dice: random.Random) -> None:
    """A value nested deeply, closed or not."""
    depth = dice.choice(DEEP_NEST if dice.random() < RARELY else SHORT_NEST)
    begin, end = dice.choice((("[", "]"), ('{"a":', "}")))
    draft.put(dice, begin * depth + (f"1{end * depth}" if dice.random() < 0.7 else ""))  # noqa: PLR2004 - mostly closed


def _spelt(name: str) -> str:
    """The same key, its first letter escaped."""
    inner = name[1:-1]
    return f'"\\u{ord(inner[0]):04x}{inner[1:]}"' if inner and inner[0] != "\\" else name


TEXT_MUTATIONS: tuple[Callable[[Draft, random.Random], None], ...] = (
    retype, number, number, words, words, moment, drop, twice, rename, extra, swap, order, space, nest,
)  # fmt: skip
