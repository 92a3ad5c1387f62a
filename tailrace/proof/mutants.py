"""Records that are spoilt on purpose, by a seed: the same seed gives the same mutants, byte for byte.

A mutant is a good record of the pipeline with none to three mutations: of its JSON text, of its bytes, of its key, of
its headers. Some mutations leave a record good (other order, other spelling): those must be scored.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from shared.core.pipeline import PipelineSpec
from shared.core.records import CONTROL_HEADER, Barrier, Headers
from tailrace.proof.mutate_bytes import BYTE_MUTATIONS, MOST, Company, pad
from tailrace.proof.mutate_envelope import HEADER_MUTATIONS, NO_EPOCH, long_key, name_of, other_key
from tailrace.proof.mutate_text import RARELY, TEXT_MUTATIONS, Draft

Source = tuple[bytes, dict[str, Any]]  # a good record: its Kafka key and its fields
UNTOUCHED = "untouched"
_COUNTS, _WEIGHTS = (0, 1, 2, 3), (10, 60, 20, 10)
_BARRIER = msgspec.json.encode(Barrier(NO_EPOCH))


class Mutant(NamedTuple):
    """What is sent: key, value, headers, and the names of the mutations that made it."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None
    kinds: tuple[str, ...]


@dataclass(slots=True)
class _Made:
    """A mutant in the making. Its text is drafted until a mutation of bytes wants the bytes."""

    key: bytes | None
    draft: Draft
    value: bytes | None
    headers: Headers | None
    kinds: list[str]


class Mutants:
    """Makes mutants of good records.

    Args:
        spec: the pipeline.
        sources: good records, taken in turn.
        seed: decides everything.
    """

    def __init__(self, spec: PipelineSpec, sources: Sequence[Source], seed: int) -> None:
        self._spec, self._sources = spec, sources
        self._dice = random.Random(seed)  # noqa: S311 - a proof is repeatable

    def take(self, n: int) -> Iterator[Mutant]:
        """The next n mutants. The id of each, where it was left alone, is `m<place>`."""
        for i in range(n):
            yield self._one(i)

    def _one(self, i: int) -> Mutant:
        dice, record = self._dice, self._spec.record
        key, fields = self._sources[i % len(self._sources)]
        made = _Made(key, Draft.of(record, {**fields, record.id: f"m{i}"}), None, None, [])
        drafted = True
        for _ in range(dice.choices(_COUNTS, _WEIGHTS)[0]):
            family = dice.randrange(100)
            if family < 50 and drafted:  # noqa: PLR2004 - half of them change the text, while there is one
                text = dice.choice(TEXT_MUTATIONS)
                text(made.draft, dice)
                made.kinds.append(text.__name__)
            elif family < 80:  # noqa: PLR2004 - and a third the bytes
                made.value = self._bytes(made, drafted=drafted)
                drafted = False
            else:
                self._envelope(made)
        value = made.draft.text() if drafted else made.value
        if CONTROL_HEADER in dict(made.headers or ()) and dice.random() < 0.5:  # noqa: PLR2004 - half of them are well formed
            value = _BARRIER
        if value is not None and len(value) > MOST:
            value = value[:MOST]
        return Mutant(made.key, value, made.headers, tuple(made.kinds) or (UNTOUCHED,))

    def _bytes(self, made: _Made, *, drafted: bool) -> bytes | None:
        dice = self._dice
        value = made.draft.text() if drafted else made.value
        other = Draft.of(self._spec.record, dice.choice(self._sources)[1]).text()
        change = pad if dice.random() < RARELY else dice.choice(BYTE_MUTATIONS)
        made.kinds.append(change.__name__)
        return change(value or b"", dice, Company(other, self._spec.record.max_bytes))

    def _envelope(self, made: _Made) -> None:
        dice = self._dice
        if dice.random() < 0.5:  # noqa: PLR2004 - as often the key as the headers
            change = long_key if dice.random() < RARELY else other_key
            made.key = change(made.key or b"", dice)
            made.kinds.append(change.__name__)
        else:
            headers = dice.choice(HEADER_MUTATIONS)
            made.headers = headers(dice)
            made.kinds.append(name_of(headers))
