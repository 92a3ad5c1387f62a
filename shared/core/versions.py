"""How the versions of one entity's features are written down, and which updates are fit to be.

A stored value is a text of lines, newest first: `<event ms, 13 digits> <json>`, the JSON being `Stored`. The digits are
padded so that lines sort by time as plain bytes: choosing a version among thousands is one bisection that parses
nothing, and the merge in the cache never re-encodes a float.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import isfinite
from typing import Any

import msgspec

from shared.core import reasons
from shared.core.codec import EARLIEST_MS
from shared.core.errors import Invalid
from shared.core.pipeline import LookupSpec
from shared.core.records import SCHEMA_VERSION, FeatureUpdate

DIGITS = 13
MAX_MS = 10**DIGITS - 1
"""The year 2286: microseconds or nanoseconds given for milliseconds lie above it."""
MAX_LINE = 65_536
"""Bytes of one version."""
MAX_VALUE = 8_388_608
"""Bytes of all versions of one entity: the writer drops the oldest beyond, a reader takes a longer value as corrupt."""
MAX_KEY = 128
"""Characters of an escaped entity id in a key; a longer one is replaced by its digest."""
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.-]")
_ENCODER = msgspec.json.Encoder()


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One version in the cache. It names its entity, so that no mix-up of keys or replies can pass for another's."""

    s: int
    g: str
    e: str
    v: dict[str, Any]


def encode_version(update: FeatureUpdate, schema_version: int) -> bytes:
    """One line with its newline. The update has passed `validate_update`."""
    stored = Stored(s=schema_version, g=update.group, e=update.entity, v=update.values)
    return b"%013d %b\n" % (update.time, _ENCODER.encode(stored))


def entity_key(pipeline: str, group: str, entity: str) -> str:
    """The key of an entity: nothing in the id can leave the pipeline's and group's name space.

    The braces are literal: in a Redis Cluster they keep a pipeline's keys in one slot, so that one MGET reads a batch.
    """
    raw = entity.encode("utf-8", "surrogatepass")
    safe = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")
    if len(safe) > MAX_KEY:
        safe = "~" + blake2b(raw, digest_size=32).hexdigest()  # the tilde is escaped above, so no id looks like this
    return f"tailrace:{{{pipeline}}}:{group}:{safe}"


def misfit(values: Mapping[str, Any], spec: LookupSpec) -> str:
    """The first field that is unknown or not of its declared type; "" where all fit. Null is no value, and fits."""
    for name, value in values.items():
        kind = spec.fields.get(name)
        if kind is None or not (value is None or _FITS[kind](value)):
            return name or "''"
    return ""


def _is_number(value: Any) -> bool:
    if type(value) is float:
        return isfinite(value)
    return type(value) is int and abs(value) < 2**1_023  # larger ones are no float


_FITS: dict[str, Callable[[Any], bool]] = {
    "number": _is_number,
    "string": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
}


def validate_update(update: FeatureUpdate, specs: Mapping[str, LookupSpec], *, not_after: int = MAX_MS) -> bytes:
    """Check an update against its group and encode it.

    Args:
        update: what came from the topic or from history.
        specs: the pipeline's lookup groups.
        not_after: the latest event time (ms) to believe. One far ahead would push all others out of `keep`.

    Returns:
        The line to store.

    Raises:
        Invalid: with the reason, and the field, time or group in its detail.
    """
    spec = specs.get(update.group)
    if update.v != SCHEMA_VERSION:
        raise Invalid(reasons.UNKNOWN_SCHEMA, f"v is {update.v}, known is {SCHEMA_VERSION}")
    if spec is None:
        raise Invalid(reasons.UNKNOWN_GROUP, repr(update.group[:64]))
    if not update.entity:
        raise Invalid(reasons.BAD_ID, "the entity is empty")
    last = min(not_after, MAX_MS)
    if not EARLIEST_MS <= update.time <= last:
        raise Invalid(reasons.BAD_EVENT_TIME, f"{update.time} ms is not in {EARLIEST_MS}..{last}")
    if not update.values:
        raise Invalid(reasons.EMPTY, "no values")
    if name := misfit(update.values, spec):
        unknown = name not in spec.fields
        raise Invalid(reasons.UNKNOWN_FIELD if unknown else reasons.WRONG_TYPE, repr(name[:64]))
    return _line(update, spec)


def _line(update: FeatureUpdate, spec: LookupSpec) -> bytes:
    try:
        line = encode_version(update, spec.schema_version)
    except (UnicodeEncodeError, OverflowError) as error:
        raise Invalid(reasons.WRONG_TYPE, f"cannot be written as JSON: {error}") from None
    if len(line) > MAX_LINE:
        raise Invalid(reasons.TOO_LARGE, f"{len(line)} bytes, allowed are {MAX_LINE}")
    return line
