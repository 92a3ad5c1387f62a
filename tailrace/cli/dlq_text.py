"""How dead letters look to a person: a table of reasons, one letter in full, what a replay did."""

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from shared.core.dlq import WHY, Letter, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from services.ingest.dlq.terms import Group, Listing, Report, Shown

SHOWN_BYTES = 2_000
SHOWN_LINES = 20
_TELL_EVERY = 2.0  # s


class Told:
    """Progress on standard error: nothing for short topics, a line every two seconds for long ones."""

    def __init__(self, stream: TextIO | None = None, now: "Callable[[], float]" = time.monotonic) -> None:
        self._stream, self._now, self._last = stream or sys.stderr, now, now()

    def __call__(self, topic: str, count: int, total: int) -> None:
        """So many messages of a topic were read; its span of offsets is an upper bound."""
        now = self._now()
        if now - self._last >= _TELL_EVERY:
            self._last = now
            print(f"reading {topic}: {count:,} of at most {total:,}", file=self._stream)


def moment(logged: int) -> str:
    """A log-append time for people, UTC."""
    return datetime.fromtimestamp(logged / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def list_text(listings: "Iterable[Listing]", pipeline: str) -> str:
    """One block a topic, two lines a reason."""
    blocks = []
    for found in listings:
        head = f"{found.topic}  {_letters(found.letters)}" + (
            f", {found.replayed:,} of them replayed" if found.replayed else ""
        )
        blocks.append("\n".join([head, *(line for group in found.reasons for line in _group(group, pipeline))]))
    return "\n\n".join(blocks)


def _letters(n: int) -> str:
    return f"{n:,} letter{'' if n == 1 else 's'}" if n else "no letters"


def _group(group: "Group", pipeline: str) -> list[str]:
    parts = [f"{group.replayed:,} replayed"] if group.replayed else []
    parts += [f"{group.blocked:,} without their original body"] if group.blocked else []
    counted = f"{group.count:,}" + (f" ({', '.join(parts)})" if parts else "")
    return [
        f"  {group.reason:<16} {counted}  {moment(group.first)} to {moment(group.last)} UTC",
        f"    {group.meaning}: {group.remedy}",
        f"    tailrace dlq show {pipeline} '{group.example}'",
    ]


def show_text(shown: "Shown") -> str:
    """A letter in full; the body escaped, so that it does a terminal no harm."""
    letter = shown.letter
    again = f", replayed from {letter.origin}" if letter.origin else ""
    rows = [
        ("detail", letter.detail or "-"),
        ("source", str(letter.source or "not named")),
        ("key", "none" if letter.key is None else plain(letter.key)),
        ("attempt", f"{letter.attempt}{again}"),
        *((name, plain(value or b"")) for name, value in letter.trace),
        ("replay", WHY.get(shown.verdict, "would be sent")),
        ("body", body_text(letter)),
    ]
    head = f"{letter.at}  {letter.reason}  {moment(letter.logged)} UTC"
    return "\n".join([head, *(f"  {name:<11} {value}" for name, value in rows)])


def body_text(letter: Letter) -> str:
    """What the body is, and its first bytes."""
    if letter.body is None:
        return f"none ({letter.kind})"
    said = f"{letter.kind}, {len(letter.body):,} bytes"
    rest = len(letter.body) - SHOWN_BYTES
    more = f"\n    ... {rest:,} bytes more: --raw gives them all" if rest > 0 else ""
    return f"{said}\n    {plain(letter.body[:SHOWN_BYTES])}{more}"


def show_json(shown: "Shown") -> dict[str, Any]:
    """A letter as one JSON object: `key` and `body` in base64, `text` where the body is UTF-8."""
    letter = shown.letter
    return {
        "letter": str(letter.at),
        "logged": letter.logged,
        "reason": letter.reason,
        "detail": letter.detail,
        "source": str(letter.source) if letter.source else None,
        "attempt": letter.attempt,
        "origin": letter.origin or None,
        "trace": {name: plain(value or b"") for name, value in letter.trace},
        "kind": letter.kind,
        "key": letter.key,
        "body": letter.body,
        "text": _utf8(letter.body),
        "replay": shown.verdict,
    }


def _utf8(body: bytes | None) -> str | None:
    try:
        return None if body is None else body.decode()
    except UnicodeDecodeError:
        return None


def replay_text(report: "Report") -> str:
    """What was sent, what was not and why; in a dry run the letters as well."""
    verb = "would be sent" if report.dry_run else "sent"
    lines = [f"{line.letter}  {line.reason}  {line.bytes:,} bytes, attempt {line.attempt}" for line in report.letters]
    more = len(lines) - SHOWN_LINES
    lines = lines[:SHOWN_LINES] + ([f"... and {more:,} more (--json names all)"] if more > 0 else [])
    if report.sent:
        lines.append(f"{_letters(report.sent)} {verb} to {report.into}")
    elif not report.skipped:
        lines.append(f"{report.topic}: no letter is meant; nothing to do")
    else:
        lines.append(f"{report.topic}: nothing to do")
    lines += [f"  {count:,} not sent: {WHY[verdict]}" for verdict, count in sorted(report.skipped.items())]
    return "\n".join(lines)
