"""Outcomes as they are published: the observation's bytes are as they stand in the journal."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from services.monitor.observer.entries import AnyTruth
from shared.core.records import SCHEMA_VERSION

_encode = msgspec.json.Encoder().encode
_HEADS = {
    status: b'{"v":%d,"status":"%s","observation":' % (SCHEMA_VERSION, status.encode())
    for status in ("matched", "corrected")
}
Found = tuple[str, str, bytes, AnyTruth, tuple[int, int]]
"""Key, status, observation as it stands in the journal, label, and the label's position."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Keys and values of messages, n of each."""

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)

    def add(self, found: Iterable[Found]) -> None:
        """Add outcomes."""
        for key, status, raw, label, at in found:
            self.keys.append(key.encode())
            self.values.append(b"".join((_HEADS[status], raw, b',"label":', _encode(label), b',"at":[%d,%d]}' % at)))
