"""Dead letters as an operator sees them: read from their topic, chosen, and made into records again. Pure.

What was replayed is known from the ledger, the compacted topic `dlq.replayed`: one marker a letter, written in the
transaction that writes the record. A letter with a marker is settled; nothing else settles it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import msgspec

from shared.core import deadletter, reasons
from shared.core.ports import Message
from shared.core.records import SCHEMA_VERSION, TRACEPARENT, TRACESTATE, Headers, Position
from shared.core.topics import PRESENT, TABLE, TOPIC_NAMES, TopicName

SUFFIX = ".dlq"
MAX_ATTEMPTS = 3
_POSITION = re.compile(
    r"(?:(?P<topic>[\w.-]+)\[(?P<partition>\d{1,9})\]|(?P<bare>\d{1,9}))@(?P<offset>\d{1,18})", re.ASCII
)
_KINDS = frozenset({"original", "null", "reference", "redacted", "withheld"})
_ATTEMPT = re.compile(rb"[1-9]\d{0,5}")
# "send" is the only one that sends.
Verdict = Literal[
    "send", "already", "foreign", "empty", "redacted", "withheld", "reference", "forged", "attempts", "superseded"
]
WHY: dict[Verdict, str] = {
    "already": "replayed before",
    "foreign": "its record stood in another topic than the one that letters go back to, or its headers name none",
    "empty": "no body: there is nothing to send",
    "redacted": "personal fields were taken out of the body; the original stands at its source position",
    "withheld": "the body was withheld for privacy; the original stands at its source position",
    "reference": "the body was too large for a letter; the original stands at its source position",
    "forged": "a forged control record: name its position and add --force to send it as a plain record",
    "attempts": "it came back too often (--max-attempts)",
    "superseded": "the source topic has a newer good update of this key: name its position and add --force",
}


class Replayed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the ledger, on `<pipeline>.dlq.replayed`, keyed by the letter's position.

    `logged` is the letter's log-append time (ms): a dead-letter topic that was made anew counts its positions from 0
    again, and its letters must not be taken for the old ones.
    """

    letter: str
    logged: int
    source: str
    attempt: int
    v: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `source` is None where the header names no position; `logged` is when it was written (ms).

    `kind` says what the body is (`original`, `null`, `reference`, `redacted`, `withheld`), `attempt` which try of its
    record ended here, `origin` the letter that this record was before, empty for a first try.
    """

    at: Position
    logged: int
    key: bytes | None
    body: bytes | None
    reason: str
    detail: str
    source: Position | None
    kind: str
    attempt: int
    origin: str
    trace: Headers


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant: all conditions hold. Empty `reasons` or `positions`: any; times in ms, `until` excluded.

    `force` sends named positions whatever speaks against it, as long as there is a body that is the original.
    """

    reasons: frozenset[str] = frozenset()
    positions: frozenset[Position] = frozenset()
    since: int | None = None
    until: int | None = None
    max_attempts: int = MAX_ATTEMPTS
    force: bool = False

    def has(self, letter: Letter) -> bool:
        """Whether this letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.positions or letter.at in self.positions)
            and (self.since is None or letter.logged >= self.since)
            and (self.until is None or letter.logged < self.until)
        )


class Ledger:
    """What was replayed, by position and time of the letter."""

    def __init__(self) -> None:
        self._marked: dict[str, int] = {}
        self._decode = msgspec.json.Decoder(Replayed).decode

    def __len__(self) -> int:
        return len(self._marked)

    def put(self, value: bytes) -> None:
        """Take a message of the ledger's topic.

        Raises:
            msgspec.DecodeError: it is none of ours: who goes on without it may send a letter twice.
        """
        marker = self._decode(value)
        self._marked[marker.letter] = marker.logged

    def has(self, letter: Letter) -> bool:
        """Whether this very letter was replayed."""
        return self._marked.get(str(letter.at)) == letter.logged


def letter_topics() -> tuple[TopicName, ...]:
    """The dead-letter topics that exist, in the table's order."""
    return tuple(name for name in TOPIC_NAMES if name.endswith(SUFFIX) and TABLE[name].introduced in PRESENT)


def source_of(topic: str) -> str:
    """The topic that a dead-letter topic's records came from, and go back to; full names and short ones alike."""
    return topic.removesuffix(SUFFIX)


def parse_position(text: str, topic: str = "") -> Position:
    """`flights.records.dlq[2]@17`, or `2@17` where the topic is known.

    Raises:
        ValueError: it is not written so.
    """
    match = _POSITION.fullmatch(text.strip())
    if match is None or not (match["topic"] or topic):
        raise ValueError(f"{text!r} is no position; write records.dlq[2]@17 (in quotes), or 2@17")
    return Position(match["topic"] or topic, int(match["partition"] or match["bare"] or 0), int(match["offset"]))


def read_letter(topic: str, message: Message) -> Letter:
    """A message of a dead-letter topic; whatever it holds, it can be shown."""
    headers: dict[str, bytes] = {}
    for name, value in message.headers() or ():
        headers.setdefault(name, value or b"")
    attempt = headers.get(deadletter.ATTEMPT, b"")
    return Letter(
        at=Position(topic, message.partition(), message.offset()),
        logged=message.timestamp()[1],
        key=message.key(),
        body=message.value(),
        reason=plain(headers.get(deadletter.REASON, b"")) or "none",
        detail=plain(headers.get(deadletter.DETAIL, b"")),
        source=_source(headers.get(deadletter.SOURCE, b"")),
        kind=plain(headers.get(deadletter.BODY, b"")),
        attempt=int(attempt) if _ATTEMPT.fullmatch(attempt) else 1,
        origin=plain(headers.get(deadletter.ORIGIN, b"")),
        trace=[(name, headers[name]) for name in (TRACEPARENT, TRACESTATE) if name in headers],
    )


def plain(data: bytes) -> str:
    """Bytes as one line that does a terminal no harm."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in data.decode("utf-8", "backslashreplace"))


def _source(said: bytes) -> Position | None:
    try:
        return parse_position(said.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return None


def judge(letter: Letter, selection: Selection, ledger: Ledger, *, superseded: bool = False) -> Verdict:
    """What becomes of a letter that is meant.

    Args:
        letter: which.
        selection: how often it may come back, and whether it is forced.
        ledger: what was replayed.
        superseded: whether its source topic holds a newer good value of its key, and keeps only the newest.
    """
    forced = selection.force and letter.at in selection.positions
    # `features.dlq` has letters of the aggregates too: their records stood in `records` or `entities`.
    ours = letter.source is not None and letter.source.topic == source_of(letter.at.topic) and letter.kind in _KINDS
    against: dict[Verdict, bool] = {
        "already": ledger.has(letter),
        "foreign": not ours,
        "redacted": letter.kind == "redacted",
        "withheld": letter.kind == "withheld",
        "reference": letter.kind == "reference",
        "empty": not letter.body,
        "forged": letter.reason == reasons.FORGED_CONTROL and not forced,
        "attempts": letter.attempt >= selection.max_attempts and not forced,
        "superseded": superseded and not forced,
    }
    return next((verdict for verdict, holds in against.items() if holds), "send")


def headers_again(letter: Letter) -> Headers:
    """The headers of a record that is sent again: where it comes from, which try it is, and its trace.

    A control record comes back without its control header: as a plain record, whatever it claimed to be.
    """
    return [
        (deadletter.ORIGIN, str(letter.at).encode()),
        (deadletter.SOURCE, str(letter.source).encode()),
        (deadletter.ATTEMPT, str(letter.attempt + 1).encode()),
        *letter.trace,
    ]


def marker(letter: Letter) -> tuple[bytes, bytes]:
    """Key and value of a letter's line in the ledger."""
    line = Replayed(str(letter.at), letter.logged, str(letter.source), letter.attempt + 1)
    return line.letter.encode(), msgspec.json.encode(line)


def missing(positions: Collection[Position], found: Collection[Position]) -> list[str]:
    """The positions that no letter stands at, in order."""
    return [str(position) for position in sorted(set(positions) - set(found))]
