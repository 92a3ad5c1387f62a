"""What may stand in a log line: no control characters, no secrets, no record content, no endless values."""

import math
import re
from collections.abc import Mapping
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Final
from uuid import UUID

MAX_TEXT: Final = 2_048
MAX_TRACEBACK: Final = 16_384
MAX_FIELDS: Final = 64
MAX_ITEMS: Final = 32
MAX_DEPTH: Final = 4
MAX_KEY: Final = 64
SECRET: Final = "<secret>"  # noqa: S105 - what stands in a secret's place
WITHHELD: Final = "<withheld>"

_SECRET_KEY = re.compile(
    r"passw|passphrase|secret|token|credential|sasl|authorization|cookie|jaas|api_?key|private_?key|key_?file|pem$",
    re.IGNORECASE,
)
# Keys under which a record's content would travel. Positions and counts say enough to find it in the topic.
_CONTENT_KEY = re.compile(
    r"features?|record|payload|values?|lookups?|rows?|matrix|body|inputs?|key|headers|label", re.IGNORECASE
)
_SECRET_TEXT: Final = (
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*", re.DOTALL), SECRET),
    (re.compile(r"(://[^/\s:@]{0,64}:)[^/\s@]{1,256}@"), rf"\1{SECRET}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {SECRET}"),
    (
        re.compile(
            r"(?i)((?:passw(?:or)?d|passphrase|secret|token|credential|api[_-]?key|authorization|jaas\.config)"
            r"[\"']?\s{0,4}[=:]\s{0,4})(\"[^\"]*\"?|'[^']*'?|[^\s,;&\"']+)"
        ),
        rf"\1{SECRET}",
    ),
)
# C0, DEL, C1; line and paragraph separators; what turns the direction of writing; lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LIMIT: Final = 1 << 63
_BEYOND: Final = 512  # read past the cut, so that a secret which straddles it is still known as one
_TRACEBACK_LINES: Final = 60


def clean_fields(event: Mapping[str, object]) -> dict[str, object]:
    """The fields of one log event, each safe to print; more than `MAX_FIELDS` are cut."""
    return {_key(key): _field(key, value, 0) for key, value in list(event.items())[-MAX_FIELDS:]}


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """One line of at most about `limit` characters, without secrets; control characters are shown as escapes."""
    cut = text[: limit + _BEYOND]
    for pattern, replacement in _SECRET_TEXT:
        cut = pattern.sub(replacement, cut)
    cut = _CONTROL.sub(_escape, cut[:limit])
    return cut if len(text) <= limit else f"{cut}... ({len(text)} characters)"


def clean_traceback(text: str) -> str:
    """A traceback for a terminal: the last lines, each marked, so that a message cannot pose as a new event."""
    return "\n".join(f"  | {clean_text(line)}" for line in text.splitlines()[-_TRACEBACK_LINES:])


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    return _ESCAPES.get(char) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")  # noqa: PLR2004 - one byte


def _key(key: object) -> str:
    return clean_text(str(key), MAX_KEY)


def _field(key: object, value: object, depth: int) -> object:
    name = str(key)
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_KEY.search(name):
        return SECRET
    if _CONTENT_KEY.fullmatch(name):
        return WITHHELD
    if name == "exception" and isinstance(value, str):
        return clean_text(value, MAX_TRACEBACK)
    return _value(value, depth)


def _value(value: object, depth: int) -> object:  # noqa: PLR0911 - one line a type reads best
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return clean_text(value.name)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int):
        return int(value) if -_LIMIT <= value < _LIMIT else f"<integer of {value.bit_length()} bits>"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _nested(value, depth + 1)
    if isinstance(value, BaseException):
        return clean_text(f"{type(value).__name__}: {value}")
    if isinstance(value, PurePath | date | timedelta | UUID):
        return clean_text(str(value))
    # Arrays, structs, bytes: most likely a record or a part of one. Its type is all a log needs.
    return f"<{type(value).__name__}>"


def _nested(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {_key(key): _field(key, item, depth) for key, item in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(item, depth) for item in list(value)[:MAX_ITEMS]]
    return "..."
